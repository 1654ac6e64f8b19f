import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type EtcdUnderScript, LATE_AT_MOST_MS, play, type ToldStep, writeScript } from "./etcd-script.ts";
import { withRealEtcd, withSimulatedEtcd } from "./etcds-under-script.ts";

const text = readFileSync(new URL("./etcd-recording.json", import.meta.url), "utf8");
const recording: readonly ToldStep[] = JSON.parse(text);

/** What must be the same, whatever the machine. */
const comparable = (told: readonly ToldStep[]) => told.map(({ step, told: said }) => ({ step, said }));

const playAgain = (etcd: EtcdUnderScript) =>
  play(
    etcd,
    recording.map(({ step }) => step),
  );

describe("the recording of what etcd makes of a script of its oddities", () => {
  it("is of the script as it is", () => {
    const script = JSON.parse(JSON.stringify(writeScript()));
    expect(recording.map(({ step }) => step)).toEqual(script);
    expect(recording.length).toBeGreaterThan(140);
  });

  it("holds for the pinned etcd", { timeout: 180_000 }, async () => {
    expect(comparable(await withRealEtcd(playAgain))).toEqual(comparable(recording));
  });

  it("holds for the simulated etcd, whose leases expire as late as the real one's", async () => {
    const told = await withSimulatedEtcd(playAgain);
    expect(comparable(told)).toEqual(comparable(recording));
    for (const list of [told, recording]) {
      const expiry = list.find(({ step }) => step.do === "see expire");
      expect(expiry?.measured).toBeGreaterThanOrEqual(0);
      expect(expiry?.measured).toBeLessThanOrEqual(LATE_AT_MOST_MS);
    }
  });
});
