import { describe, expect, it } from "vitest";
import { Usage } from "../../server/core/queue.ts";
import { acquire, release, tryOf } from "../core/session-bench.ts";
import { exclusive, semaphore, shared } from "../support/key-history.ts";
import { EngineBench } from "./engine-bench.ts";

/** What the seeded walks of test/simulation found, one by one: each had a client told what was not so. */
describe("what the walks found", () => {
  it("a release is not answered while a gap brings the claim and its session's new epoch to light at once", () => {
    const bench = new EngineBench();
    const { stream } = bench.open({ onDisconnect: "keep" });
    bench.store.watchIsSilent = true;
    bench.store.held.add("commit");
    bench.do(stream, acquire(1n, exclusive("a")));
    bench.do(stream, release(1n));
    const entering = bench.store.commits.shift();
    entering?.land();
    entering?.answer({ kind: "unknown" });
    bench.settle();
    // The bump lands too, and its reply is lost as well.
    bench.store.commits.shift()?.land();
    bench.store.watchIsSilent = false;
    bench.store.resync();
    expect(stream.told()).toEqual([]);
    bench.settle();
    const leaving = bench.store.commits.shift();
    expect(leaving?.operations).toMatchObject([{ writes: [{ kind: "delete" }] }]);
    leaving?.land();
    expect(stream.told()).toEqual(["released 1"]);
  });

  it("whoever is let in by a release that was waiting for the same step is told", () => {
    const bench = new EngineBench();
    const first = bench.open();
    const second = bench.open();
    bench.store.watchIsSilent = true;
    bench.do(first.stream, acquire(1n, exclusive("a")));
    bench.do(second.stream, acquire(1n, exclusive("a")));
    bench.do(first.stream, release(1n));
    bench.store.watchIsSilent = false;
    bench.store.resync();
    expect(second.stream.told()).toEqual(["waiting 1 1", "granted 1"]);
  });

  it("a session with KEEP whose stream is refused keeps its claims: its client may not have heard of it", () => {
    const bench = new EngineBench();
    const { stream } = bench.open({ onDisconnect: "keep", ttlMs: 10_000 });
    const other = bench.open({ ttlMs: 60_000 });
    bench.do(stream, acquire(1n, exclusive("a")));
    bench.do(other.stream, acquire(1n, exclusive("a")));
    other.stream.events();
    bench.engine.refuse(stream, "client-too-slow", "the client does not read");
    bench.clock.turn(10_000);
    expect(other.stream.told()).toEqual([]);
    bench.clock.turn(1000);
    expect(other.stream.told()).toEqual(["granted 1"]);
  });

  it("a comparison that a gap has overtaken says nothing", () => {
    const bench = new EngineBench();
    bench.store.held.add("readAll");
    bench.clock.turn(60_000);
    const before = bench.store.snapshot();
    bench.store.watchIsSilent = true;
    bench.store.write((keys) => keys.claim("far", [exclusive("a")]));
    bench.store.watchIsSilent = false;
    bench.store.resync();
    bench.store.readAlls.shift()?.answer(before);
    bench.settle();
    // It would have read the table anew.
    expect(bench.store.calls.readAll).toBe(1);
  });

  it("a try is not written beside a holder that an early hand-off on another lock has let in", () => {
    const bench = new EngineBench();
    const { stream } = bench.open();
    bench.do(stream, acquire(1n, semaphore("seats", 2, 2)));
    bench.do(stream, acquire(2n, [semaphore("seats", 1, 2), shared("a")]));
    stream.events();
    bench.store.held.add("commit");
    bench.do(stream, release(1n));
    expect(stream.told()).toEqual(["granted 2"]);
    bench.store.held.delete("commit");
    const { stream: trying } = bench.open();
    bench.do(trying, tryOf(1n, shared("a")));
    // To all other servers claim 2 waits on "seats", so nobody behind it on "a" may be let in at once.
    expect(trying.told()).toEqual([]);
    const [leaving] = bench.store.commits;
    leaving?.land();
    bench.clock.turn(100);
    expect(trying.told()).toEqual(["granted 1"]);
  });

  it("a permit is free although an exclusive claim was given up beside it", () => {
    const givenUp = new Usage();
    givenUp.add(semaphore("seats", 1, 2));
    givenUp.add(exclusive("seats"));
    givenUp.subtract(exclusive("seats"));
    expect(givenUp.fits(semaphore("seats", 1, 2))).toBe(true);
  });
});
