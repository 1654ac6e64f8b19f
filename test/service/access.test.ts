import { describe, expect, it } from "vitest";
import { Access } from "../../server/adapters/grpc/access.ts";

const TOKEN = "correct-horse-battery";
const elsewhere = "192.0.2.7:5000";

const may = (access: Access, peer: string, authorization?: string) => {
  const permission = access.mayChange({ peer, authorization });
  return permission.kind === "granted" ? permission.actor : permission.message;
};

describe("a change", () => {
  it.each(["127.0.0.1:5000", "127.8.9.10:1", "::1:5000", "[::1]:5000", "::ffff:127.0.0.1:5000"])(
    "is for whoever is on this machine: %s",
    (peer) => {
      expect(may(new Access(undefined), peer)).toBe(peer);
      expect(may(new Access(TOKEN), peer)).toBe(peer);
    },
  );

  it.each([
    elsewhere,
    "10.127.0.1:5000",
    "127.0.0.1.example:5000",
    "127.0.0:5000",
    "2001:db8::1:5000",
    "::1:5000:1",
    "[::1:1]:5000",
    "::ffff:192.0.2.1:5000",
    "::127.0.0.1:5000",
    "unknown",
    "",
    "127.0.0.1",
  ])("from elsewhere is for nobody without a token configured: %s", (peer) => {
    expect(may(new Access(undefined), peer)).toContain("start it with --admin-token-file");
    expect(may(new Access(undefined), peer, `Bearer ${TOKEN}`)).toContain("can only be looked at");
  });

  it("from elsewhere is for whoever sends the token, and for nobody else", () => {
    const access = new Access(TOKEN);
    expect(may(access, elsewhere, `Bearer ${TOKEN}`)).toBe(elsewhere);
    expect(may(access, elsewhere, `bearer  ${TOKEN}`)).toBe(elsewhere);
    for (const missing of [undefined, "", TOKEN, `Basic ${TOKEN}`, "Bearer", "Bearer ", `Bearer ${TOKEN} ${TOKEN}`])
      expect(may(access, elsewhere, missing)).toContain('"authorization: Bearer <token>"');
    for (const wrong of [`${TOKEN}x`, TOKEN.slice(1), TOKEN.toUpperCase(), "x".repeat(100_000), "\u0000"])
      expect(may(access, elsewhere, `Bearer ${wrong}`)).toContain("not this server's administration token");
  });

  it("that is refused again and again is told to the log once a second, with how often", () => {
    const access = new Access(undefined);
    const lines: unknown[] = [];
    const log = { event: (_level: string, name: string, fields: object = {}) => lines.push({ name, ...fields }) };
    const caller = { peer: elsewhere, authorization: undefined };
    for (let i = 0; i < 1_000; i++) access.tellRefused(log, "ReleaseLock", caller);
    expect(lines[0]).toEqual({ name: "change.refused", method: "ReleaseLock", peer: elsewhere, leftOut: 0 });
    expect(lines.length).toBeLessThan(5);
  });

  it("is refused without telling the token", () => {
    const access = new Access(TOKEN);
    for (const authorization of [undefined, "Bearer wrong"])
      expect(may(access, elsewhere, authorization)).not.toContain(TOKEN);
    expect(JSON.stringify(access)).not.toContain(TOKEN);
  });
});
