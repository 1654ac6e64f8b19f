import type { StoreMember, StoreMemberAnswer, StoreStatus } from "../../ports/store-status.ts";

/** For how long an answer is good enough for whoever asks next. */
const FRESH_MS = 1_000;
/** How long somebody who asks waits for a new answer before being told what was known last. */
const PATIENCE_MS = 2_500;

/** The store as it was when it could last be asked. */
export interface KnownStore {
  readonly clusterId: bigint;
  readonly quotaBytes: number;
  readonly members: readonly KnownMember[];
  /** How long the store took to commit something just now; `undefined`: it did not. */
  readonly commitMs: number | undefined;
}

export interface KnownMember extends Omit<StoreMember, "answer"> {
  readonly isReachable: boolean;
  /** Unless it is reachable, what it said last. */
  readonly answer: StoreMemberAnswer | undefined;
}

export interface StoreMonitorOptions {
  /** Asks all members how they are. Never rejects. */
  readonly status: () => Promise<StoreStatus>;
  /** Has the store commit something, and tells how long it took; `undefined`: it did not. */
  readonly check: (done: (tookMs: number | undefined) => void) => void;
}

/**
 * Knows how the store is, or was when it last answered. It asks only when it is asked, and at most once a second,
 * however many do.
 */
export class StoreMonitor {
  readonly #options: StoreMonitorOptions;
  #known: KnownStore | undefined;
  #knownAtMs = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;

  constructor(options: StoreMonitorOptions) {
    this.#options = options;
  }

  /** Tells what there is to know, within 2.5 s; `undefined`: the store has never answered. */
  async ask(): Promise<KnownStore | undefined> {
    if (performance.now() - this.#knownAtMs < FRESH_MS) return this.#known;
    this.#asking ??= this.#refresh();
    let timer: NodeJS.Timeout | undefined;
    const impatience = new Promise<"late">((resolve) => {
      timer = setTimeout(resolve, PATIENCE_MS, "late");
    });
    const first = await Promise.race([this.#asking, impatience]);
    clearTimeout(timer);
    // Who does not answer in time is not reachable, as far as anybody can tell.
    return first === "late" ? this.#known && withoutAnswers(this.#known) : this.#known;
  }

  async #refresh(): Promise<void> {
    const check = new Promise<number | undefined>((resolve) => this.#options.check(resolve));
    const [status, commitMs] = await Promise.all([this.#options.status(), check]);
    this.#known = merged(this.#known, status, commitMs);
    this.#knownAtMs = performance.now();
    this.#asking = undefined;
  }
}

function merged(
  before: KnownStore | undefined,
  status: StoreStatus,
  commitMs: number | undefined,
): KnownStore | undefined {
  if (status.members.length === 0) return before && { ...withoutAnswers(before), commitMs };
  const last = new Map(before?.members.map((member) => [member.id, member.answer]));
  const members = status.members.map((member) => ({
    ...member,
    isReachable: member.answer !== undefined,
    answer: member.answer ?? silent(last.get(member.id)),
  }));
  return { clusterId: status.clusterId, quotaBytes: status.quotaBytes, members, commitMs };
}

const withoutAnswers = (known: KnownStore): KnownStore => ({
  ...known,
  commitMs: undefined,
  members: known.members.map((member) => ({ ...member, isReachable: false, answer: silent(member.answer) })),
});

/** One that is silent leads nobody, as far as anybody can tell. */
const silent = (answer: StoreMemberAnswer | undefined) => answer && { ...answer, isLeader: false };
