import { AsyncLocalStorage } from "node:async_hooks";
import type { LockSpec } from "./frames.ts";
import type { HeldLock } from "./held-lock.ts";
import { HoldfastError } from "./holdfast-error.ts";

/** How often a thread of control may be inside the same lock. */
const MAX_DEPTH = 100;

/** A `withLock` that is running, seen from inside its function. */
export class Frame {
  readonly threadId: string;
  readonly parent: Frame | undefined;
  readonly locks: readonly LockSpec[];
  readonly lock: HeldLock;
  /** How many claims made directly inside it are wanted or held now. */
  children = 0;
  #depth = 1;

  constructor(threadId: string, parent: Frame | undefined, locks: readonly LockSpec[], lock: HeldLock) {
    this.threadId = threadId;
    this.parent = parent;
    this.locks = locks;
    this.lock = lock;
  }

  enterAgain(): void {
    if (this.#depth >= MAX_DEPTH)
      throw new HoldfastError("too-deep", `this thread of control is inside ${MAX_DEPTH} times already`);
    this.#depth++;
  }

  /** Whoever leaves last releases: an inner call that nobody awaited keeps the lock until it is done. */
  async leave(): Promise<void> {
    if (--this.#depth === 0) await this.lock.release();
  }
}

/** How a claim is to be made from where the program is now. */
export type Way =
  /** It is inside a `withLock` that holds all of this already: nothing is sent. */
  | { readonly kind: "reenter"; readonly frame: Frame }
  /** It is claimed, under this thread of control. */
  | { readonly kind: "claim"; readonly threadId: string };

/**
 * The threads of control of one client: which `withLock` encloses which, carried through `await` by
 * AsyncLocalStorage. A nested `withLock` on what an enclosing one holds re-enters, counted here and nothing sent:
 * sessions that resume do not re-enter at the server (DESIGN 3). Other nested claims carry the id of their thread, so
 * that the service can find threads that wait for each other in a circle.
 *
 * Only what is nested shares a thread. Of several claims made side by side inside one function (`Promise.all`) the
 * first carries the thread on and the others start threads of their own: none of them waits for the others, so to
 * put them on one thread would find deadlocks where there are none, and let them into each other's locks.
 */
export class ThreadsOfControl {
  readonly #frames = new AsyncLocalStorage<Frame>();
  #lastId = 0;

  /** Finds the way for a `withLock` on these locks. Throws `HoldfastError` where waiting could never end. */
  enter(locks: readonly LockSpec[]): Way {
    const frame = this.#frames.getStore();
    for (let each = frame; each !== undefined; each = each.parent)
      if (each.lock.held && locks.every((wanted) => each.locks.some((has) => isNoWeaker(has, wanted)))) {
        each.enterAgain();
        return { kind: "reenter", frame: each };
      }
    this.refuseToWaitForItself(locks);
    // The service takes no second claim of one thread on a lock from a session that can resume.
    const carriesOn = frame !== undefined && frame.children === 0 && !this.#isInside(locks);
    return { kind: "claim", threadId: carriesOn ? frame.threadId : `t${++this.#lastId}` };
  }

  #isInside(locks: readonly LockSpec[]): boolean {
    for (let each = this.#frames.getStore(); each !== undefined; each = each.parent)
      if (each.locks.some((has) => locks.some((wanted) => wanted.name === has.name))) return true;
    return false;
  }

  /** Throws `deadlock` if a `withLock` around this call holds, and would hold for as long as it waits, what it wants. */
  refuseToWaitForItself(locks: readonly LockSpec[]): void {
    for (let each = this.#frames.getStore(); each !== undefined; each = each.parent) {
      const clash = locks.find((wanted) =>
        each?.locks.some((has) => has.name === wanted.name && excludes(has, wanted)),
      );
      if (clash !== undefined && each.lock.held)
        throw new HoldfastError(
          "deadlock",
          `"${clash.name}" is held by a withLock around this call, which would wait for itself: ${advice(each, clash, locks.length > 1)}`,
          { lock: clash.name },
        );
    }
  }

  /** Counts a claim that is made directly inside the present function, until it is disposed of. */
  begin(): Disposable {
    const frame = this.#frames.getStore();
    if (frame !== undefined) frame.children++;
    return {
      [Symbol.dispose]() {
        if (frame !== undefined) frame.children--;
      },
    };
  }

  /** Runs `fn` inside a lock that was claimed under `threadId`, and releases it. */
  async run<T>(threadId: string, locks: readonly LockSpec[], lock: HeldLock, fn: () => Promise<T>): Promise<T> {
    const frame = new Frame(threadId, this.#frames.getStore(), locks, lock);
    try {
      return await this.#frames.run(frame, fn);
    } finally {
      await frame.leave();
    }
  }
}

/** What to do about a lock that is held by `frame` and wanted inside it. */
function advice(frame: Frame, clash: LockSpec, isOneOfSeveral: boolean): string {
  if (!frame.locks.some((has) => isNoWeaker(has, clash))) return "take it as strongly outside, or release it first";
  if (isOneOfSeveral) return "take all of these locks outside, or release it first";
  return "use withLock here too, which re-enters it, or release it first";
}

/** Whether holding `has` allows all that `wanted` would. */
function isNoWeaker(has: LockSpec, wanted: LockSpec): boolean {
  if (has.name !== wanted.name) return false;
  if (has.mode === "exclusive") return wanted.mode !== "semaphore";
  if (has.mode === "shared") return wanted.mode === "shared";
  return wanted.mode === "semaphore" && wanted.limit === has.limit && wanted.permits <= has.permits;
}

/** Whether the two can never be held together. */
function excludes(has: LockSpec, wanted: LockSpec): boolean {
  if (has.mode === "shared" && wanted.mode === "shared") return false;
  if (has.mode === "semaphore" && wanted.mode === "semaphore") return has.permits + wanted.permits > wanted.limit;
  return true;
}
