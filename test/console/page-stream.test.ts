import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import type { LockGlance, LockPlace, Services } from "../../server/adapters/console/services.ts";
import { eventually } from "../support/eventually.ts";
import { askConsole, livePath, OWN } from "./ask-console.ts";
import { consoleOver, nothing } from "./console-over.ts";

/** A lock that somebody holds. */
const held = (name: string): LockGlance => ({
  name,
  holderCount: 1,
  waiterCount: 0,
  toJson: () => ({ name, holderCount: 1 }),
});

/** Locks that change all the time, each as large as `bytes`, and how many were taken. */
function restlessLocks(bytes: number) {
  const counts = { taken: 0, open: 0 };
  const watchLocks = (_: unknown, ready: () => void): LockPlace => {
    counts.open++;
    setImmediate(ready);
    return {
      take(limit) {
        counts.taken += limit;
        const locks = Array.from({ length: limit }, (_, index) => held(`${index}-${"x".repeat(bytes)}`));
        return { locks, caughtUp: false };
      },
      close: () => counts.open--,
    };
  };
  return { counts, watchLocks };
}

/** The data of the events of a topic in the text of a stream. */
const framesOf = (topic: string, text: string) =>
  [...text.matchAll(/^event: (.*)\ndata: (.*)\n\n/gm)]
    .filter(([, name]) => name === topic)
    .map(([, , data]) => JSON.parse(data!));

describe("the stream of a page", () => {
  it("begins with who serves, and then ticks, so that silence is noticed", async () => {
    const { body } = await askConsole(await consoleOver({}), { path: livePath({}), headers: OWN }, "event: tick");
    expect(framesOf("hello", body)).toEqual([
      { version: "1", serverId: "s", access: { allowed: true, problem: "", byToken: false } },
    ]);
    expect(framesOf("tick", body)[0].atMs).toBeGreaterThan(1.7e12);
  });

  it("takes nothing more for a page that does not read, and goes on when it reads again", async () => {
    const { counts, watchLocks } = restlessLocks(2_000);
    const address = await consoleOver({ watchLocks });
    const socket = connect(Number(address.split(":")[1]), "127.0.0.1").pause();
    socket.write(
      `GET ${livePath({ locks: { prefix: "" } })} HTTP/1.1\r\nHost: localhost\r\nx-holdfast-console: 1\r\n\r\n`,
    );
    // There is always more to take: it would be taken for ever, in one turn, if nobody minded what was not read.
    await eventually(async () => counts.taken > 0, true);
    const stuckAt = counts.taken;
    expect(stuckAt * 2_000).toBeLessThan(64e6);
    socket.resume();
    await eventually(async () => counts.taken > stuckAt, true);
    socket.destroy();
    await eventually(async () => counts.open, 0);
  });

  it("is one of 32, and gives its place back", async () => {
    const { counts, watchLocks } = restlessLocks(1);
    const address = await consoleOver({ watchLocks });
    const open = () => {
      const [host, port] = address.split(":");
      const sent = request({ host, port, path: livePath({ locks: { prefix: "" } }), headers: OWN, agent: false });
      sent.on("error", () => undefined).end();
      return sent;
    };
    const pages = Array.from({ length: 32 }, open);
    await Promise.all(pages.map((page) => once(page, "response").then(([response]) => response.resume())));
    const path = livePath({});
    const refused = await askConsole(address, { path, headers: OWN });
    expect([refused.status, refused.body]).toEqual([503, "32 pages are open: close some\n"]);
    pages[0]!.destroy();
    await eventually(async () => (await askConsole(address, { path, headers: OWN }, "event: tick")).status, 200);
    for (const page of pages) page.destroy();
    await eventually(async () => counts.open, 0);
  });

  it("asks once for all pages that show the same, and stops when none is left", async () => {
    let asked = 0;
    let asking = 0;
    const read: Services["read"] = async (name) => {
      expect(name).toBe("GetStatus");
      asked++;
      asking++;
      await new Promise(setImmediate);
      expect(asking--).toBe(1);
      return { kind: "ok", json: { asked } };
    };
    const address = await consoleOver({ read });
    const show = () => askConsole(address, { path: livePath({ status: {} }), headers: OWN }, '{"answer":{"asked":2}}');
    const pages = await Promise.all([show(), show(), show()]);
    for (const { body } of pages) expect(framesOf("status", body).at(-1)).toEqual({ answer: { asked: 2 } });
    const when = asked;
    expect(when).toBeLessThan(4);
    // Asked anew for the next page, and not in between: its first answer is the next number or the one after.
    const { body } = await askConsole(address, { path: livePath({ status: {} }), headers: OWN }, "event: status");
    expect(framesOf("status", body)[0].answer.asked).toBe(when + 1);
  });

  it("says what is wrong with a part, and goes on with the others", async () => {
    const read: Services["read"] = async (name) =>
      name === "GetWaitGraph" ? { kind: "failed", reason: "store-unavailable", message: "etcd is away" } : nothing;
    const { body } = await askConsole(
      await consoleOver({ read }),
      { path: livePath({ graph: {}, status: {} }), headers: OWN },
      "event: status",
    );
    expect(framesOf("graph", body)).toEqual([{ problem: "etcd is away" }]);
    expect(framesOf("status", body)).toEqual([{ answer: {} }]);
  });

  it("sends of the sessions what changed, and the end of their validity only when it moved", async () => {
    let round = 0;
    const read: Services["read"] = async () => {
      round++;
      const validFor = { seconds: String(round < 3 ? 10 : 60) };
      const sessions = [
        { sessionId: "stays", validFor },
        ...(round < 3 ? [{ sessionId: "goes" }] : []),
        ...(round < 2 ? [] : [{ sessionId: "comes", heldCount: 1 }]),
      ];
      return { kind: "ok", json: { sessions } };
    };
    const { body } = await askConsole(
      await consoleOver({ read }),
      { path: livePath({ sessions: {} }), headers: OWN },
      '"gone":["goes"]',
    );
    const [first, second, third] = framesOf("sessions", body);
    expect(first.sessions.map(({ sessionId }: { sessionId: string }) => sessionId)).toEqual(["stays", "goes"]);
    // Two seconds later with ten seconds left: its client has been heard of.
    expect(second.sessions.map(({ sessionId }: { sessionId: string }) => sessionId)).toEqual(["stays", "comes"]);
    expect(third.gone).toEqual(["goes"]);
    expect(third.sessions[0].validUntilMs - second.sessions[0].validUntilMs).toBeGreaterThan(40_000);
  });

  it("shows the hottest locks, and makes nothing of those for which nobody waits", async () => {
    const waiting = (name: string, waiterCount: number): LockGlance => ({
      ...held(name),
      waiterCount,
      toJson: () => ({ name, waiterCount }),
    });
    const quiet = (name: string): LockGlance => ({
      ...held(name),
      toJson: () => {
        throw new Error("nobody asked for it");
      },
    });
    const crowds = Array.from({ length: 20 }, (_, index) => waiting(`crowd/${index}`, index + 1));
    const watchLocks: Services["watchLocks"] = (_, ready) => {
      setImmediate(ready);
      const locks = [quiet("quiet"), ...crowds, waiting("left", 99), quiet("left")];
      return { take: (limit) => ({ locks: locks.splice(0, limit), caughtUp: true }), close: () => undefined };
    };
    const address = await consoleOver({ watchLocks });
    const { body } = await askConsole(address, { path: livePath({ hottest: {} }), headers: OWN }, '"contended":20');
    const [frame] = framesOf("hottest", body).slice(-1);
    expect(frame.locks.map(({ name }: { name: string }) => name)).toEqual(
      Array.from({ length: 8 }, (_, index) => `crowd/${19 - index}`),
    );
  });

  it("shows no more than 20,000 locks, and says that there are more", async () => {
    const names = Array.from({ length: 20_500 }, (_, index) => `lock/${index}`);
    const watchLocks: Services["watchLocks"] = (_, ready) => {
      setImmediate(ready);
      return {
        take: (limit) => {
          const locks = names.splice(0, limit).map(held);
          return { locks, caughtUp: names.length === 0 };
        },
        close: () => undefined,
      };
    };
    const address = await consoleOver({ watchLocks });
    const { body } = await askConsole(
      address,
      { path: livePath({ locks: { prefix: "" } }), headers: OWN },
      '"caughtUp":true',
    );
    const frames = framesOf("locks", body);
    expect(frames.reduce((sum, { locks }) => sum + locks.length, 0)).toBe(20_000);
    expect(frames.at(-1)).toMatchObject({ caughtUp: true, more: true });
  });
});
