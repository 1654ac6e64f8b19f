import { describe, expect, it } from "vitest";
import { claimKey, claimsOf, parseKey, serverKey, sessionKey } from "../../server/core/keys.ts";
import { compareBytewise, lockNameProblem } from "../../server/core/lock-name.ts";
import { Random } from "../support/random.ts";

const ODD_NAMES = [
  "a",
  "a/b",
  "a b",
  "%2F",
  "0",
  "session/x",
  "claim/y",
  "käse/☕",
  "\u{1f512}",
  ".x/..",
  "a".repeat(512),
];

describe("a key", () => {
  it.each(ODD_NAMES)("of a claim on %s reads both ways", (lock) => {
    for (const claimId of [1n, 255n, 2n ** 64n - 1n])
      expect(parseKey(claimKey(lock, "Ab-9_", claimId))).toEqual({ kind: "claim", lock, sessionId: "Ab-9_", claimId });
  });

  it("of a session and of a server reads both ways", () => {
    expect(parseKey(sessionKey("Ab-9_"))).toEqual({ kind: "session", sessionId: "Ab-9_" });
    expect(parseKey(serverKey("Ab-9_"))).toEqual({ kind: "server", serverId: "Ab-9_" });
  });

  it.each([
    "",
    "session/",
    "session/a/b",
    "server/",
    "server/a/b",
    "claim/",
    "claim//s/0000000000000001",
    "claim/a",
    "claim/a//",
    "claim/a//s",
    "claim/a//s/",
    "claim/a//s/1",
    "claim/a//s/000000000000000G",
    "claim/a//s/000000000000000A",
    "claim/a///0000000000000001",
    "claim/a//s/t/0000000000000001",
    "other/a",
  ])("that is none of ours is not read: %s", (key) => {
    expect(parseKey(key)).toBeUndefined();
  });

  it("of a claim starts with the prefix of its lock's claims, and with no other lock's", () => {
    for (const lock of ODD_NAMES)
      for (const other of ODD_NAMES)
        expect(claimKey(lock, "s", 1n).startsWith(claimsOf(other)), `${lock} and ${other}`).toBe(lock === other);
  });

  it("of a session's claims on a lock comes in order of claim id", () => {
    const ids = [1n, 9n, 10n, 15n, 16n, 255n, 256n, 2n ** 63n];
    const keys = ids.map((claimId) => claimKey("a", "s", claimId));
    expect([...keys].sort(compareBytewise)).toEqual(keys);
  });

  it("of random valid names never reads as another name", () => {
    const random = new Random(7);
    const letters = ["a", "/", "%", " ", "é", "☕", "\u{1f512}", "0"];
    for (let i = 0; i < 5000; i++) {
      const lock = Array.from({ length: 1 + random.below(8) }, () => random.pick(letters)).join("");
      if (lockNameProblem(lock) !== undefined) continue;
      expect(parseKey(claimKey(lock, "s", BigInt(i)))).toMatchObject({ lock, claimId: BigInt(i) });
    }
  });
});
