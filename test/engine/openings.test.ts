import { describe, expect, it } from "vitest";
import { sessionKey } from "../../server/core/keys.ts";
import { Openings } from "../../server/engine/openings.ts";
import type { Opening } from "../../server/engine/session-openings.ts";
import { acquire, release } from "../core/session-bench.ts";
import { exclusive } from "../support/key-history.ts";
import { close, EngineBench, heartbeat, openFrame, resumeFrame, TestStream } from "./engine-bench.ts";

const record = (bench: EngineBench, sessionId: string) => {
  const entry = bench.store.keys.entries.get(sessionKey(sessionId));
  return entry?.kind === "session" ? entry.record : undefined;
};

describe("an open", () => {
  it("is answered when its key is seen, with id, TTL and interval, and takes the commands that came meanwhile", () => {
    const bench = new EngineBench();
    const stream = new TestStream();
    bench.do(stream, openFrame({ ttlMs: 9000 }), acquire(1n, exclusive("a")), heartbeat(1n));
    const [opened, ...rest] = stream.events();
    expect(opened).toEqual({
      kind: "opened",
      sessionId: "session1",
      secret: "",
      ttlMs: 9000,
      validForMs: 9000,
      heartbeatIntervalMs: 3000,
      claims: [],
    });
    expect(rest.map(({ kind }) => kind).sort()).toEqual(["granted", "heartbeat-ack"]);
    expect(record(bench, "session1")).toMatchObject({ ttlMs: 9000, attempt: 0n, serverId: "server-1" });
  });

  it("with KEEP is told a secret, of which etcd has the hash; with TRANSPORT no interval", () => {
    const bench = new EngineBench();
    const { secret, sessionId } = bench.open({ onDisconnect: "keep" });
    expect(secret).toBe("secret0");
    expect(record(bench, sessionId)?.secretHash).toBe("hash of secret0");
    const stream = new TestStream();
    bench.do(stream, openFrame({ liveness: "transport" }));
    expect(stream.opened()).toMatchObject({ secret: "", heartbeatIntervalMs: undefined });
  });

  it("asks for a lease that outlives the session: it is the last resort only", () => {
    const bench = new EngineBench();
    const asked: number[] = [];
    const { grantLease } = bench.store;
    bench.store.grantLease = (ttlSeconds, done) => {
      asked.push(ttlSeconds);
      grantLease.call(bench.store, ttlSeconds, done);
    };
    bench.open({ ttlMs: 15_000 });
    bench.open({ ttlMs: 2000 });
    expect(asked).toEqual([18, 5]);
  });

  it.each([
    ["unavailable", "the store does not answer"],
    ["no-space", "the store is full"],
  ] as const)("that gets no lease (%s) says so", (kind, words) => {
    const bench = new EngineBench();
    bench.store.held.add("grant");
    const stream = new TestStream();
    bench.do(stream, openFrame());
    bench.store.grants.shift()?.answer({ kind });
    const [closed] = stream.events();
    expect(closed).toMatchObject({ kind: "closed", reason: "store-unavailable" });
    expect(closed?.kind === "closed" && closed.message).toContain(words);
  });

  it("of unknown outcome is given up together with its lease, and never repeated", () => {
    const bench = new EngineBench();
    bench.store.held.add("commit");
    const stream = new TestStream();
    bench.do(stream, openFrame());
    bench.store.commits.shift()?.answer({ kind: "unknown" });
    bench.settle();
    expect(stream.told()).toEqual(["closed store-unavailable"]);
    expect(bench.store.revoked).toEqual([101n]);
    bench.clock.turn(10_000);
    expect(bench.store.commits).toEqual([]);
  });

  it("that is seen before its reply was lost is open all the same, and keeps its lease", () => {
    const bench = new EngineBench();
    bench.store.held.add("commit");
    const stream = new TestStream();
    bench.do(stream, openFrame());
    const commit = bench.store.commits.shift();
    commit?.land();
    expect(stream.told()).toEqual(["opened"]);
    commit?.answer({ kind: "unknown" });
    bench.settle();
    expect(stream.told()).toEqual([]);
    expect(bench.store.revoked).toEqual([]);
  });

  it("whose client leaves before it has a lease gives the lease back", () => {
    const bench = new EngineBench();
    bench.store.held.add("grant");
    const stream = new TestStream();
    bench.do(stream, openFrame());
    bench.engine.disconnected(stream, "broken");
    bench.store.grants.shift()?.answer({ kind: "granted", lease: 7n, ttlSeconds: 18 });
    bench.settle();
    expect(bench.store.revoked).toEqual([7n]);
    expect(bench.store.calls.commit).toBe(0);
  });

  it("whose client leaves while it is written ends what was written", () => {
    const bench = new EngineBench();
    bench.store.held.add("commit");
    const stream = new TestStream();
    bench.do(stream, openFrame({ onDisconnect: "keep" }));
    bench.engine.disconnected(stream, "broken");
    bench.store.held.clear();
    const commit = bench.store.commits.shift();
    commit?.land();
    commit?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.settle();
    expect(bench.store.keys.entries.size).toBe(0);
    expect(bench.store.revoked).toEqual([101n]);
  });

  it("that came and went before it was seen says that the session ended", () => {
    const bench = new EngineBench();
    bench.store.held.add("commit");
    const stream = new TestStream();
    bench.do(stream, openFrame());
    bench.store.watchIsSilent = true;
    const commit = bench.store.commits.shift();
    commit?.land();
    const { revision } = bench.store;
    bench.store.keys.endSession("session1");
    commit?.answer({ kind: "decided", revision, applied: [true] });
    expect(stream.told()).toEqual([]);
    bench.store.watchIsSilent = false;
    bench.store.resync();
    expect(stream.told()).toEqual(["closed session-expired"]);
  });
});

describe("a stream", () => {
  it("must begin with open or resume", () => {
    const bench = new EngineBench();
    const stream = new TestStream();
    bench.do(stream, heartbeat(1n));
    expect(stream.told()).toEqual(["closed invalid"]);
  });

  it("may open only once, be it before or after it is answered", () => {
    const bench = new EngineBench();
    const early = new TestStream();
    bench.do(early, openFrame(), openFrame());
    expect(early.told()).toEqual(["closed invalid"]);
    const { stream } = bench.open();
    bench.do(stream, openFrame());
    expect(stream.told()).toEqual(["closed invalid"]);
  });

  it("that was closed takes nothing more, whatever still comes over it", () => {
    const bench = new EngineBench();
    for (const first of [heartbeat(1n), openFrame()]) {
      const stream = new TestStream();
      bench.do(stream, first, openFrame(), openFrame(), acquire(1n, exclusive("a")), heartbeat(1n), close);
      expect(stream.told()).toEqual(["closed invalid"]);
    }
    const refused = new TestStream();
    bench.engine.refuse(refused, "invalid", "no open came within 5 s");
    bench.do(refused, openFrame());
    expect(refused.told()).toEqual(["closed invalid"]);
    const gone = bench.open().stream;
    bench.engine.disconnected(gone, "broken");
    bench.do(gone, openFrame());
    expect(gone.told()).toEqual([]);
    expect(bench.engine.counts()).toMatchObject({ sessions: 0, ownSessions: 0 });
  });

  it("may not send more than 4,000 commands before it is open", () => {
    const bench = new EngineBench();
    bench.store.held.add("grant");
    const stream = new TestStream();
    bench.do(stream, openFrame());
    for (let i = 1n; i <= 4000n; i++) bench.engine.command(stream, heartbeat(i));
    expect(stream.told()).toEqual([]);
    bench.engine.command(stream, heartbeat(4001n));
    expect(stream.told()).toEqual(["closed invalid"]);
  });

  it("is refused before the table is there, and after the server began to stop", () => {
    const bench = new EngineBench(false);
    const early = new TestStream();
    bench.do(early, openFrame());
    expect(early.told()).toEqual(["closed store-unavailable"]);
    bench.engine.start(() => undefined);
    bench.settle();
    bench.engine.stop(1000, () => undefined);
    const late = new TestStream();
    bench.do(late, openFrame());
    expect(late.told()).toEqual(["closed draining"]);
  });

  it("of a session with RELEASE ends it, however it ends; its lease is revoked when that is known", () => {
    for (const how of ["half-closed", "broken"] as const) {
      const bench = new EngineBench();
      const { stream } = bench.open();
      bench.do(stream, acquire(1n, exclusive("a")));
      bench.store.held.add("commit");
      bench.engine.disconnected(stream, how);
      bench.settle();
      expect(bench.store.revoked).toEqual([]);
      bench.store.held.clear();
      const end = bench.store.commits.shift();
      end?.land();
      expect(bench.engine.table.queues.size).toBe(0);
      end?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
      bench.settle();
      expect(bench.store.keys.entries.size).toBe(0);
      expect(bench.store.revoked).toEqual([101n]);
    }
  });

  it("of a session with KEEP leaves it as it is when it breaks or half-closes, and only close ends it", () => {
    const bench = new EngineBench();
    const { stream, sessionId, secret } = bench.open({ onDisconnect: "keep" });
    bench.do(stream, acquire(1n, exclusive("a")));
    bench.engine.disconnected(stream, "half-closed");
    bench.settle();
    expect(bench.engine.table.heldCount).toBe(1);
    const again = new TestStream();
    bench.do(again, resumeFrame(sessionId, secret, 1n));
    again.events();
    bench.do(again, close);
    expect(again.told()).toEqual(["closed closed-by-client"]);
    expect(bench.store.keys.entries.size).toBe(0);
  });
});

describe("a resume", () => {
  function kept() {
    const bench = new EngineBench();
    const { stream, sessionId, secret } = bench.open({ onDisconnect: "keep" });
    bench.do(stream, acquire(1n, exclusive("a")));
    stream.events();
    const resume = (attempt: bigint, identity = "") => {
      const again = new TestStream(identity);
      bench.do(again, resumeFrame(sessionId, secret, attempt));
      return again;
    };
    return { bench, stream, sessionId, secret, resume };
  }

  it("is answered with the live claims and their tokens, and closes the older stream as superseded", () => {
    const { bench, stream, sessionId, secret, resume } = kept();
    const token = bench.engine.table.claim(sessionId, 1n)?.token;
    const opened = resume(1n).opened();
    expect(opened).toMatchObject({ sessionId, secret, ttlMs: 15_000 });
    expect(opened.claims).toEqual([{ claimId: 1n, held: true, locks: [{ name: "a", token }] }]);
    expect(stream.told()).toEqual(["closed superseded"]);
    expect(record(bench, sessionId)?.attempt).toBe(1n);
  });

  it("takes from the older stream nothing more", () => {
    const { bench, stream, resume } = kept();
    resume(1n);
    bench.do(stream, release(1n), close);
    expect(bench.engine.table.heldCount).toBe(1);
  });

  it("with an attempt that is not larger is superseded, and changes nothing", () => {
    const { bench, sessionId, resume } = kept();
    const second = resume(5n);
    for (const attempt of [5n, 4n, 1n]) expect(resume(attempt).told()).toEqual(["closed superseded"]);
    expect(second.told()).toEqual(["opened"]);
    expect(record(bench, sessionId)?.attempt).toBe(5n);
  });

  it("with a wrong secret or another identity is not permitted; of a session that is gone, it is expired", () => {
    const { bench, sessionId, secret, resume } = kept();
    const wrong = new TestStream();
    bench.do(wrong, resumeFrame(sessionId, "guess", 1n));
    expect(wrong.told()).toEqual(["closed not-permitted"]);
    expect(resume(1n, "mallory").told()).toEqual(["closed not-permitted"]);
    const gone = new TestStream();
    bench.do(gone, resumeFrame("nobody", secret, 1n));
    expect(gone.told()).toEqual(["closed session-expired"]);
  });

  it("of a session with RELEASE is not permitted, whatever secret it names", () => {
    const bench = new EngineBench();
    const { sessionId } = bench.open();
    const stream = new TestStream();
    bench.do(stream, resumeFrame(sessionId, "", 1n));
    expect(stream.told()).toEqual(["closed not-permitted"]);
  });

  it("is answered from behind a barrier, or with the store if that does not pass", () => {
    const { bench, resume } = kept();
    bench.store.held.add("read");
    const stream = resume(1n);
    expect(stream.told()).toEqual([]);
    bench.store.reads.shift()?.answer({ kind: "unavailable" });
    bench.settle();
    expect(stream.told()).toEqual(["closed store-unavailable"]);
  });

  it("renews the lease before it answers", () => {
    const { bench, resume } = kept();
    bench.store.held.add("renew");
    const stream = resume(1n);
    expect(stream.told()).toEqual([]);
    bench.store.renewals.shift()?.answer({ kind: "renewed", ttlSeconds: 18 });
    expect(stream.told()).toEqual(["opened"]);
  });

  it.each([
    ["gone", "closed session-expired"],
    ["unavailable", "closed store-unavailable"],
  ] as const)("whose lease is %s says so", (kind, told) => {
    const { bench, resume } = kept();
    bench.store.held.add("renew");
    const stream = resume(1n);
    bench.store.renewals.shift()?.answer({ kind });
    expect(stream.told()).toEqual([told]);
  });

  it("of unknown outcome closes the stream, but keeps the session without one if it landed, and judges its deadline", () => {
    const { bench, stream, sessionId, resume } = kept();
    bench.store.held.add("commit");
    const second = resume(1n);
    const commit = bench.store.commits.shift();
    commit?.answer({ kind: "unknown" });
    expect(second.told()).toEqual(["closed store-unavailable"]);
    bench.store.held.clear();
    commit?.land();
    expect(stream.told()).toEqual(["closed superseded"]);
    bench.clock.turn(15_000);
    expect(bench.store.keys.entries.has(sessionKey(sessionId))).toBe(true);
    bench.clock.turn(1000);
    expect(bench.store.keys.entries.size).toBe(0);
  });

  it("is not sent at all when its stream is gone", () => {
    const { bench, stream, sessionId, secret } = kept();
    const { revision } = bench.store;
    bench.store.held.add("read");
    const again = new TestStream();
    bench.do(again, resumeFrame(sessionId, secret, 1n));
    bench.engine.disconnected(again, "broken");
    bench.store.reads.shift()?.answer({ kind: "revision", revision });
    bench.settle();
    expect(bench.store.revision).toBe(revision);
    expect(stream.told()).toEqual([]);
  });

  it("that lost against another one says to resume again", () => {
    const { bench, sessionId, resume } = kept();
    bench.store.held.add("commit");
    const stream = resume(1n);
    const commit = bench.store.commits.shift();
    bench.store.write((keys) => keys.session(sessionId, "server-2"));
    expect(commit?.land()).toEqual([false]);
    commit?.answer({ kind: "decided", revision: bench.store.revision, applied: [false] });
    bench.settle();
    expect(stream.told()).toEqual(["closed store-unavailable"]);
  });

  it("that comes twice with one attempt is answered once, and the other stream is closed", () => {
    const { bench, sessionId, secret } = kept();
    bench.store.held.add("commit");
    const [first, second] = [new TestStream(), new TestStream()];
    bench.do(first, resumeFrame(sessionId, secret, 1n));
    bench.do(second, resumeFrame(sessionId, secret, 1n));
    bench.store.held.clear();
    const commit = bench.store.commits.shift();
    commit?.land();
    commit?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.settle();
    expect([first.told(), second.told()]).toEqual([["closed superseded"], ["opened"]]);
  });

  it("counts the first deadline from when it was seen", () => {
    const { bench, sessionId, resume } = kept();
    bench.clock.turn(10_000);
    resume(1n);
    bench.clock.turn(15_200);
    expect(bench.store.keys.entries.has(sessionKey(sessionId))).toBe(true);
    bench.clock.turn(200);
    expect(bench.store.keys.entries.has(sessionKey(sessionId))).toBe(false);
  });
});

describe("the openings under way", () => {
  const opening = (sessionId: string, attempt: bigint) =>
    ({ kind: attempt === 0n ? "open" : "life", sessionId, attempt }) as Opening;

  it("are forgotten when the table shows that they cannot come any more", () => {
    const openings = new Openings();
    for (const attempt of [1n, 2n, 3n]) openings.add(opening("s", attempt));
    openings.seen("s", 2n);
    expect([1n, 2n, 3n].map((attempt) => openings.find("s", attempt)?.attempt)).toEqual([undefined, undefined, 3n]);
    openings.seen("s", undefined);
    expect(openings.find("s", 3n)).toBeUndefined();
  });

  it("are one for each attempt: a later one takes the place of the earlier", () => {
    const openings = new Openings();
    const [first, second] = [opening("s", 1n), opening("s", 1n)];
    expect(openings.add(first)).toBeUndefined();
    expect(openings.add(second)).toBe(first);
    openings.delete(first);
    expect(openings.find("s", 1n)).toBe(second);
    expect(openings.hasNew).toBe(false);
    openings.add(opening("new", 0n));
    expect(openings.hasNew).toBe(true);
  });
});

describe("a session", () => {
  it("that is taken over by another server is let go here", () => {
    const bench = new EngineBench();
    const { stream, sessionId } = bench.open({ onDisconnect: "keep" });
    bench.store.write((keys) => keys.session(sessionId, "server-2"));
    expect(stream.told()).toEqual(["closed superseded"]);
    bench.clock.turn(60_000);
    expect(bench.store.keys.entries.has(sessionKey(sessionId))).toBe(true);
    expect(bench.engine.counts().ownSessions).toBe(0);
  });

  it("whose lease ran out in etcd is closed as expired, and its claims are free", () => {
    const bench = new EngineBench();
    const { stream } = bench.open();
    bench.do(stream, acquire(1n, exclusive("a")));
    stream.events();
    bench.store.write((keys) => keys.expire(101n));
    expect(stream.told()).toEqual(["closed session-expired"]);
    expect(bench.engine.table.queues.size).toBe(0);
  });

  it("that ends has its claim keys swept in batches, and its lease revoked after all of them", () => {
    const bench = new EngineBench();
    const { stream } = bench.open();
    const claims = Array.from({ length: 100 }, (_, i) => acquire(BigInt(i + 1), exclusive(`l${i}`)));
    bench.do(stream, ...claims);
    bench.do(stream, close);
    expect(bench.store.keys.entries.size).toBe(0);
    expect(bench.store.revoked).toEqual([101n]);
  });

  it("that ends has its sweep repeated until it is known, and its lease revoked only then", () => {
    const bench = new EngineBench();
    const { stream } = bench.open();
    bench.do(stream, acquire(1n, exclusive("a")));
    bench.do(stream, close);
    const twice = new EngineBench();
    const other = twice.open().stream;
    twice.do(other, acquire(1n, exclusive("a")));
    twice.store.held.add("commit");
    twice.do(other, close);
    const end = twice.store.commits.shift();
    end?.land();
    end?.answer({ kind: "decided", revision: twice.store.revision, applied: [true] });
    twice.settle();
    twice.store.commits.shift()?.answer({ kind: "unknown" });
    twice.clock.turn(200);
    expect(twice.store.revoked).toEqual([]);
    expect(twice.store.keys.entries.size).toBe(1);
    const sweep = twice.store.commits.shift();
    expect(sweep?.operations[0]?.guards).toEqual([{ kind: "absent", key: "session/session1" }]);
    sweep?.land();
    sweep?.answer({ kind: "decided", revision: twice.store.revision, applied: [true] });
    twice.settle();
    expect(twice.store.keys.entries.size).toBe(0);
    expect(twice.store.revoked).toEqual([101n]);
  });
});

describe("a server that stops", () => {
  it("ends sessions with RELEASE, sends the others elsewhere, and says when etcd has confirmed", () => {
    const bench = new EngineBench();
    const released = bench.open();
    const kept = bench.open({ onDisconnect: "keep" });
    let stopped = 0;
    bench.store.held.add("commit");
    bench.engine.stop(5000, () => stopped++);
    bench.settle();
    expect(kept.stream.told()).toEqual(["closed draining"]);
    expect(stopped).toBe(0);
    const end = bench.store.commits.shift();
    end?.land();
    end?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.settle();
    expect(released.stream.told()).toEqual(["closed draining"]);
    expect(stopped).toBe(1);
    expect([...bench.store.keys.entries.keys()]).toEqual([sessionKey(kept.sessionId)]);
    bench.clock.turn(10_000);
    expect(stopped).toBe(1);
  });

  it("waits no longer than it was told", () => {
    const bench = new EngineBench();
    bench.open();
    let stopped = 0;
    bench.store.held.add("commit");
    bench.engine.stop(5000, () => stopped++);
    bench.clock.turn(4999);
    expect(stopped).toBe(0);
    bench.clock.turn(1);
    expect(stopped).toBe(1);
  });

  it("with nothing to end says so at the end of the turn", () => {
    const bench = new EngineBench();
    let stopped = 0;
    bench.engine.stop(5000, () => stopped++);
    expect(stopped).toBe(0);
    bench.settle();
    expect(stopped).toBe(1);
  });

  it("leaves no session behind that was being opened", () => {
    const bench = new EngineBench();
    bench.store.held.add("commit");
    const stream = new TestStream();
    bench.do(stream, openFrame());
    let stopped = 0;
    bench.engine.stop(5000, () => stopped++);
    bench.settle();
    expect(stream.told()).toEqual(["closed draining"]);
    expect(stopped).toBe(0);
    bench.store.held.clear();
    const commit = bench.store.commits.shift();
    commit?.land();
    commit?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.settle();
    expect(stopped).toBe(1);
    expect(bench.store.keys.entries.size).toBe(0);
  });
});
