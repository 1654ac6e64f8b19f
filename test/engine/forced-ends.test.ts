import { describe, expect, it } from "vitest";
import type { ForcedAnswer } from "../../server/engine/admin-engine.ts";
import { acquire } from "../core/session-bench.ts";
import { exclusive } from "../support/key-history.ts";
import { EngineBench, resumeFrame, TestStream } from "./engine-bench.ts";

const why = { actor: "10.0.0.1:5", justification: "it hangs" };

/** A session with a claim on locks, and a bench to end it on. */
function holding(...locks: readonly string[]) {
  const bench = new EngineBench();
  const { stream, sessionId, secret } = bench.open({ onDisconnect: "keep" });
  bench.do(stream, acquire(1n, locks.map(exclusive)));
  const granted = stream.events().find(({ kind }) => kind === "granted");
  const token = granted?.kind === "granted" ? (granted.locks[0]?.token as bigint) : 0n;
  return { bench, stream, sessionId, secret, token };
}

/** Asks for an end by force, and tells what was answered. */
function release(bench: EngineBench, name: string, token: bigint): ForcedAnswer<unknown>[] {
  const answers: ForcedAnswer<unknown>[] = [];
  bench.engine.administration.releaseLock({ name, token, ...why }, (answer) => answers.push(answer));
  bench.settle();
  return answers;
}

function closeSession(bench: EngineBench, sessionId: string): ForcedAnswer<number>[] {
  const answers: ForcedAnswer<number>[] = [];
  bench.engine.administration.closeSession({ sessionId, ...why }, (answer) => answers.push(answer));
  bench.settle();
  return answers;
}

const kindOf = (answers: readonly ForcedAnswer<unknown>[]) =>
  answers.map((answer) => (answer.kind === "ok" ? "ok" : answer.reason));

describe("a release by force", () => {
  it("ends the claim, tells its client why, and lets the next one in", () => {
    const { bench, stream, token } = holding("a");
    const next = bench.open();
    bench.do(next.stream, acquire(1n, exclusive("a")));
    next.stream.events();
    expect(release(bench, "a", token)).toMatchObject([{ kind: "ok", value: { token, claimId: 1n, held: true } }]);
    expect(stream.events()).toMatchObject([
      { kind: "lost", claimId: 1n, reason: "released-by-force", message: expect.stringContaining("says: it hangs") },
    ]);
    expect(next.stream.events()).toMatchObject([
      { kind: "granted", locks: [{ name: "a", previous: { token, end: "forced" } }] },
    ]);
    expect(bench.engine.table.sessions.size).toBe(2);
  });

  it("leaves a session that goes on: its next claims are granted and released as ever", () => {
    const { bench, stream, token } = holding("a");
    release(bench, "a", token);
    stream.events();
    bench.do(stream, acquire(2n, exclusive("a")));
    bench.do(stream, { kind: "release", claimId: 2n }, { kind: "release", claimId: 1n });
    expect(stream.told()).toEqual(["granted 2", "released 1", "released 2"]);
  });

  it("ends a claim on several locks on all of them, in one revision", () => {
    const { bench, stream, token } = holding("a", "b", "c");
    const before = bench.store.revision;
    expect(kindOf(release(bench, "b", token))).toEqual(["ok"]);
    expect(bench.engine.table.queues.size).toBe(0);
    // One for the marks, one for the deletes.
    expect(bench.store.revision).toBe(before + 2);
    expect(stream.told()).toEqual(["lost 1 released-by-force"]);
  });

  it("of a claim that was entered again ends every entry", () => {
    const bench = new EngineBench();
    const { stream } = bench.open();
    bench.do(stream, acquire(1n, exclusive("a"), { reentryId: "x" }));
    const [first] = stream.events();
    bench.do(stream, acquire(2n, exclusive("a"), { reentryId: "x" }));
    expect(stream.told()).toEqual(["granted 2"]);
    const token = first?.kind === "granted" ? (first.locks[0]?.token as bigint) : 0n;
    expect(kindOf(release(bench, "a", token))).toEqual(["ok"]);
    expect(stream.told()).toEqual(["lost 1 released-by-force", "lost 2 released-by-force"]);
  });

  it("with another token ends nothing, and tells who holds the lock", () => {
    const { bench, stream, token } = holding("a");
    expect(release(bench, "a", token + 128n)).toMatchObject([
      { kind: "failed", reason: "wrong-token", holders: [{ token }], holderCount: 1 },
    ]);
    expect(kindOf(release(bench, "b", token))).toEqual(["wrong-token"]);
    expect(stream.told()).toEqual([]);
    expect(bench.engine.table.heldCount).toBe(1);
  });

  it("that is repeated finds nobody with the token", () => {
    const { bench, token } = holding("a");
    release(bench, "a", token);
    expect(release(bench, "a", token)).toMatchObject([{ reason: "wrong-token", holders: [], holderCount: 0 }]);
  });

  it("does not end a claim that waits, whose token nobody was told", () => {
    const { bench, token } = holding("a");
    const waiting = bench.open();
    bench.do(waiting.stream, acquire(1n, exclusive("a")));
    const place = bench.engine.table.queues.get("a")?.firstWaiting?.claim.token as bigint;
    expect(place).toBeGreaterThan(token);
    expect(kindOf(release(bench, "a", place))).toEqual(["wrong-token"]);
    expect(bench.engine.table.waitingCount).toBe(1);
  });

  it("goes through when etcd is full: then the client is not told why", () => {
    const { bench, stream, token } = holding("a");
    bench.store.held.add("commit");
    const answers = release(bench, "a", token);
    bench.store.commits.shift()?.answer({ kind: "no-space" });
    bench.settle();
    const end = bench.store.commits.shift();
    expect(end?.operations[0]?.writes).toMatchObject([{ kind: "delete" }]);
    end?.land();
    end?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.settle();
    expect(kindOf(answers)).toEqual(["ok"]);
    expect(stream.events()).toMatchObject([{ kind: "lost", reason: "released-by-force" }]);
  });

  it("keeps the value that is written at the same time", () => {
    const { bench, stream, token } = holding("a");
    bench.store.held.add("commit");
    bench.do(stream, { kind: "update", claimId: 1n, value: Uint8Array.of(7) });
    const update = bench.store.commits.shift();
    update?.land();
    bench.settle();
    const answers = release(bench, "a", token);
    // Both touch one key, so the mark waits until the update is settled.
    expect(bench.store.commits).toHaveLength(0);
    update?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.settle();
    const mark = bench.store.commits.shift();
    const [write] = mark?.operations[0]?.writes ?? [];
    expect(write).toMatchObject({ kind: "put", lease: 101n, value: { record: { value: Uint8Array.of(7) } } });
    bench.store.held.clear();
    mark?.land();
    mark?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.settle();
    expect(kindOf(answers)).toEqual(["ok"]);
  });

  it("of unknown outcome is not answered before it is known, and says so if it never is", () => {
    const { bench, token } = holding("a");
    bench.store.held.add("commit");
    const answers = release(bench, "a", token);
    bench.store.commits.shift()?.answer({ kind: "unknown" });
    bench.settle();
    for (let i = 0; i < 100; i++) {
      expect(answers).toEqual([]);
      bench.store.commits.shift()?.answer({ kind: "unknown" });
      bench.clock.turn(200);
      if (answers.length > 0) break;
    }
    expect(kindOf(answers)).toEqual(["store-unavailable"]);
    const notes = bench.notes.filter(({ kind }) => kind === "claim.forced");
    expect(notes).toMatchObject([{ known: false, ...why }]);
  });

  it("of unknown outcome that landed all the same is answered as done", () => {
    const { bench, token, stream } = holding("a");
    bench.store.held.add("commit");
    const answers = release(bench, "a", token);
    const mark = bench.store.commits.shift();
    mark?.land();
    mark?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.settle();
    const end = bench.store.commits.shift();
    end?.land();
    end?.answer({ kind: "unknown" });
    bench.clock.turn(100);
    expect(kindOf(answers)).toEqual(["ok"]);
    expect(stream.told()).toEqual(["lost 1 released-by-force"]);
  });

  it("that crosses the release of its client ends the claim once, and the client hears of its own", () => {
    const { bench, stream, token } = holding("a");
    bench.store.held.add("commit");
    const answers = release(bench, "a", token);
    const mark = bench.store.commits.shift();
    mark?.land();
    mark?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.do(stream, { kind: "release", claimId: 1n });
    bench.store.held.clear();
    for (const commit of bench.store.commits.splice(0)) {
      const applied = commit.land();
      commit.answer({ kind: "decided", revision: bench.store.revision, applied });
    }
    bench.clock.turn(1_000);
    expect(stream.told()).toEqual(["released 1"]);
    expect(kindOf(answers)).toEqual(["ok"]);
    expect(bench.engine.table.queues.size).toBe(0);
  });

  it("of a claim that another ended before it landed is not taken for done", () => {
    const { bench, token, sessionId } = holding("a");
    bench.store.held.add("commit");
    const answers = release(bench, "a", token);
    const mark = bench.store.commits.shift();
    mark?.land();
    mark?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.settle();
    const end = bench.store.commits.shift();
    bench.store.write((keys) => keys.end(sessionId, 1n));
    const applied = end?.land() ?? [];
    end?.answer({ kind: "decided", revision: bench.store.revision, applied });
    bench.clock.turn(100);
    expect(kindOf(answers)).toEqual(["wrong-token"]);
    expect(bench.notes.some(({ kind }) => kind === "claim.forced")).toBe(false);
  });

  it("is not done when the store does not answer", () => {
    const { bench, token } = holding("a");
    bench.store.held.add("read");
    const answers = release(bench, "a", token);
    bench.clock.turn(6_000);
    expect(kindOf(answers)).toEqual(["store-unavailable"]);
    expect(bench.engine.table.heldCount).toBe(1);
  });

  it("is remembered with who did it and why, on the server that did it and on the one that was hit", () => {
    const { bench, token, sessionId } = holding("a");
    release(bench, "a", token);
    const query = { lock: "a", sessionId: "", kinds: new Set<never>(), after: 0, before: 0, limit: 2 };
    expect(bench.engine.administration.listEvents(query).events).toMatchObject([
      { kind: "forced", actor: why.actor, message: "it hangs", reason: "released-by-force", token, sessionId },
      { kind: "lost", actor: why.actor, reason: "released-by-force", message: expect.stringContaining("it hangs") },
    ]);
    bench.clock.turn(1_000);
    const [sample] = bench.engine.administration.watchStatistics(() => undefined).take(1);
    expect(sample).toMatchObject({ forced: 1, losses: 1, releases: 0 });
  });

  it("of a claim whose session another server has is seen there with its reason", () => {
    const bench = new EngineBench();
    bench.store.write((keys) => keys.session("elsewhere", "server-2"));
    bench.store.write((keys) => keys.claim("elsewhere", [exclusive("a")]));
    const token = bench.engine.table.queues.get("a")?.first?.claim.token as bigint;
    const seen: unknown[] = [];
    bench.store.held.add("commit");
    const answers = release(bench, "a", token);
    const mark = bench.store.commits.shift();
    seen.push(mark?.operations[0]?.writes[0]);
    mark?.land();
    mark?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    expect(bench.engine.table.queues.get("a")?.first?.claim.forced).toEqual(why);
    bench.settle();
    bench.store.commits.shift()?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.settle();
    expect(kindOf(answers)).toEqual(["ok"]);
    expect(seen).toMatchObject([{ kind: "put", value: { kind: "claim", record: { forced: why } } }]);
  });
});

describe("a session closed by force", () => {
  it("is told why, and its claims are free in one revision", () => {
    const { bench, stream, sessionId } = holding("a");
    bench.do(stream, acquire(2n, exclusive("b")));
    stream.events();
    const next = bench.open();
    bench.do(next.stream, acquire(1n, exclusive("a")));
    next.stream.events();
    expect(closeSession(bench, sessionId)).toEqual([{ kind: "ok", value: 2 }]);
    expect(stream.events()).toMatchObject([
      { kind: "closed", reason: "closed-by-force", message: expect.stringContaining("says: it hangs") },
    ]);
    expect(next.stream.events()).toMatchObject([{ kind: "granted", locks: [{ previous: { end: "forced" } }] }]);
    expect(bench.store.keys.keysOf(sessionId, 1n)).toEqual([]);
    expect(bench.store.revoked).toEqual([101n]);
  });

  it("that another server has is swept here too: that one may be gone", () => {
    const bench = new EngineBench();
    bench.store.write((keys) => keys.session("elsewhere", "server-2"));
    bench.store.write((keys) => keys.claim("elsewhere", [exclusive("a")]));
    expect(closeSession(bench, "elsewhere")).toEqual([{ kind: "ok", value: 1 }]);
    expect([...bench.store.keys.entries.keys()].filter((key) => key.includes("elsewhere"))).toEqual([]);
    expect(bench.store.revoked).toEqual([1n]);
  });

  it("goes on under a new epoch if the administrator stops after the mark", () => {
    const { bench, stream, sessionId } = holding("a");
    bench.store.held.add("commit");
    closeSession(bench, sessionId);
    const mark = bench.store.commits.shift();
    mark?.land();
    bench.store.held.clear();
    // Of the administrator's server nothing more is heard; the session has work to do meanwhile.
    bench.do(stream, acquire(2n, exclusive("b")));
    expect(stream.told()).toEqual(["granted 2"]);
    expect(bench.engine.table.sessions.get(sessionId)?.record.forced).toEqual(why);
  });

  it("is closed although it is resumed at the same time", () => {
    const { bench, stream, sessionId, secret } = holding("a");
    bench.store.held.add("commit");
    const answers = closeSession(bench, sessionId);
    const mark = bench.store.commits.shift();
    mark?.land();
    const resumed = new TestStream();
    bench.do(resumed, resumeFrame(sessionId, secret, 1n));
    bench.store.held.clear();
    mark?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.settle();
    for (const commit of bench.store.commits.splice(0)) {
      const applied = commit.land();
      commit.answer({ kind: "decided", revision: bench.store.revision, applied });
    }
    bench.clock.turn(1_000);
    expect(kindOf(answers)).toEqual(["ok"]);
    expect(bench.engine.table.sessions.size).toBe(0);
    const told = [...stream.told(), ...resumed.told()];
    expect(told.some((line) => line.startsWith("closed"))).toBe(true);
    expect(bench.engine.counts().ownSessions).toBe(0);
  });

  it("that is none is not found, also when the call is repeated", () => {
    const { bench, sessionId } = holding("a");
    expect(kindOf(closeSession(bench, "nobody"))).toEqual(["not-found"]);
    closeSession(bench, sessionId);
    expect(kindOf(closeSession(bench, sessionId))).toEqual(["not-found"]);
  });
});
