import type { Operation } from "../core/operation.ts";
import type { Clock } from "../ports/clock.ts";
import type { CommitOutcome, Store } from "../ports/store.ts";

/** How often something is committed when nothing else is. */
const PROVE_EVERY_MS = 1000;

/**
 * A delete of a key that nobody ever writes. etcd sends it through its log, to the disks of a quorum, like every write,
 * since it might delete something; and then has nothing to do: no revision passes, no watch is told, nothing is
 * added to the database. It passes over quota, too.
 */
export const WRITE_WITHOUT_EFFECT: Operation = { guards: [], writes: [{ kind: "delete", key: "server/check" }] };

/**
 * Knows when etcd last committed a write of this server. Reads and renewals prove nothing about that: with a disk
 * that hangs they go on for long while no write gets through. Whatever is committed is proof; when nothing is, a write
 * without effect is sent once a second.
 */
export class WriteProof {
  /** When the latest write was sent that was committed. Monotonic milliseconds. */
  provenAtMs = Number.NEGATIVE_INFINITY;
  private readonly store: Store;
  private readonly clock: Clock;
  private proving = false;

  constructor(store: Store, clock: Clock) {
    this.store = store;
    this.clock = clock;
  }

  /** To be told of every transaction. */
  answered(outcome: CommitOutcome, sentAtMs: number): void {
    if (outcome.kind === "decided") this.provenAtMs = Math.max(this.provenAtMs, sentAtMs);
  }

  /** To be called about once a second: has something committed, unless something was just now. */
  renew(): void {
    const sentAtMs = this.clock.nowMs();
    if (this.proving || sentAtMs - this.provenAtMs < PROVE_EVERY_MS) return;
    this.proving = true;
    this.store.commit([WRITE_WITHOUT_EFFECT], (outcome) => {
      this.proving = false;
      this.answered(outcome, sentAtMs);
    });
  }
}
