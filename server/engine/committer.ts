import { type Batch, GroupCommit, type PendingOperation } from "../core/group-commit.ts";
import type { Clock } from "../ports/clock.ts";
import type { CommitOutcome, Store } from "../ports/store.ts";
import type { Telemetry } from "../ports/telemetry.ts";

/** Few in flight batch best: what comes meanwhile travels together (DESIGN 4.5). */
const MAX_IN_FLIGHT = 2;
/** How long etcd is taken to be over its quota after it said so. */
const FULL_FOR_MS = 1000;

/** Sends to etcd what is ready at the end of each turn of the event loop. */
export class Committer {
  private readonly group = new GroupCommit();
  private readonly store: Store;
  private readonly clock: Clock;
  private readonly telemetry: Telemetry;
  private readonly answered: (outcome: CommitOutcome, sentAtMs: number) => void;
  private inFlight = 0;
  private scheduled = false;
  private isStopped = false;

  /** `answered` is told of every transaction, and when it was sent. */
  constructor(
    store: Store,
    clock: Clock,
    telemetry: Telemetry,
    answered: (outcome: CommitOutcome, sentAtMs: number) => void = () => undefined,
  ) {
    this.store = store;
    this.clock = clock;
    this.telemetry = telemetry;
    this.answered = answered;
  }

  submit(operation: PendingOperation): void {
    if (this.isStopped) return;
    this.group.add(operation);
    this.schedule();
  }

  /** Sends nothing more. What waits is dropped, and told nothing. */
  stop(): void {
    this.isStopped = true;
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.clock.endOfTurn(() => {
      this.scheduled = false;
      this.flush();
    });
  }

  private flush(): void {
    while (!this.isStopped && this.inFlight < MAX_IN_FLIGHT && this.group.size > 0) {
      const batch = this.group.take();
      if (batch === undefined) return;
      this.inFlight++;
      const sentAtMs = this.clock.nowMs();
      this.store.commit(batch.operations, (outcome) => this.settled(batch, outcome, sentAtMs));
    }
  }

  private settled(batch: Batch, outcome: CommitOutcome, sentAtMs: number): void {
    this.inFlight--;
    this.answered(outcome, sentAtMs);
    if (outcome.kind === "no-space" && !this.group.full) {
      this.group.full = true;
      this.clock.at(this.clock.nowMs() + FULL_FOR_MS, () => {
        this.group.full = false;
      });
    }
    const tookMs = this.clock.nowMs() - sentAtMs;
    this.telemetry.note({
      kind: "store.committed",
      operations: batch.operations.length,
      tookMs,
      outcome: outcome.kind,
    });
    this.group.settle(batch, outcome);
    this.schedule();
  }
}
