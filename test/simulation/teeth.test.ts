import { describe, expect, it } from "vitest";
import { MUTANTS } from "./mutants.ts";
import { catchMutant, misfitOf } from "./teeth.ts";

/** A few that the first seeds notice; `node test/simulation/teeth.ts` tries all. */
const QUICK = [
  "entitled by the first lock only",
  "claims not tied to their session's key",
  "no epoch guard on an acquire",
  "renewal without a heartbeat",
  "token from the modification",
  "unknown outcome repeated without a bump",
];

describe("the walks' teeth", () => {
  it.each(QUICK)("notice: %s", { timeout: 120_000 }, async (name) => {
    const mutant = MUTANTS.find((each) => each.name === name);
    if (mutant === undefined) throw new Error(`no such mutant: ${name}`);
    expect(await catchMutant(mutant, 60)).toContain("FAILED");
  });

  it("fit the code as it is", () => {
    expect(MUTANTS.map(misfitOf).filter((problem) => problem !== undefined)).toEqual([]);
  });
});
