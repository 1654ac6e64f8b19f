import { describe, expect, it } from "vitest";
import { MUTANTS, type Mutant } from "./mutants.ts";
import { misfitOf, withMutant } from "./teeth.ts";

/** A few that the first seeds notice; `make teeth` tries all. */
const QUICK = [
  "entitled by the first lock only",
  "claims not tied to their session's key",
  "no epoch guard on an acquire",
  "renewal without a heartbeat",
  "token from the modification",
  "unknown outcome repeated without a bump",
];

function mutantOf(name: string): Mutant {
  const mutant = MUTANTS.find((each) => each.name === name);
  if (mutant === undefined) throw new Error(`no such mutant: ${name}`);
  return mutant;
}

describe("the walks' teeth", () => {
  it.each(QUICK)("notice: %s", { timeout: 120_000 }, async (name) => {
    expect(await withMutant(mutantOf(name), (broken) => broken.firstFailure(60))).toContain("FAILED");
  });

  it("fit the code as it is", () => {
    expect(MUTANTS.map(misfitOf).filter((problem) => problem !== undefined)).toEqual([]);
  });

  it("bite in the tests of the parts, too", { timeout: 240_000 }, async () => {
    const tests = ["test/server/adapters/etcd/renewals.test.ts"];
    const failing = await withMutant(mutantOf("one shared keepalive stream"), (broken) => broken.failingTests(tests));
    expect(failing).toBeGreaterThan(0);
  });
});

describe("a failing seed", () => {
  it("is printed with a smaller walk that breaks the same promise", { timeout: 240_000 }, async () => {
    await withMutant(mutantOf("unknown outcome repeated without a bump"), async (broken) => {
      const said = await broken.walks("1", "40");
      const [, what] = /^ {2}shrunk in \d+ walks to (\S+) at/m.exec(said)!;
      const [, seed] = /^seed (\d+) FAILED at \S+ ms: \S+:/m.exec(said)!;
      const replay = /^ {2}node test\/simulation\/main\.ts (.*)$/m.exec(said)![1]!.split(" ");
      expect(replay.slice(0, 2)).toEqual([seed, seed]);
      expect(replay.find((each) => each.startsWith("without="))!.split(",").length).toBeGreaterThan(10);
      expect(await broken.walks(...replay)).toContain(`ms: ${what}: `);
    });
  });
});
