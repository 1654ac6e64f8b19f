import { describe, expect, it } from "vitest";
import { sessionKey } from "../../server/core/keys.ts";
import { acquire, release } from "../core/session-bench.ts";
import { exclusive } from "../support/key-history.ts";
import { close, EngineBench, resumeFrame, TestStream } from "./engine-bench.ts";

const record = (bench: EngineBench, sessionId: string) => {
  const entry = bench.store.keys.entries.get(sessionKey(sessionId));
  return entry?.kind === "session" ? entry.record : undefined;
};

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
