import type { Feed } from "./feed.ts";
import type { LockGlance, LockPlace, Services } from "./services.ts";

/** Rows in a frame, and in all frames between two rests. */
const FRAME_ROWS = 400;
const ROWS_PER_REST = 1_200;
const REST_MS = 500;
/** Rows that a page is given: more are no help to anybody, and would be too much for it. */
const MAX_ROWS = 20_000;
const LOCK_REST_MS = 200;
const HOTTEST = 8;
const HOTTEST_EVERY_MS = 1_000;
const HOTTEST_STEP = 2_000;

/**
 * The locks with a prefix, each with its oldest holder and its next waiter: first all, then those that changed. After
 * `MAX_ROWS` it says that there are more and leaves those out.
 */
export class LockRowsFeed implements Feed {
  readonly #place: LockPlace;
  readonly #sent = new Set<string>();
  #some = false;
  #caughtUp = false;
  #more = false;
  #left = ROWS_PER_REST;
  #restUntilMs = 0;

  constructor(services: Services, prefix: string) {
    const query = { prefix, name: "", holderLimit: 1, waiterLimit: 1 };
    this.#place = services.watchLocks(query, () => {
      this.#some = true;
    });
  }

  take(nowMs: number): string | undefined {
    if (!this.#some || nowMs < this.#restUntilMs) return undefined;
    const { locks, caughtUp } = this.#place.take(FRAME_ROWS);
    if (locks.length < FRAME_ROWS) this.#some = false;
    this.#caughtUp ||= caughtUp;
    this.#left -= locks.length;
    // Until it has seen all there is, a page has nothing to look at, and does not rest.
    if (this.#caughtUp && (!this.#some || this.#left <= 0)) {
      this.#left = ROWS_PER_REST;
      this.#restUntilMs = nowMs + REST_MS;
    }
    const rows = locks.filter((lock) => this.#admit(lock)).map((lock) => lock.toJson());
    if (rows.length === 0 && !caughtUp) return undefined;
    return JSON.stringify({ locks: rows, caughtUp: this.#caughtUp, more: this.#more });
  }

  close(): void {
    this.#place.close();
  }

  #admit({ name, holderCount, waiterCount }: LockGlance): boolean {
    if (holderCount === 0 && waiterCount === 0) return this.#sent.delete(name);
    if (this.#sent.has(name)) return true;
    if (this.#sent.size < MAX_ROWS) {
      this.#sent.add(name);
      return true;
    }
    this.#more = true;
    return false;
  }
}

/** One lock with its first holders and waiters, as it is and whenever it changes. */
export class LockFeed implements Feed {
  readonly #place: LockPlace;
  #some = false;
  #restUntilMs = 0;

  constructor(services: Services, name: string) {
    this.#place = services.watchLocks({ prefix: "", name, holderLimit: 100, waiterLimit: 100 }, () => {
      this.#some = true;
    });
  }

  take(nowMs: number): string | undefined {
    if (!this.#some || nowMs < this.#restUntilMs) return undefined;
    this.#some = false;
    this.#restUntilMs = nowMs + LOCK_REST_MS;
    const { locks } = this.#place.take(2);
    return JSON.stringify({ lock: locks[0]?.toJson() ?? null });
  }

  close(): void {
    this.#place.close();
  }
}

/** The locks with the most waiters, followed once for all pages that show them. */
export class HottestLocks {
  readonly #place: LockPlace;
  readonly #contended = new Map<string, LockGlance>();
  #some = false;
  #caughtUp = false;
  #text = JSON.stringify({ locks: [] });
  #refreshAtMs = 0;

  constructor(services: Services) {
    this.#place = services.watchLocks({ prefix: "", name: "", holderLimit: 1, waiterLimit: 1 }, () => {
      this.#some = true;
    });
  }

  /** As JSON; the same text as long as nothing has changed. */
  text(nowMs: number): string {
    if (this.#some && nowMs >= this.#refreshAtMs) this.#refresh(nowMs);
    return this.#text;
  }

  close(): void {
    this.#place.close();
  }

  #refresh(nowMs: number): void {
    const { locks, caughtUp } = this.#place.take(HOTTEST_STEP);
    if (locks.length < HOTTEST_STEP) this.#some = false;
    this.#caughtUp ||= caughtUp;
    // However much changes, so many a second are looked at: what changed first comes first.
    if (this.#caughtUp) this.#refreshAtMs = nowMs + HOTTEST_EVERY_MS;
    for (const lock of locks) {
      if (lock.waiterCount > 0) this.#contended.set(lock.name, lock);
      else this.#contended.delete(lock.name);
    }
    const hottest = [...this.#contended.values()].sort((a, b) => b.waiterCount - a.waiterCount).slice(0, HOTTEST);
    this.#text = JSON.stringify({ locks: hottest.map((lock) => lock.toJson()), contended: this.#contended.size });
  }
}
