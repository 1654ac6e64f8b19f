import { describe, expect, it } from "vitest";
import { type Batch, GroupCommit, type PendingOperation } from "../../server/core/group-commit.ts";
import type { CommitOutcome, Settled } from "../../server/core/operation.ts";
import { Random } from "../support/random.ts";

/** An operation that remembers what became of it. */
class Probe implements PendingOperation {
  readonly kind: PendingOperation["kind"];
  readonly sessionId: string;
  readonly keys: readonly string[];
  readonly locks: readonly string[];
  readonly lanes: readonly string[];
  readonly bytes: number;
  readonly ordinals: number[] = [];
  readonly outcomes: Settled[] = [];
  isWanted = true;
  onBuild: () => void = () => undefined;

  constructor(kind: PendingOperation["kind"], about: Partial<PendingOperation> = {}) {
    this.kind = kind;
    this.sessionId = about.sessionId ?? "";
    this.keys = about.keys ?? [`key${++keyCount}`];
    this.locks = about.locks ?? [];
    this.lanes = about.lanes ?? [];
    this.bytes = about.bytes ?? 100;
  }

  build(ordinal: number) {
    this.onBuild();
    if (!this.isWanted) return undefined;
    this.ordinals.push(ordinal);
    return { guards: [], writes: this.keys.map((key) => ({ kind: "delete", key }) as const) };
  }

  settled(outcome: Settled): void {
    this.outcomes.push(outcome);
  }
}
let keyCount = 0;

function groupOf(...probes: readonly Probe[]): GroupCommit {
  const group = new GroupCommit();
  for (const probe of probes) group.add(probe);
  return group;
}

/** Which of the probes each transaction takes, by index, until nothing more can be sent. */
function batches(group: GroupCommit, probes: readonly PendingOperation[], settleEach = false): number[][] {
  const taken: number[][] = [];
  for (let batch = group.take(); batch !== undefined; batch = group.take()) {
    taken.push(batch.pending.map((each) => probes.indexOf(each)));
    if (settleEach) group.settle(batch, decided(batch));
  }
  return taken;
}

const decided = (batch: Batch, applied = batch.pending.map(() => true)): CommitOutcome => ({
  kind: "decided",
  revision: 7,
  applied,
});

/** The transactions of operations, each settled before the next is taken. */
const inTurn = (...probes: readonly Probe[]) => batches(groupOf(...probes), probes, true);
/** The transactions that may be in flight at the same time. */
const together = (...probes: readonly Probe[]) => batches(groupOf(...probes), probes);

describe("a transaction", () => {
  it("takes what is ready, in the order in which it was added, with ordinals from 0", () => {
    const probes = [1, 2, 3].map(() => new Probe("claim"));
    expect(together(...probes)).toEqual([[0, 1, 2]]);
    expect(probes.map(({ ordinals }) => ordinals)).toEqual([[0], [1], [2]]);
  });

  it("is none when nothing is ready", () => {
    expect(new GroupCommit().take()).toBeUndefined();
  });

  it("tells each operation what became of it, and when", () => {
    const probes = [1, 2].map(() => new Probe("claim"));
    const group = groupOf(...probes);
    const batch = group.take()!;
    group.settle(batch, decided(batch, [true, false]));
    expect(probes.map(({ outcomes }) => outcomes)).toEqual([
      [{ kind: "applied", revision: 7 }],
      [{ kind: "refused", revision: 7 }],
    ]);
  });

  it.each(["unknown", "no-space"] as const)("that ended as %s says so to all of it, and is not repeated", (kind) => {
    const probes = [1, 2].map(() => new Probe("claim"));
    const group = groupOf(...probes);
    group.settle(group.take()!, { kind });
    expect(probes.map(({ outcomes }) => outcomes)).toEqual([[{ kind }], [{ kind }]]);
    expect(group.take()).toBeUndefined();
  });

  it("leaves out what is not wanted any more, which leaves no gap in the ordinals", () => {
    const probes = [1, 2, 3].map(() => new Probe("claim"));
    probes[1]!.isWanted = false;
    expect(together(...probes)).toEqual([[0, 2]]);
    expect(probes[2]?.ordinals).toEqual([1]);
  });

  it("is none when nothing of it is wanted any more", () => {
    const probe = new Probe("claim");
    probe.isWanted = false;
    const group = groupOf(probe);
    expect(group.take()).toBeUndefined();
    expect(group.size).toBe(0);
    expect(probe.outcomes).toEqual([]);
  });

  it("takes what building another has added", () => {
    const [first, added] = [new Probe("claim"), new Probe("claim")];
    const group = groupOf(first);
    first.onBuild = () => group.add(added);
    expect(batches(group, [first, added])).toEqual([[0, 1]]);
  });
});

describe("of one key", () => {
  it("at most one operation is in a transaction", () => {
    const [a, b] = [new Probe("claim", { keys: ["k", "l"] }), new Probe("delete", { keys: ["k"] })];
    expect(inTurn(a, b)).toEqual([[0], [1]]);
  });

  it("at most one operation is in flight", () => {
    const probes = [new Probe("claim", { keys: ["k"] }), new Probe("delete", { keys: ["k"] })];
    const group = groupOf(...probes);
    const first = group.take()!;
    expect(group.take()).toBeUndefined();
    group.settle(first, { kind: "unknown" });
    expect(group.take()?.pending).toEqual([probes[1]]);
  });
});

describe("what shares a lane", () => {
  it("is sent in the order in which it was added, one after the other or together", () => {
    const lanes = ["lane"];
    expect(inTurn(new Probe("claim", { lanes }), new Probe("delete", { lanes }))).toEqual([[0, 1]]);
    const [a, b, c] = [1, 2, 3].map(() => new Probe("claim", { lanes }));
    const group = groupOf(a!);
    const first = group.take()!;
    group.add(b!);
    group.add(c!);
    expect(group.take()).toBeUndefined();
    group.settle(first, decided(first));
    expect(group.take()?.pending).toEqual([b, c]);
  });

  it("is not overtaken by what comes later in the lane, when it must wait itself", () => {
    const holdsBack = new Probe("claim", { keys: ["k"] });
    const group = groupOf(holdsBack);
    const first = group.take()!;
    const waits = new Probe("claim", { keys: ["k"], lanes: ["lane", "other"] });
    const behind = new Probe("claim", { lanes: ["lane"] });
    const free = new Probe("claim", { lanes: ["unrelated"] });
    for (const probe of [waits, behind, free]) group.add(probe);
    expect(group.take()?.pending).toEqual([free]);
    group.settle(first, decided(first));
    expect(group.take()?.pending).toEqual([waits, behind]);
  });
});

describe("a try", () => {
  it.each(["claim", "try", "delete"] as const)(
    "shares no transaction with a %s on its locks, before or after",
    (kind) => {
      const tries = new Probe("try", { locks: ["a", "b"] });
      const other = new Probe(kind, { locks: ["b", "c"] });
      expect(together(tries, other)).toEqual([[0], [1]]);
      expect(together(new Probe(kind, { locks: ["b", "c"] }), new Probe("try", { locks: ["a", "b"] }))).toEqual([
        [0],
        [1],
      ]);
    },
  );

  it("travels with what is on other locks", () => {
    expect(together(new Probe("try", { locks: ["a"] }), new Probe("claim", { locks: ["b"] }))).toEqual([[0, 1]]);
    expect(together(new Probe("try", { locks: ["a"] }), new Probe("try", { locks: ["b"] }))).toEqual([[0, 1]]);
  });
});

describe("what writes or ends a session that is there", () => {
  it.each(["life", "end"] as const)("(%s) shares no transaction with an operation of that session", (kind) => {
    for (const other of ["claim", "try", "delete", "life", "end"] as const) {
      const of = { sessionId: "s" };
      expect(together(new Probe(kind, of), new Probe(other, of)), `${kind}, ${other}`).toEqual([[0], [1]]);
      expect(together(new Probe(other, of), new Probe(kind, of)), `${other}, ${kind}`).toEqual([[0], [1]]);
    }
  });

  it("travels with operations of other sessions", () => {
    expect(together(new Probe("life", { sessionId: "s" }), new Probe("claim", { sessionId: "t" }))).toEqual([[0, 1]]);
    expect(together(new Probe("end", { sessionId: "s" }), new Probe("delete"))).toEqual([[0, 1]]);
  });
});

describe("opens", () => {
  it("travel with opens only", () => {
    const kinds = ["open", "claim", "open", "delete", "open"] as const;
    expect(together(...kinds.map((kind) => new Probe(kind)))).toEqual([
      [0, 2, 4],
      [1, 3],
    ]);
    expect(together(new Probe("claim"), new Probe("open"))).toEqual([[0], [1]]);
  });
});

describe("while etcd is over its quota", () => {
  function whenFull(...probes: readonly Probe[]) {
    const group = groupOf(...probes);
    group.full = true;
    return batches(group, probes);
  }

  it("deletes and ends travel by themselves, and what writes apart from them", () => {
    const kinds = ["claim", "delete", "life", "end", "try", "delete"] as const;
    expect(whenFull(...kinds.map((kind) => new Probe(kind)))).toEqual([
      [0, 2, 4],
      [1, 3, 5],
    ]);
  });

  it("opens still travel with opens only", () => {
    expect(whenFull(new Probe("open"), new Probe("delete"), new Probe("open"))).toEqual([[0, 2], [1]]);
  });

  it("is over, all travel together again", () => {
    expect(together(new Probe("claim"), new Probe("delete"))).toEqual([[0, 1]]);
  });
});

describe("what etcd takes", () => {
  it("is at most 120 writes", () => {
    const probes = Array.from({ length: 250 }, () => new Probe("delete"));
    expect(together(...probes).map((batch) => batch.length)).toEqual([120, 120, 10]);
    const wide = Array.from({ length: 20 }, (_, i) => new Probe("delete", { keys: keysOf(i, 16) }));
    for (const batch of together(...wide)) expect(batch.length * 16).toBeLessThanOrEqual(120);
  });

  it("is at most a mebibyte", () => {
    const probes = Array.from({ length: 5 }, () => new Probe("claim", { bytes: 400_000 }));
    expect(together(...probes)).toEqual([[0, 1], [2, 3], [4]]);
  });

  it("is, of nested parts, their number and the heaviest of them within 128", () => {
    const random = new Random(3);
    for (let round = 0; round < 200; round++) {
      const probes = Array.from({ length: 200 }, (_, i) => {
        const kind = random.pick(["claim", "try", "delete", "life", "end"] as const);
        const count = random.happens(0.9) ? 1 : 1 + random.below(16);
        const keys = keysOf(i, kind === "life" || kind === "end" ? 1 : count);
        return new Probe(kind, { keys, locks: keys, sessionId: `s${i}` });
      });
      for (const batch of together(...probes)) {
        // A try has the most guards: its session's, and two for each of its locks.
        const heaviest = batch.map((i) => partOf(probes[i]!)).reduce((a, b) => Math.max(a, b));
        expect(batch.length + heaviest).toBeLessThanOrEqual(128);
      }
    }
  });

  it("never keeps a claim on the most locks there may be from being sent", () => {
    expect(together(new Probe("try", { keys: keysOf(0, 16), locks: keysOf(0, 16) }))).toEqual([[0]]);
    expect(together(new Probe("delete", { keys: keysOf(0, 40) }))).toEqual([[0]]);
  });
});

describe("a lease that is not found", () => {
  it("splits the transaction: nothing was written, and each part is sent again by itself, in order", () => {
    const probes = [1, 2, 3].map(() => new Probe("open"));
    const group = groupOf(...probes);
    group.settle(group.take()!, { kind: "lease-not-found" });
    expect(probes.flatMap(({ outcomes }) => outcomes)).toEqual([]);
    const late = new Probe("open");
    group.add(late);
    const sent: (readonly PendingOperation[])[] = [];
    for (let batch = group.take(); batch !== undefined; batch = group.take()) {
      sent.push(batch.pending);
      group.settle(batch, batch.pending[0] === probes[1] ? { kind: "lease-not-found" } : decided(batch));
    }
    expect(sent).toEqual([[probes[0]], [probes[1]], [probes[2]], [late]]);
    expect(probes.map(({ outcomes }) => outcomes.map(({ kind }) => kind))).toEqual([
      ["applied"],
      ["lease-not-found"],
      ["applied"],
    ]);
  });

  it("is forgotten when the part was sent: its next operation travels in company again", () => {
    const [a, b] = [new Probe("claim"), new Probe("claim")];
    const group = groupOf(a, b);
    group.settle(group.take()!, { kind: "lease-not-found" });
    for (let batch = group.take(); batch !== undefined; batch = group.take()) group.settle(batch, decided(batch));
    group.add(a);
    group.add(b);
    expect(group.take()?.pending).toEqual([a, b]);
  });

  it("is forgotten when the part is not wanted any more: it may come again, and travels in company", () => {
    const [a, b] = [new Probe("open"), new Probe("open")];
    const group = groupOf(a, b);
    group.settle(group.take()!, { kind: "lease-not-found" });
    a.isWanted = false;
    for (let batch = group.take(); batch !== undefined; batch = group.take()) group.settle(batch, decided(batch));
    a.isWanted = true;
    group.add(b);
    group.add(a);
    expect(group.take()?.pending).toEqual([b, a]);
  });

  it("keeps what shares a lane in order while the parts go one by one", () => {
    const lanes = ["lane"];
    const probes = [new Probe("claim", { lanes }), new Probe("claim", { lanes }), new Probe("delete", { lanes })];
    const group = groupOf(probes[0]!, probes[1]!);
    const failed = group.take()!;
    group.add(probes[2]!);
    group.settle(failed, { kind: "lease-not-found" });
    const first = group.take()!;
    expect(first.pending).toEqual([probes[0]]);
    expect(group.take()).toBeUndefined();
    group.settle(first, decided(first));
    expect(batches(group, probes, true)).toEqual([[1], [2]]);
  });
});

describe("in random traffic", () => {
  it("every operation is sent once, in the order of its lanes, and no rule is broken", () => {
    for (let seed = 1; seed <= 100; seed++) expect(traffic(new Random(seed)), `seed ${seed}`).toBe(true);
  });
});

/** Adds, takes and settles at random; `true` when all has been told and every rule was kept. */
function traffic(random: Random): boolean {
  const group = new GroupCommit();
  const probes: Probe[] = [];
  const flights: Batch[] = [];
  const order: Probe[] = [];
  for (let step = 0; step < 400 || group.size > 0 || flights.length > 0; step++) {
    if (step < 400 && random.happens(0.7)) probes.push(addProbe(group, random, step));
    if (flights.length < 2 && random.happens(0.5)) {
      const batch = group.take();
      if (batch === undefined) continue;
      const inFlight = flights.flatMap(({ pending }) => pending);
      for (const each of batch.pending)
        for (const other of [...inFlight, ...batch.pending])
          if (each !== other && each.keys.some((key) => other.keys.includes(key))) return false;
      flights.push(batch);
    }
    if (flights.length > 0 && random.happens(0.5)) {
      const [batch] = flights.splice(random.below(flights.length), 1) as [Batch];
      const kind = random.pick(["decided", "decided", "unknown", "lease-not-found", "no-space"] as const);
      if (kind !== "lease-not-found" || batch.pending.length === 1) order.push(...(batch.pending as Probe[]));
      group.settle(batch, kind === "decided" ? decided(batch) : { kind });
      group.full = kind === "no-space";
    }
  }
  const lanes = new Set(probes.flatMap((probe) => probe.lanes));
  for (const lane of lanes) {
    const inLane = (all: readonly Probe[]) => all.filter((probe) => probe.lanes.includes(lane)).map(({ keys }) => keys);
    expect(inLane(order)).toEqual(inLane(probes));
  }
  return probes.every(({ outcomes }) => outcomes.length === 1);
}

function addProbe(group: GroupCommit, random: Random, step: number): Probe {
  const kind = random.pick(["open", "life", "end", "claim", "try", "delete"] as const);
  const sessionId = `s${random.below(4)}`;
  const lock = `l${random.below(3)}`;
  const isClaim = kind === "claim" || kind === "try" || kind === "delete";
  const probe = new Probe(kind, {
    sessionId,
    keys: isClaim ? [`${lock}/${random.happens(0.3) ? 0 : step}`] : [`session/${sessionId}`],
    locks: isClaim ? [lock] : [],
    lanes: isClaim ? [`${sessionId}/${lock}`] : [],
  });
  group.add(probe);
  return probe;
}

const keysOf = (i: number, count: number): string[] => Array.from({ length: count }, (_, j) => `k${i}/${j}`);

/** How many guards or writes, whichever are more, the nested part of an operation has at most. */
const partOf = ({ kind, keys }: Probe): number => (kind === "try" ? 2 * keys.length + 1 : Math.max(keys.length + 1, 2));
