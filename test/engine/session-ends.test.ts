import { describe, expect, it } from "vitest";
import { sessionKey } from "../../server/core/keys.ts";
import { acquire } from "../core/session-bench.ts";
import { exclusive } from "../support/key-history.ts";
import { close, EngineBench, openFrame, TestStream } from "./engine-bench.ts";

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
    bench.store.held.add("commit");
    bench.do(stream, close);
    const end = bench.store.commits.shift();
    end?.land();
    end?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.settle();
    bench.store.commits.shift()?.answer({ kind: "unknown" });
    bench.clock.turn(200);
    expect(bench.store.revoked).toEqual([]);
    expect(bench.store.keys.entries.size).toBe(1);
    const sweep = bench.store.commits.shift();
    expect(sweep?.operations[0]?.guards).toEqual([{ kind: "absent", key: "session/session1" }]);
    sweep?.land();
    sweep?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.settle();
    expect(bench.store.keys.entries.size).toBe(0);
    expect(bench.store.revoked).toEqual([101n]);
  });
});

describe("a hand-off", () => {
  const handOffs = (bench: EngineBench) =>
    bench.notes.flatMap((note) => (note.kind === "claim.granted" ? [note.handOffMs] : []));

  it("takes from the decision to end a session until the next holder has its lock", () => {
    const bench = new EngineBench();
    const holder = bench.open({ ttlMs: 10_000 });
    const waiter = bench.open({ ttlMs: 60_000 });
    bench.do(holder.stream, acquire(1n, exclusive("a")));
    bench.do(waiter.stream, acquire(1n, exclusive("a")));
    bench.store.held.add("commit");
    bench.engine.disconnected(holder.stream, "broken");
    bench.settle();
    bench.clock.turn(30);
    const end = bench.store.commits.shift();
    end?.land();
    end?.answer({ kind: "decided", revision: bench.store.revision, applied: [true] });
    bench.settle();
    expect(handOffs(bench)).toEqual([undefined, 30]);
  });

  it("takes no time when the holder releases here, and is none for who waited for nobody", () => {
    const bench = new EngineBench();
    const [holder, waiter] = [bench.open(), bench.open()];
    bench.do(holder.stream, acquire(1n, exclusive("a")));
    bench.do(waiter.stream, acquire(1n, exclusive("a")));
    bench.clock.turn(500);
    bench.do(holder.stream, { kind: "release", claimId: 1n });
    bench.do(waiter.stream, { kind: "release", claimId: 1n });
    bench.clock.turn(500);
    bench.do(holder.stream, acquire(2n, exclusive("a")));
    expect(handOffs(bench)).toEqual([undefined, 0, undefined]);
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
