import type {
  CommitOutcome,
  Feed,
  LeaseOutcome,
  Operation,
  RenewOutcome,
  RevisionOutcome,
  Snapshot,
  Store,
} from "../../server/ports/store.ts";
import type { SimulatedEtcd } from "./simulated-etcd.ts";
import type { Process, World } from "./world.ts";

/** How often a transaction gets into trouble while there is trouble. */
const LANDS_LATE = 0.02;
const REPLY_LOST = 0.02;
const NEVER_ARRIVES = 0.01;
/** After which a renewal that is not answered is given up, and those behind it go elsewhere. */
const RENEWALS_WATCHED_MS = 1000;

/**
 * One server's way to the simulated etcd: its transactions may land late or lose their replies, its watch may lag,
 * fall silent or have a gap. What arrives waits while the server is paused and is lost when it has crashed.
 */
export class EtcdConnection implements Store {
  private staleUntilMs = 0;
  /** Whether the history was compacted away under its watch. */
  hasGap = false;
  /** Until when nothing gets through to etcd: the outcome of what is sent is unknown. */
  cutUntilMs = 0;
  private readonly world: World;
  private readonly etcd: SimulatedEtcd;
  private readonly process: Process;
  private readonly delivered: () => void;
  private feed: Feed | undefined;
  private cursor = 0;
  private pumping = false;
  private lastSent = 0;
  private lastApplied = 0;
  /** Until when each stream of renewals stands still behind a lease that has expired and is not revoked. */
  private readonly blockedUntilMs = [0, 0, 0];
  private unsubscribe: () => void = () => undefined;

  /** `delivered` is called after each delivery of the watch. */
  constructor(etcd: SimulatedEtcd, process: Process, delivered: () => void) {
    this.world = etcd.world;
    this.etcd = etcd;
    this.process = process;
    this.delivered = delivered;
  }

  follow(feed: Feed): void {
    this.feed = feed;
    this.world.after(this.world.between(1, 20), () => {
      if (!this.isReachable) return this.follow(feed);
      this.deliverSnapshot();
      this.unsubscribe = this.etcd.subscribe(() => this.pumpSoon());
    });
  }

  close(): void {
    this.unsubscribe();
  }

  /** Its watch says nothing for a while, and nothing says so. */
  silence(forMs: number): void {
    this.staleUntilMs = Math.max(this.staleUntilMs, this.world.nowMs + forMs);
  }

  get troubledUntilMs(): number {
    return Math.max(this.staleUntilMs, this.cutUntilMs);
  }

  // -- Watch -----------------------------------------------------------------------------------------

  private pumpSoon(): void {
    if (this.pumping) return;
    this.pumping = true;
    const lagMs = this.world.between(0.2, this.world.happens(0.02) && this.world.isChaotic ? 60 : 3);
    this.world.after(Math.max(lagMs, this.staleUntilMs - this.world.nowMs), () => {
      this.pumping = false;
      if (!this.process.isAlive) return;
      if (this.world.nowMs < this.staleUntilMs) return this.pumpSoon();
      if (this.hasGap) this.deliverSnapshot();
      else this.deliverChanges();
      if (this.cursor < this.etcd.log.length) this.pumpSoon();
    });
  }

  private deliverSnapshot(): void {
    this.hasGap = false;
    this.cursor = this.etcd.log.length;
    const snapshot = this.etcd.snapshot();
    this.deliver((feed) => feed.snapshot(snapshot));
  }

  private deliverChanges(): void {
    const upTo = this.world.happens(0.7) ? this.etcd.log.length : this.cursor + 1;
    for (; this.cursor < upTo; this.cursor++) {
      const next = this.etcd.log[this.cursor];
      if (next !== undefined) this.deliver((feed) => feed.changes(next.revision, next.changes));
    }
  }

  private deliver(tell: (feed: Feed) => void): void {
    this.process.receive(() => {
      if (this.feed !== undefined) tell(this.feed);
      this.delivered();
    });
  }

  requestProgress(): void {
    this.world.after(this.world.between(0.2, 2), () => {
      // etcd drops such a request while the watcher is not in sync; a member that is cut off answers from the past.
      if (this.world.nowMs < this.staleUntilMs && this.world.happens(0.5)) return this.tellPast();
      if (this.cursor < this.etcd.log.length || this.world.nowMs < this.staleUntilMs || this.hasGap)
        return this.world.count("etcd: progress request dropped");
      if (this.world.isChaotic && this.world.happens(0.1)) return;
      const { revision } = this.etcd;
      this.deliver((feed) => feed.progress(revision));
    });
  }

  /** What a member answers that is cut off from the others: it does not know that there is more. */
  private tellPast(): void {
    this.world.count("etcd: progress told from the past");
    const revision = this.etcd.log[this.cursor - 1]?.revision ?? 1;
    this.deliver((feed) => feed.progress(revision));
  }

  // -- Calls -----------------------------------------------------------------------------------------

  private get isReachable(): boolean {
    return this.etcd.hasLeader && this.world.nowMs >= this.cutUntilMs;
  }

  private answer(delayMs: number, tell: () => void): void {
    this.world.after(delayMs, () => this.process.receive(tell));
  }

  commit(operations: readonly Operation[], done: (outcome: CommitOutcome) => void): void {
    const { world, etcd } = this;
    const unknown = (): void => this.answer(world.between(1000, 2000), () => done({ kind: "unknown" }));
    const lands = (delayMs: number): void => world.after(delayMs, () => void etcd.apply(operations));
    const fate = world.isChaotic ? world.chance() : 1;
    if (fate < LANDS_LATE && world.may("late-transactions")) {
      world.count("etcd: transaction lands late");
      lands(world.between(1000, 20_000));
      unknown();
    } else if (fate < LANDS_LATE + REPLY_LOST && world.may("lost-replies")) {
      world.count("etcd: reply lost");
      lands(world.between(1, 6));
      unknown();
    } else if (fate < LANDS_LATE + REPLY_LOST + NEVER_ARRIVES && world.may("lost-requests")) {
      world.count("network: request lost");
      unknown();
    } else if (!this.isReachable) {
      if (world.happens(0.5)) {
        world.count("etcd: transaction outlives a gap");
        lands(Math.max(etcd.leaderlessUntilMs, this.cutUntilMs) - world.nowMs + world.between(0, 50));
      }
      unknown();
    } else this.commitInTime(operations, done, unknown);
  }

  private commitInTime(
    operations: readonly Operation[],
    done: (outcome: CommitOutcome) => void,
    unknown: () => void,
  ): void {
    const { world, etcd } = this;
    const number = ++this.lastSent;
    world.after(world.between(0.5, 4), () => {
      if (!etcd.hasLeader) return unknown();
      if (number < this.lastApplied) world.count("network: transactions overtake each other");
      this.lastApplied = Math.max(this.lastApplied, number);
      const outcome = etcd.apply(operations);
      world.count(`etcd: ${outcome.kind}`);
      this.answer(world.between(0.2, 2), () => {
        const isSeen =
          outcome.kind === "decided" && (this.etcd.log[this.cursor - 1]?.revision ?? 0) >= outcome.revision;
        world.count(
          isSeen ? "network: the watch is quicker than the reply" : "network: the reply is quicker than the watch",
        );
        done(outcome);
      });
    });
  }

  grantLease(ttlSeconds: number, done: (outcome: LeaseOutcome) => void): void {
    this.call<LeaseOutcome>(
      () => {
        if (this.world.nowMs < this.etcd.fullUntilMs) return { kind: "no-space" };
        const lease = this.etcd.grantLease(ttlSeconds);
        return { kind: "granted", lease, ttlSeconds: this.etcd.ttlSecondsOf(lease) };
      },
      done,
      { kind: "unavailable" },
    );
  }

  renewLease(lease: bigint, done: (outcome: RenewOutcome) => void): void {
    const { world, blockedUntilMs } = this;
    const lane = Number(lease) % blockedUntilMs.length;
    // The lease of a session that this server has given up, and that etcd has not revoked yet.
    if (world.isChaotic && world.happens(0.002)) blockedUntilMs[lane] = world.nowMs + RENEWALS_WATCHED_MS;
    const waitMs = blockedUntilMs[lane]! - world.nowMs;
    if (waitMs <= 0) return this.renewOn(lane, lease, done);
    // It is answered when what is ahead of it is, or was taken to another stream.
    world.count("etcd: renewal behind one that blocks");
    world.after(waitMs, () => this.renewOn(lane, lease, done));
  }

  private renewOn(lane: number, lease: bigint, done: (outcome: RenewOutcome) => void): void {
    const { world, etcd } = this;
    const isSlow = world.isChaotic && world.happens(0.02);
    world.after(world.between(0.3, isSlow ? 400 : 3), () => {
      const lost = world.isChaotic && world.happens(0.01);
      if (!this.isReachable || lost) {
        world.count("etcd: renewal unavailable");
        if (lost && world.happens(0.5)) etcd.renewLease(lease);
        return this.answer(world.between(500, 1500), () => done({ kind: "unavailable" }));
      }
      const outcome = etcd.renewLease(lease);
      world.count(`etcd: renewal ${outcome}`);
      if (outcome === "blocked") {
        this.blockedUntilMs[lane] = world.nowMs + RENEWALS_WATCHED_MS;
        return this.answer(RENEWALS_WATCHED_MS, () => done({ kind: "unavailable" }));
      }
      const reply: RenewOutcome =
        outcome === "gone" ? { kind: "gone" } : { kind: "renewed", ttlSeconds: etcd.ttlSecondsOf(lease) };
      this.answer(world.between(0.2, isSlow ? 400 : 2), () => done(reply));
    });
  }

  revokeLease(lease: bigint, done: (known: boolean) => void): void {
    this.call(
      () => {
        this.etcd.revokeLease(lease);
        return true;
      },
      done,
      false,
    );
  }

  readRevision(done: (outcome: RevisionOutcome) => void): void {
    this.call<RevisionOutcome>(() => ({ kind: "revision", revision: this.etcd.revision }), done, {
      kind: "unavailable",
    });
  }

  readAll(done: (snapshot: Snapshot | undefined) => void): void {
    this.call(() => this.etcd.snapshot(), done, undefined);
  }

  /** A call that is carried out at some moment between question and answer, or fails: before it, or after. */
  private call<Outcome>(act: () => Outcome, done: (outcome: Outcome) => void, failed: Outcome): void {
    const { world } = this;
    world.after(world.between(0.2, 3), () => {
      const lost = world.isChaotic && world.happens(0.01);
      if (!this.isReachable || lost) {
        world.count("etcd: call failed");
        if (lost && world.happens(0.5)) act();
        return this.answer(world.between(200, 1500), () => done(failed));
      }
      const outcome = act();
      this.answer(world.between(0.2, 2), () => done(outcome));
    });
  }
}
