import { describe, expect, it } from "vitest";
import { systemEntropy } from "../../server/entropy.ts";

describe("an id", () => {
  it("comes once, and never looks like an option of a command that is given it", () => {
    const ids = new Set(Array.from({ length: 5_000 }, () => systemEntropy.newId()));
    expect(ids.size).toBe(5_000);
    for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9_][A-Za-z0-9_-]{21}$/);
  });
});
