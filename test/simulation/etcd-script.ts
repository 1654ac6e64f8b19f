import type { Guard, Operation, Write } from "../../server/core/operation.ts";
import type { Store } from "../../server/ports/store.ts";
import { FeedRecorder } from "../support/feed-recorder.ts";
import { Random } from "../support/random.ts";
import { commit, grantLease, readRevision, renewLease, revokeLease, session } from "../support/store-calls.ts";

/** A store, and what can be done to the etcd behind it. */
export interface EtcdUnderScript {
  readonly store: Store;
  nowMs(): number;
  passes(ms: number): Promise<void>;
  /** Commits operations while the store's watch is broken, and has etcd forget its history before it comes back. */
  commitBehind(operations: readonly Operation[]): Promise<void>;
  /** Fills the database, so that etcd raises its alarm. */
  fill(): Promise<void>;
  /** Has another leader elected. Resolves when etcd answers again. */
  changeLeader(): Promise<void>;
}

/** A guard whose revision is counted back from the latest that changed something; 0 is that one. */
type ScriptGuard =
  | { readonly kind: "absent"; readonly key: string }
  | { readonly kind: "modified" | "created" | "quiet"; readonly key: string; readonly back: number };

/** A write; `lease` by the name that the script gave it. Without a value: a delete. */
interface ScriptWrite {
  readonly key: string;
  readonly put?: string;
  readonly lease?: string;
}

interface ScriptOperation {
  readonly guards: readonly ScriptGuard[];
  readonly writes: readonly ScriptWrite[];
}

export type Step =
  | { readonly do: "commit" | "commit behind"; readonly operations: readonly ScriptOperation[] }
  | { readonly do: "grant"; readonly lease: string; readonly seconds: number }
  | { readonly do: "renew" | "revoke" | "see expire" | "see outlive a leader"; readonly lease: string }
  | { readonly do: "fill" };

/** A step, and what etcd made of it: the same for every etcd that is right, but for `measured`. */
export interface ToldStep {
  readonly step: Step;
  readonly told: readonly unknown[];
  /** Milliseconds that the machine had a part in. */
  readonly measured?: number;
}

/** Past its TTL a lease goes at the next tick, which comes every 500 ms, and on a busy machine later. */
export const LATE_AT_MOST_MS = 600;

const operation = (guards: readonly ScriptGuard[], ...writes: readonly ScriptWrite[]): ScriptOperation => ({
  guards,
  writes,
});
const put = (key: string, value: string, lease?: string): ScriptWrite => ({ key, put: value, ...(lease && { lease }) });
const absent = (key: string): ScriptGuard => ({ kind: "absent", key });
const quiet = (key: string): ScriptGuard => ({ kind: "quiet", key, back: 0 });

const KEYS = ["session/a", "session/b", "session/b2", "session/c", "session/c/2"].map((key) =>
  key.replace("c/2", "c-2"),
);

/** What is known to be odd, each in a few steps, after much that is not. */
export function writeScript(): Step[] {
  return [
    { do: "grant", lease: "one", seconds: 60 },
    { do: "grant", lease: "two", seconds: 60 },
    ...Array.from({ length: 6 }, (_, i) => commitOf(operation([], put(KEYS[i % KEYS.length]!, `first ${i}`, "one")))),
    ...randomSteps(new Random(1), 110),
    // Two tries on what is free, in one transaction: both see it free.
    commitOf(operation([], ...KEYS.map((key) => ({ key })))),
    commitOf(
      operation([quiet("session/a")], put("session/a", "try 1")),
      operation([quiet("session/a")], put("session/b", "try 2")),
    ),
    // Keys of one transaction share their create revision, and what changes nothing makes no revision.
    commitOf(operation([absent("session/c")], put("session/c", "c", "one"), put("session/c-2", "c2", "one"))),
    commitOf(operation([], { key: "session/nobody" })),
    commitOf(operation([absent("session/c")], put("session/c", "refused"))),
    // A lease that is not there fails all of a transaction, unless the operation that names it is not applied.
    commitOf(
      operation([], put("session/a", "not written")),
      operation([], put("session/b", "nor this", "never granted")),
    ),
    commitOf(
      operation([], put("session/a", "written")),
      operation([absent("session/a")], put("session/b2", "no", "never granted")),
    ),
    { do: "renew", lease: "never granted" },
    // A put without the lease detaches the key; the others go with the lease, in one revision, in the order of keys.
    commitOf(operation([], put("session/b2", "last", "one"), put("session/b", "first", "one"))),
    commitOf(operation([], put("session/c", "detached"))),
    { do: "revoke", lease: "one" },
    { do: "renew", lease: "one" },
    { do: "revoke", lease: "one" },
    // A TTL that is too short becomes longer, and no lease goes early.
    { do: "grant", lease: "short", seconds: 1 },
    commitOf(operation([], put("session/b2", "short", "short"), put("session/b", "short", "short"))),
    { do: "renew", lease: "short" },
    { do: "see expire", lease: "short" },
    { do: "renew", lease: "short" },
    // A new leader gives a lease its TTL again.
    { do: "grant", lease: "long", seconds: 10 },
    commitOf(operation([], put("session/b", "long", "long"))),
    { do: "see outlive a leader", lease: "long" },
    // History that was compacted away under the watch comes back as what there is now.
    {
      do: "commit behind",
      operations: [
        operation([], { key: "session/a" }, put("session/b2", "behind", "two")),
        operation([], put("session/c", "c")),
      ],
    },
    commitOf(operation([{ kind: "modified", key: "session/b2", back: 0 }], put("session/b2", "after the gap", "two"))),
    // Over quota puts are refused, also in a branch that is not taken: then nobody can prove that it was not applied
    // before the database was full. Deletes, renewals and revokes pass.
    { do: "fill" },
    commitOf(operation([absent("session/a")], put("session/a", "full"))),
    commitOf(operation([absent("session/b2")], put("session/b2", "full"))),
    commitOf(operation([absent("session/b2")], put("session/a", "full")), operation([], { key: "session/c" })),
    commitOf(operation([], { key: "session/c" }), operation([{ kind: "created", key: "session/c", back: 40 }])),
    { do: "renew", lease: "two" },
    { do: "grant", lease: "three", seconds: 60 },
    { do: "revoke", lease: "two" },
  ];
}

function commitOf(...operations: readonly ScriptOperation[]): Step {
  return { do: "commit", operations };
}

function randomSteps(random: Random, count: number): Step[] {
  return Array.from({ length: count }, () => {
    const free = [...KEYS];
    const take = (): string => free.splice(random.below(free.length), 1)[0]!;
    return commitOf(
      ...Array.from({ length: 1 + random.below(3) }, () =>
        operation(
          Array.from({ length: random.below(3) }, () => randomGuard(random)),
          ...Array.from({ length: random.below(2) + (free.length > 2 ? 1 : 0) }, () =>
            random.happens(0.4) ? { key: take() } : put(take(), String(random.below(100)), random.pick(["one", "two"])),
          ),
        ),
      ),
    );
  });
}

function randomGuard(random: Random): ScriptGuard {
  const key = random.pick(KEYS);
  const back = random.below(5);
  return random.pick<ScriptGuard>([
    absent(key),
    { kind: "created", key, back },
    { kind: "modified", key, back },
    { kind: "quiet", key, back },
  ]);
}

/** Plays a script, and tells what came of each step: revisions as numbers of their own, leases by their names. */
export async function play(etcd: EtcdUnderScript, steps: readonly Step[]): Promise<ToldStep[]> {
  const player = new Player(etcd);
  const told: ToldStep[] = [];
  for (const step of steps) told.push(await player.play(step));
  return told;
}

class Player {
  private readonly etcd: EtcdUnderScript;
  private readonly store: Store;
  private readonly feed = new FeedRecorder();
  private readonly leases = new Map<string, { readonly id: bigint; readonly ttlMs: number; renewedAtMs: number }>();
  /** The revisions that changed something, in order; those of others in between are not counted. */
  private readonly revisions: number[] = [0];
  private readFrom = 0;
  private snapshots = 1;

  constructor(etcd: EtcdUnderScript) {
    this.etcd = etcd;
    this.store = etcd.store;
    this.store.follow(this.feed);
  }

  async play(step: Step): Promise<ToldStep> {
    const { said, measured } = await this.act(step);
    await this.settle();
    const told = [...said, ...this.changes()];
    return measured === undefined ? { step, told } : { step, told, measured };
  }

  private async act(step: Step): Promise<{ said: readonly unknown[]; measured?: number }> {
    switch (step.do) {
      case "commit": {
        const outcome = await commit(this.store, ...step.operations.map((each) => this.operationOf(each)));
        await this.settle();
        if (outcome.kind !== "decided") return { said: [outcome.kind] };
        return { said: [{ at: this.numberOf(outcome.revision), applied: outcome.applied }] };
      }
      case "commit behind":
        await this.etcd.commitBehind(step.operations.map((each) => this.operationOf(each)));
        this.snapshots++;
        await this.feed.until(() => this.feed.snapshots.length === this.snapshots);
        return { said: [this.lastSnapshot()] };
      case "grant": {
        const renewedAtMs = this.etcd.nowMs();
        const outcome = await grantLease(this.store, step.seconds);
        if (outcome.kind !== "granted") return { said: [outcome.kind] };
        const ttlMs = outcome.ttlSeconds * 1000;
        this.leases.set(step.lease, { id: outcome.lease, ttlMs, renewedAtMs });
        return { said: [{ ttlMs }] };
      }
      case "renew": {
        const renewedAtMs = this.etcd.nowMs();
        const outcome = await renewLease(this.store, this.idOf(step.lease));
        const lease = this.leases.get(step.lease);
        if (outcome.kind === "renewed" && lease !== undefined) lease.renewedAtMs = renewedAtMs;
        return { said: [outcome.kind] };
      }
      case "revoke":
        return { said: [await revokeLease(this.store, this.idOf(step.lease))] };
      case "see expire": {
        const { ttlMs, renewedAtMs } = this.leases.get(step.lease)!;
        await this.seeGone(step.lease);
        const lateMs = this.etcd.nowMs() - renewedAtMs - ttlMs;
        return { said: [{ isEarly: lateMs < 0 }], measured: Math.round(lateMs) };
      }
      case "see outlive a leader": {
        const { ttlMs } = this.leases.get(step.lease)!;
        await this.etcd.passes(ttlMs * 0.6);
        const changedAtMs = this.etcd.nowMs();
        await this.etcd.changeLeader();
        await this.seeGone(step.lease);
        const livedMs = this.etcd.nowMs() - changedAtMs;
        return { said: [{ hasItsTtlAgain: livedMs >= ttlMs }], measured: Math.round(livedMs) };
      }
      case "fill":
        await this.etcd.fill();
        return { said: [] };
      default:
        return step satisfies never;
    }
  }

  private async seeGone(lease: string): Promise<void> {
    const { id } = this.leases.get(lease)!;
    await this.feed.until(() => ![...this.feed.table.values()].some((entry) => entry.lease === id));
  }

  /** Resolves when the feed has told all that has been committed. */
  private async settle(): Promise<void> {
    for (;;) {
      const outcome = await readRevision(this.store);
      if (outcome.kind !== "revision") {
        await this.etcd.passes(20);
        continue;
      }
      while (this.feed.revision < outcome.revision) {
        this.store.requestProgress();
        await this.etcd.passes(10);
      }
      return;
    }
  }

  private changes(): unknown[] {
    const { revisions } = this.feed;
    const said: unknown[] = [];
    for (; this.readFrom < revisions.length; this.readFrom++) {
      const { revision, changes } = revisions[this.readFrom]!;
      const at = this.numberOf(revision);
      said.push({
        at,
        changes: changes.map((change) => (change.kind === "delete" ? `-${change.key}` : this.entry(change.entry.key))),
      });
    }
    return said;
  }

  private lastSnapshot(): unknown {
    const { entries } = this.feed.snapshots.at(-1)!;
    return { snapshot: entries.map(({ key }) => key).sort() };
  }

  private entry(key: string): string {
    const entry = this.feed.revisions
      .slice(0, this.readFrom + 1)
      .flatMap(({ changes }) => changes)
      .findLast((change) => change.kind === "put" && change.entry.key === key);
    if (entry?.kind !== "put" || entry.entry.kind !== "session") return key;
    const { createRevision, modRevision, lease, record } = entry.entry;
    const name = [...this.leases].find(([, { id }]) => id === lease)?.[0] ?? "none";
    return `+${key} ${this.numberOf(createRevision)} ${this.numberOf(modRevision)} ${name} ${record.serverId}`;
  }

  /** A revision as the number of those before it that changed something. */
  private numberOf(revision: number): number {
    for (const { revision: each } of this.feed.revisions) if (each > this.revisions.at(-1)!) this.revisions.push(each);
    return this.revisions.findLastIndex((each) => each <= revision);
  }

  private operationOf({ guards, writes }: ScriptOperation): Operation {
    return { guards: guards.map((guard) => this.guardOf(guard)), writes: writes.map((write) => this.writeOf(write)) };
  }

  private guardOf(guard: ScriptGuard): Guard {
    if (guard.kind === "absent") return guard;
    this.numberOf(0);
    const revision = Math.max(1, this.revisions.at(-1 - guard.back) ?? 1);
    return guard.kind === "quiet"
      ? { kind: "quiet", prefix: guard.key, revision }
      : { kind: guard.kind, key: guard.key, revision };
  }

  private writeOf({ key, put: text, lease }: ScriptWrite): Write {
    if (text === undefined) return { kind: "delete", key };
    return { kind: "put", key, value: session({ serverId: text }), lease: lease === undefined ? 0n : this.idOf(lease) };
  }

  private idOf(lease: string): bigint {
    return this.leases.get(lease)?.id ?? 0x7fff_fff1n;
  }
}
