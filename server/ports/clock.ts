import type { Wake } from "../core/wake.ts";

export type { Wake };

/** Time as the engine sees it. The real one is Node's; tests turn theirs by hand. */
export interface Clock {
  /** Monotonic milliseconds. For everything that decides. */
  nowMs(): number;
  /** Milliseconds since 1970. For people only. */
  wallMs(): number;
  /** Calls `fn` once, at or after `atMs` of `nowMs`. */
  at(atMs: number, fn: () => void): Wake;
  /** Calls `fn` once, when what is ready in this turn of the event loop has been handled. */
  endOfTurn(fn: () => void): void;
}
