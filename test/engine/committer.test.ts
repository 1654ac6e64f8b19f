import { beforeEach, describe, expect, it } from "vitest";
import type { PendingOperation } from "../../server/core/group-commit.ts";
import type { Settled } from "../../server/core/operation.ts";
import { Committer } from "../../server/engine/committer.ts";
import type { EngineNote } from "../../server/ports/telemetry.ts";
import { claim as claimValue } from "../support/store-calls.ts";
import { HandClock } from "./hand-clock.ts";
import { ScriptedStore } from "./scripted-store.ts";

let clock: HandClock;
let store: ScriptedStore;
let committer: Committer;
let notes: EngineNote[];
let told: string[];

beforeEach(() => {
  clock = new HandClock();
  store = new ScriptedStore(clock);
  store.held.add("commit");
  notes = [];
  told = [];
  committer = new Committer(store, clock, { note: (note) => notes.push(note) });
});

function operation(key: string, kind: PendingOperation["kind"] = "claim", then?: () => void): PendingOperation {
  return {
    kind,
    sessionId: "",
    keys: [key],
    locks: [],
    lanes: [],
    bytes: 100,
    build: () => ({
      guards: [],
      writes: [kind === "delete" ? { kind, key } : { kind: "put", key, value: claimValue("a"), lease: 1n }],
    }),
    settled: (outcome: Settled) => {
      told.push(`${key} ${outcome.kind}`);
      then?.();
    },
  };
}

const submit = (...keys: string[]) => {
  for (const key of keys) committer.submit(operation(key));
};
const keysOf = (i: number) => store.commits[i]?.operations.map(({ writes }) => writes[0]?.key);
function finish(): void {
  const commit = store.commits.shift();
  const applied = commit?.land() ?? [];
  commit?.answer({ kind: "decided", revision: store.revision, applied });
  clock.settle();
}

describe("the committer", () => {
  it("sends in one transaction what is ready at the end of the turn", () => {
    submit("a", "b");
    expect(store.commits).toEqual([]);
    submit("c");
    clock.settle();
    expect(keysOf(0)).toEqual(["a", "b", "c"]);
    finish();
    expect(told).toEqual(["a applied", "b applied", "c applied"]);
  });

  it("has at most two in flight: what comes meanwhile travels together", () => {
    for (const key of ["a", "b", "c", "d", "e"]) {
      submit(key);
      clock.settle();
    }
    expect(store.commits.length).toBe(2);
    finish();
    expect([keysOf(0), keysOf(1)]).toEqual([["b"], ["c", "d", "e"]]);
  });

  it("sends what an answer brings about in the same turn as what has waited", () => {
    committer.submit(operation("a", "claim", () => submit("from a")));
    clock.settle();
    submit("b");
    clock.settle();
    submit("c");
    clock.settle();
    finish();
    expect(keysOf(1)).toEqual(["c", "from a"]);
  });

  it("goes on when what was ready is busy, as soon as that is settled", () => {
    submit("a");
    clock.settle();
    committer.submit(operation("a", "delete"));
    clock.settle();
    expect(store.commits.length).toBe(1);
    finish();
    expect(keysOf(0)).toEqual(["a"]);
  });

  it("lets deletes travel by themselves for a second after etcd said that it is full", () => {
    submit("a");
    clock.settle();
    store.commits.shift()?.answer({ kind: "no-space" });
    expect(told).toEqual(["a no-space"]);
    submit("b");
    committer.submit(operation("c", "delete"));
    clock.settle();
    expect([keysOf(0), keysOf(1)]).toEqual([["b"], ["c"]]);
    finish();
    finish();
    clock.turn(1000);
    submit("d");
    committer.submit(operation("e", "delete"));
    clock.settle();
    expect(keysOf(0)).toEqual(["d", "e"]);
  });

  it("notes each transaction: how many operations, how long it took, and what came of it", () => {
    submit("a", "b");
    clock.settle();
    clock.turn(25);
    store.commits.shift()?.answer({ kind: "unknown" });
    expect(notes).toEqual([{ kind: "store.committed", operations: 2, tookMs: 25, outcome: "unknown" }]);
    expect(told).toEqual(["a unknown", "b unknown"]);
  });

  it("sends nothing again by itself, whatever came of it", () => {
    submit("a");
    clock.settle();
    store.commits.shift()?.answer({ kind: "unknown" });
    clock.turn(60_000);
    expect(store.calls.commit).toBe(1);
  });
});
