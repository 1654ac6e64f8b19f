import { describe, expect, it } from "vitest";
import type { HistoryQuery } from "../../server/engine/history.ts";
import { History } from "../../server/engine/history.ts";
import type { EngineNote } from "../../server/ports/telemetry.ts";
import { acquire } from "../core/session-bench.ts";
import { exclusive } from "../support/key-history.ts";
import { noted } from "../support/notes.ts";
import { close, EngineBench } from "./engine-bench.ts";

const any: HistoryQuery = { lock: "", sessionId: "", kinds: new Set(), after: 0, before: 0, limit: 1000 };

/** What a server's history says in short, oldest first. */
function told(bench: EngineBench, query: Partial<HistoryQuery> = {}): string[] {
  const { events } = bench.engine.administration.listEvents({ ...any, ...query });
  return events
    .map(({ kind, locks, sessionId, claimId, reason }) =>
      [kind, sessionId, locks.map(({ name }) => name).join("+"), claimId || "", reason].filter(Boolean).join(" "),
    )
    .reverse();
}

describe("the history of a server", () => {
  it("tells what happened to claims and sessions, in order, and about whom", () => {
    const bench = new EngineBench();
    const first = bench.open({ client: { name: "billing", host: "h", pid: 1, language: "ts", version: "1" } });
    const second = bench.open();
    bench.do(first.stream, acquire(1n, exclusive("a")));
    bench.do(second.stream, acquire(1n, exclusive("a"), { purpose: "nightly" }));
    bench.clock.turn(250);
    bench.do(first.stream, { kind: "release", claimId: 1n });
    bench.do(second.stream, close);
    expect(told(bench)).toEqual([
      "session-opened session1",
      "session-opened session2",
      "granted session1 a 1",
      "waiting session2 a 1",
      "released session1 a 1",
      "granted session2 a 1",
      "released session2 a 1",
      "session-ended session2 closed-by-client",
    ]);
    const { events, oldestSeq, newestSeq } = bench.engine.administration.listEvents(any);
    expect([oldestSeq, newestSeq]).toEqual([1, 8]);
    expect(events.map(({ seq }) => seq)).toEqual([8, 7, 6, 5, 4, 3, 2, 1]);
    expect(events[3]).toMatchObject({ kind: "released", heldMs: 250, token: 512n, client: { name: "billing" } });
    expect(events[2]).toMatchObject({ kind: "granted", waitedMs: 250, purpose: "nightly", token: 640n });
    expect(events[2]?.atMs).toBe(bench.clock.wallMs());
  });

  it("tells of losses when a session ends without its client asking", () => {
    const bench = new EngineBench();
    const { stream } = bench.open();
    bench.do(stream, acquire(1n, exclusive("a")), acquire(2n, exclusive("b")));
    bench.engine.disconnected(stream, "broken");
    bench.settle();
    expect(told(bench).slice(3)).toEqual([
      "lost session1 a 1 closed-by-client",
      "lost session1 b 2 closed-by-client",
      "session-ended session1 closed-by-client",
    ]);
  });

  it("tells of releases when a client cancels its stream, which is how a Hold is given up", () => {
    const bench = new EngineBench();
    const { stream } = bench.open();
    bench.do(stream, acquire(1n, exclusive("a")));
    bench.engine.disconnected(stream, "cancelled");
    bench.settle();
    expect(told(bench).slice(2)).toEqual(["released session1 a 1", "session-ended session1 closed-by-client"]);
  });

  it("tells of a claim that somebody ended in the store, for how long it was held", () => {
    const bench = new EngineBench();
    const { stream, sessionId } = bench.open();
    bench.do(stream, acquire(1n, exclusive("a")));
    bench.clock.turn(40);
    bench.store.write((keys) => keys.step(() => keys.delete(`claim/a//${sessionId}/0000000000000001`)));
    const { events } = bench.engine.administration.listEvents(any);
    expect(events[0]).toMatchObject({ kind: "lost", reason: "released-by-force", heldMs: 40, token: 384n });
  });

  it("tells of denials, with the words that the client was told", () => {
    const bench = new EngineBench();
    const { stream } = bench.open();
    bench.do(stream, acquire(1n, exclusive("a")), acquire(2n, exclusive("a"), { waitMs: 0 }));
    expect(told(bench).at(-1)).toBe("denied session1 a 2 busy");
    const { events } = bench.engine.administration.listEvents(any);
    expect(events[0]?.message).toBe('"a" is taken: try again when it is free');
  });

  it("tells of a deadlock in words, and of the denial that breaks it", () => {
    const bench = new EngineBench();
    const one = bench.open();
    const two = bench.open();
    bench.do(one.stream, acquire(1n, exclusive("a"), { reentryId: "x" }));
    bench.do(two.stream, acquire(1n, exclusive("b"), { reentryId: "y" }));
    bench.do(one.stream, acquire(2n, exclusive("b"), { reentryId: "x" }));
    bench.do(two.stream, acquire(2n, exclusive("a"), { reentryId: "y" }));
    expect(told(bench).slice(-2)).toEqual(["deadlock session2 a 2", "denied session2 a 2 deadlock"]);
    const { events } = bench.engine.administration.listEvents({ ...any, kinds: new Set(["deadlock"]) });
    expect(events).toHaveLength(1);
    expect(events[0]?.message).toMatch(/^deadlock: session session2 .* waits for "a", held by session session1/);
  });

  it("finds what is asked for: by lock, session, kind and place", () => {
    const bench = new EngineBench();
    const one = bench.open();
    const two = bench.open();
    bench.do(one.stream, acquire(1n, [exclusive("a"), exclusive("b")]));
    bench.do(two.stream, acquire(1n, exclusive("c")));
    expect(told(bench, { lock: "b" })).toEqual(["granted session1 a+b 1"]);
    expect(told(bench, { sessionId: "session2" })).toEqual(["session-opened session2", "granted session2 c 1"]);
    expect(told(bench, { kinds: new Set(["granted"]) })).toHaveLength(2);
    expect(told(bench, { after: 3 })).toEqual(["granted session2 c 1"]);
    expect(told(bench, { before: 4, limit: 2 })).toEqual(["session-opened session2", "granted session1 a+b 1"]);
  });
});

describe("a history that is full", () => {
  const limits = { routine: { events: 3, characters: 1_000 }, notable: { events: 2, characters: 1_000 } };
  const grant = (lock: string): EngineNote => noted.granted({ locks: [lock] });
  const list = (history: History) =>
    history.list(any).events.map(({ kind, locks }) => `${kind} ${locks.map(({ name }) => name)}`);

  it("forgets the oldest, but what is rare not for the sake of what happens all the time", () => {
    const history = new History(() => 0, limits);
    history.note(noted.lost({ locks: ["rare"] }));
    for (const lock of ["a", "b", "c", "d", "e"]) history.note(grant(lock));
    expect(list(history)).toEqual(["granted e", "granted d", "granted c", "lost rare"]);
    expect(history.list(any)).toMatchObject({ oldestSeq: 1, newestSeq: 6 });
    history.note(noted.lost({ locks: ["x"] }));
    history.note(noted.lost({ locks: ["y"] }));
    expect(list(history)).toEqual(["lost y", "lost x", "granted e", "granted d", "granted c"]);
    expect(history.list(any).oldestSeq).toBe(4);
  });

  it("forgets as many as it takes to make room for long texts", () => {
    const history = new History(() => 0, { ...limits, routine: { events: 100, characters: 1_000 } });
    for (let i = 0; i < 50; i++) history.note(grant("x".repeat(100)));
    expect(history.list(any).events).toHaveLength(10);
    history.note(grant("y".repeat(950)));
    expect(list(history)).toEqual([`granted ${"y".repeat(950)}`]);
  });

  it("keeps nothing alive of what it has forgotten", () => {
    const history = new History(() => 0, { ...limits, routine: { events: 2, characters: 20 } });
    history.note(grant("aaaaaaaaaa"));
    history.note(grant("bbbbbbbbbb"));
    history.note(grant("cccccccccccccccccccc"));
    expect(JSON.stringify(history, (_, value) => (typeof value === "bigint" ? String(value) : value))).not.toMatch(
      /aaaa|bbbb/,
    );
  });

  it("cuts a message that is longer than anybody reads", () => {
    const history = new History(() => 0);
    history.note(noted.lost({ locks: ["a"], message: "m".repeat(10_000) }));
    expect(history.list(any).events[0]?.message).toHaveLength(2_000);
  });
});
