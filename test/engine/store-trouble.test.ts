import { describe, expect, it } from "vitest";
import { claimKey } from "../../server/core/keys.ts";
import type { Answer } from "../../server/engine/lock-engine.ts";
import { acquire } from "../core/session-bench.ts";
import { exclusive } from "../support/key-history.ts";
import { EngineBench, openFrame, TestStream } from "./engine-bench.ts";

function withHolder() {
  const bench = new EngineBench();
  const { stream } = bench.open({ onDisconnect: "keep" });
  bench.do(stream, acquire(1n, exclusive("a")));
  stream.events();
  return { bench, stream };
}

describe("a read", () => {
  it("is answered from a table that is no older than the call", () => {
    const { bench } = withHolder();
    bench.store.watchIsSilent = true;
    bench.store.keys.claim("far", [exclusive("a")]);
    const answers: Answer<unknown>[] = [];
    bench.engine.getLock("a", 10, (answer) => answers.push(answer));
    bench.engine.listLocks({ prefix: "", state: undefined, after: "", pageSize: 10, holderLimit: 1 }, (answer) =>
      answers.push(answer),
    );
    bench.engine.checkToken("a", BigInt(bench.store.revision) * 128n, (answer) => answers.push(answer));
    bench.settle();
    expect(answers).toEqual([]);
    bench.store.watchIsSilent = false;
    bench.store.deliver();
    expect(answers).toMatchObject([
      { kind: "ok", value: { name: "a", state: "contended", holderCount: 1, waiterCount: 1 } },
      { kind: "ok", value: { locks: [{ name: "a" }], more: false } },
      { kind: "ok", value: { state: "live" } },
    ]);
  });

  it("of a lock that nobody has shows it free", () => {
    const bench = new EngineBench();
    const answers: Answer<unknown>[] = [];
    bench.engine.getLock("nobody's", 10, (answer) => answers.push(answer));
    bench.settle();
    expect(answers).toMatchObject([{ kind: "ok", value: { name: "nobody's", state: "free", holders: [] } }]);
  });

  it("fails with the store when that does not answer", () => {
    const { bench } = withHolder();
    bench.store.held.add("read");
    const answers: Answer<unknown>[] = [];
    bench.engine.getLock("a", 10, (answer) => answers.push(answer));
    bench.clock.turn(10_000);
    expect(answers).toMatchObject([{ kind: "failed", reason: "store-unavailable" }]);
  });
});

describe("health", () => {
  it("is serving when the table is there and proven within 3 s", () => {
    const bench = new EngineBench(false);
    expect(bench.engine.health()).toEqual({ serving: false, problem: "the table has not been read yet" });
    bench.engine.start(() => undefined);
    bench.settle();
    bench.clock.turn(10_000);
    expect(bench.engine.health()).toEqual({ serving: true, problem: "" });
    bench.store.held.add("read");
    bench.clock.turn(3400);
    expect(bench.engine.health()).toEqual({ serving: false, problem: "the store has not answered for 3 s" });
    bench.store.held.clear();
    for (const read of bench.store.reads.splice(0)) read.answer({ kind: "revision", revision: bench.store.revision });
    bench.clock.turn(600);
    expect(bench.engine.health().serving).toBe(true);
  });

  it("is lost when reads are answered but no write is committed, as with a disk that hangs", () => {
    const { bench } = withHolder();
    bench.clock.turn(2000);
    expect(bench.engine.health().serving).toBe(true);
    bench.store.held.add("proof");
    bench.clock.turn(3000);
    expect(bench.engine.health().serving).toBe(true);
    bench.clock.turn(2000);
    expect(bench.engine.health().problem).toMatch(/^the store has not committed a write for [45] s$/);
    expect(bench.store.proofs).toHaveLength(1);
    bench.store.held.clear();
    bench.store.proofs[0]!.answer({ kind: "unknown" });
    bench.clock.turn(600);
    expect(bench.engine.health().serving).toBe(true);
  });

  it("needs no write without effect while others are committed", () => {
    const { bench } = withHolder();
    bench.store.held.add("proof");
    const stream = bench.open({ ttlMs: 60_000 }).stream;
    for (let id = 1n; id < 40n; id++) {
      bench.do(stream, acquire(id, exclusive(`lock-${id}`)));
      bench.clock.turn(250);
    }
    expect(bench.engine.health()).toEqual({ serving: true, problem: "" });
    expect(bench.store.proofs.length).toBeLessThan(2);
  });

  it("says that the server stops", () => {
    const bench = new EngineBench();
    bench.clock.turn(600);
    bench.engine.stop(1000, () => undefined);
    expect(bench.engine.health().problem).toBe("the server is shutting down");
  });
});

describe("an etcd that was restored or replaced", () => {
  it("is noticed by a revision below what the table had, and nothing is served any more", () => {
    const { bench, stream } = withHolder();
    bench.store.held.add("read");
    bench.clock.turn(500);
    bench.store.reads.shift()?.answer({ kind: "revision", revision: bench.store.revision - 1 });
    bench.settle();
    expect(stream.told()).toEqual(["closed store-unavailable"]);
    expect(bench.engine.health().problem).toContain("it was restored from a backup or replaced");
    const late = new TestStream();
    bench.do(late, openFrame());
    expect(late.told()).toEqual(["closed store-unavailable"]);
    expect(bench.notes.filter(({ kind }) => kind === "engine.failed")).toHaveLength(1);
  });

  it("is written to no more: what waited is dropped, and no session is ended there", () => {
    const { bench, stream } = withHolder();
    bench.store.held.add("commit");
    for (let id = 2n; id < 8n; id++) bench.do(stream, acquire(id, exclusive(`waits-${id}`)));
    bench.store.held.add("read");
    bench.clock.turn(500);
    bench.store.reads.shift()?.answer({ kind: "revision", revision: bench.store.revision - 1 });
    bench.settle();
    const { commit } = bench.store.calls;
    for (const held of bench.store.commits.splice(0)) held.answer({ kind: "unknown" });
    bench.store.held.clear();
    bench.settle();
    bench.clock.turn(120_000);
    expect(bench.store.calls.commit).toBe(commit);
    expect(bench.store.revoked).toEqual([]);
    expect(bench.engine.table.heldCount).toBe(1);
    // Its sessions will never be known to have ended, and the server does not wait for that.
    const stopped: string[] = [];
    bench.engine.stop(60_000, () => stopped.push("stopped"));
    bench.settle();
    expect(stopped).toEqual(["stopped"]);
  });

  it("is noticed by a snapshot below it, and the table stays as it was", () => {
    const { bench, stream } = withHolder();
    const { snapshot } = bench.store;
    bench.store.snapshot = () => ({ revision: 1, entries: [] });
    bench.store.resync();
    bench.store.snapshot = snapshot;
    expect(stream.told()).toEqual(["closed store-unavailable"]);
    expect(bench.engine.table.heldCount).toBe(1);
  });
});

describe("a gap in the watch", () => {
  it("is filled by difference: grants, losses and places are told as if each revision had been seen", () => {
    const { bench, stream } = withHolder();
    const far = bench.store.keys.claim("far", [exclusive("b")]);
    bench.store.deliver();
    bench.do(stream, acquire(2n, exclusive("b")));
    stream.events();
    bench.store.watchIsSilent = true;
    bench.store.write((keys) => {
      keys.end("far", far.id);
      keys.end("session1", 1n);
      keys.claim("late", [exclusive("b")]);
    });
    bench.store.watchIsSilent = false;
    bench.store.resync();
    expect(stream.told().sort()).toEqual(["granted 2", "lost 1 released-by-force"]);
    expect(bench.engine.table.queues.get("b")?.waitingCount).toBe(1);
    expect(bench.notes).toContainEqual({ kind: "table.resynced", revision: bench.store.revision, why: "gap" });
  });

  it("is followed by what comes after it, and what it covered is not applied twice", () => {
    const { bench, stream } = withHolder();
    bench.store.watchIsSilent = true;
    bench.do(stream, acquire(2n, exclusive("b")));
    bench.store.watchIsSilent = false;
    const missed = bench.store.keys.log.at(-1)!;
    bench.store.resync();
    bench.engine.changes(missed.revision, missed.changes);
    expect(stream.told()).toEqual(["granted 2"]);
    bench.store.write((keys) => keys.claim("far", [exclusive("b")]));
    expect(bench.engine.table.queues.get("b")?.size).toBe(2);
  });
});

describe("the audit", () => {
  it("finds a key that the watch has lost, and reads the table anew", () => {
    const { bench, stream } = withHolder();
    bench.do(stream, acquire(2n, exclusive("a")));
    stream.events();
    // The delete of the first claim never reaches the watch.
    bench.store.watchIsSilent = true;
    bench.store.keys.end("session1", 1n);
    const { log } = bench.store.keys;
    log[log.length - 1] = { revision: bench.store.revision, changes: [] };
    bench.store.watchIsSilent = false;
    bench.store.deliver();
    expect(stream.told()).toEqual([]);
    keepAlive(bench, stream, 60_000);
    expect(stream.told().filter((line) => !line.startsWith("heartbeat"))).toEqual([
      "lost 1 released-by-force",
      "granted 2",
    ]);
    expect(bench.notes).toContainEqual(expect.objectContaining({ kind: "table.resynced", why: "disagreement" }));
  });

  it("does not take what changes while it compares for a disagreement", () => {
    const { bench, stream } = withHolder();
    bench.store.held.add("readAll");
    keepAlive(bench, stream, 60_000);
    const before = bench.store.snapshot();
    bench.store.write((keys) => keys.claim("far", [exclusive("a")]));
    bench.store.readAlls.shift()?.answer(before);
    bench.settle();
    expect(bench.store.calls.readAll).toBe(1);
    expect(bench.notes.some(({ kind }) => kind === "table.resynced")).toBe(false);
  });

  it("waits until the table is as new as what it read", () => {
    const { bench, stream } = withHolder();
    bench.store.held.add("readAll");
    keepAlive(bench, stream, 60_000);
    bench.store.watchIsSilent = true;
    bench.store.write((keys) => keys.claim("far", [exclusive("a")]));
    bench.store.readAlls.shift()?.answer(bench.store.snapshot());
    bench.settle();
    expect(bench.store.calls.readAll).toBe(1);
    bench.store.watchIsSilent = false;
    bench.store.deliver();
    bench.settle();
    expect(bench.store.calls.readAll).toBe(1);
  });

  it("keeps back what comes while the table is read anew, and applies it after", () => {
    const { bench, stream } = withHolder();
    const { entries } = bench.store.keys;
    bench.store.held.add("readAll");
    keepAlive(bench, stream, 60_000);
    const wrong = {
      revision: bench.store.revision,
      entries: [...entries.values()].filter(({ kind }) => kind !== "claim"),
    };
    bench.store.readAlls.shift()?.answer(wrong);
    bench.settle();
    const anew = bench.store.snapshot();
    bench.store.write((keys) => keys.claim("far", [exclusive("z")]));
    expect(bench.engine.table.queues.has("z")).toBe(false);
    bench.engine.progress(bench.store.revision);
    expect(bench.engine.table.revision).toBeLessThan(bench.store.revision);
    bench.store.readAlls.shift()?.answer(anew);
    expect(bench.engine.table.queues.has("z")).toBe(true);
    expect(bench.engine.table.claim("session1", 1n)?.held).toBe(true);
    expect(bench.engine.table.revision).toBe(bench.store.revision);
  });

  it("goes on after a read that failed", () => {
    const { bench, stream } = withHolder();
    bench.store.held.add("readAll");
    keepAlive(bench, stream, 60_000);
    bench.store.readAlls.shift()?.answer(undefined);
    keepAlive(bench, stream, 60_000);
    expect(bench.store.calls.readAll).toBe(2);
  });

  it("does not mind what the table knows of no session", () => {
    const { bench, stream } = withHolder();
    bench.store.write((keys) =>
      keys.put(claimKey("x", "nobody", 1n), keys.entries.get(keys.keysOf("session1", 1n)[0]!)!),
    );
    keepAlive(bench, stream, 61_000);
    expect(bench.store.calls.readAll).toBe(1);
  });
});

let beats = 0n;

/** Lets time pass for a client that sends heartbeats. */
function keepAlive(bench: EngineBench, stream: TestStream, ms: number): void {
  for (let passed = 0; passed < ms; passed += 5000) {
    bench.clock.turn(5000);
    bench.do(stream, { kind: "heartbeat", seq: ++beats });
  }
}
