import { describe, expect, it } from "vitest";
import { useService } from "../support/service.ts";
import { Driver } from "./driver.ts";
import type { Language } from "./languages.ts";
import { lies } from "./lying-driver.ts";
import { mismatch } from "./pattern.ts";
import { play, toldByNobody } from "./play.ts";
import { scenarios } from "./scenarios.ts";

const service = useService({ flags: toldByNobody, etcd: { revisionsBefore: 2 ** 52 } });

/** The scenario that notices each lie, and with what words. */
const noticed: Readonly<Record<keyof typeof lies, readonly [title: string, words: RegExp]>> = {
  "keeps tokens as doubles": ["tokens above 2^53 are exact, grow, and can be asked after", /token|state/],
  "forgets who held before": [
    "a lock taken again has a larger token, and tells how the holder before ended",
    /previous is absent/,
  ],
  "takes a timeout for a taken lock": [
    "a timed wait is refused with timeout, names the holder, and leaves no place behind",
    /reason is "busy", not timeout/,
  ],
  "believes for too long": [
    "with the connection refused for longer than the TTL, the holder believes no more when the next is granted",
    /atNs is .* not >\$until/,
  ],
  "believes that a lost lock is held": ["all locks of a session are lost together", /held is true, not false/],
  "says nothing of its place": [
    "a waiter is granted when the holder releases",
    /it is answered|did not come|instead of waiting/,
  ],
  "takes every release for a good one": [
    "a client that lost its session goes on in a fresh one",
    /was is "released", not lost/,
  ],
};

describe("the suite notices a library that", { timeout: 180_000 }, () => {
  it.concurrent.each(Object.keys(lies))("%s", async (lie) => {
    const [title, words] = noticed[lie]!;
    const scenario = scenarios.find((one) => one.title === title)!;
    const language: Language = { name: "typescript", start: ["node", "test/conformance/lying-driver.ts", lie] };
    const driver = await Driver.start(language);
    const stage = {
      service: service(),
      languages: [language],
      drivers: [driver],
      scope: `lie/${lie}`,
      patienceMs: 20_000,
    };
    await expect(play(scenario, stage)).rejects.toThrow(words);
    expect(await driver.end()).toMatch(/^it ended: 0/);
  });
});

describe("a pattern", () => {
  const wrong = (value: unknown, pattern: unknown, variables = new Map<string, unknown>()) =>
    mismatch(value, pattern, variables);

  it("compares what it names and nothing else", () => {
    expect(wrong({ a: 1, b: 2 }, { a: 1 })).toBeUndefined();
    expect(wrong({ a: 1 }, { a: 1, b: null })).toBeUndefined();
    expect(wrong({ a: { b: [1, 2] } }, { a: { b: [1, 3] } })).toBe("a.b[1] is 2, not 3");
    expect(wrong({ a: [1] }, { a: [1, 2] })).toBe("a is [1], not a list of 2");
    expect(wrong({}, { a: "*" })).toBe("a is absent, not *");
    expect(wrong({ a: [1, 2] }, { a: "#3" })).toBe("a is [1,2], not #3");
    expect(wrong({ a: "no milk" }, { a: "~milk" })).toBeUndefined();
  });

  it("remembers, and compares numbers of any size exactly", () => {
    const variables = new Map<string, unknown>();
    expect(wrong({ t: "9007199254740993" }, { t: "$t" }, variables)).toBeUndefined();
    expect(wrong({ t: "9007199254740992" }, { t: "$t" }, variables)).toMatch(/not \$t, which is "9007199254740993"/);
    expect(wrong({ t: "9007199254740994" }, { t: ">$t" }, variables)).toBeUndefined();
    expect(wrong({ t: "9007199254740993" }, { t: ">$t" }, variables)).toMatch(/not >\$t/);
    expect(wrong({ t: 1.5 }, { t: ">0" })).toBeUndefined();
    expect(wrong({ t: "x" }, { t: ">0" })).toMatch(/not >0/);
  });
});
