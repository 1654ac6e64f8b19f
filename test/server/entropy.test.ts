import { expect, it } from "vitest";
import { systemEntropy } from "../../server/entropy.ts";

it("gives ids of 22 characters that keys can carry, none of them twice, and none that a command takes for an option", () => {
  const ids = Array.from({ length: 10_000 }, () => systemEntropy.newId());
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9_][A-Za-z0-9_-]{21}$/);
});

it("gives secrets of 256 bits", () => {
  expect(Buffer.from(systemEntropy.newSecret(), "base64url")).toHaveLength(32);
});

it("hashes as SHA-256 does", () => {
  // FIPS 180-2, appendix B.1.
  expect(systemEntropy.hash("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
});
