import type { HolderEnd, PreviousHolder } from "../core/frames.ts";
import type { Claim } from "../core/queue.ts";

/** How many locks are remembered; of more, those longest without an end are forgotten. */
const MAX_LOCKS = 10_000;

/**
 * How the last holder of each lock ended, as far as this server saw it. It tells a new holder whether to expect
 * half-done work, and decides nothing: another server may know more, or less.
 */
export class PreviousHolders {
  private readonly byLock = new Map<string, PreviousHolder>();

  /** `endedAtMs`: when that was seen or decided. */
  ended(claim: Claim, end: HolderEnd, endedAtMs: number): void {
    const { token } = claim;
    for (const lock of claim.lockNames) {
      // A claim given up early is seen to end once more, when the next one may have ended too.
      if ((this.byLock.get(lock)?.token ?? -1n) >= token) continue;
      this.byLock.delete(lock);
      this.byLock.set(lock, { token, end, endedAtMs });
    }
    for (const lock of this.byLock.keys()) {
      if (this.byLock.size <= MAX_LOCKS) break;
      this.byLock.delete(lock);
    }
  }

  /** The last to end before the grant with `token`; `undefined`: unknown, or none. */
  before(lock: string, token: bigint): PreviousHolder | undefined {
    const previous = this.byLock.get(lock);
    return previous !== undefined && previous.token < token ? previous : undefined;
  }
}
