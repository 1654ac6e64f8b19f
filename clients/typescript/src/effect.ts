import type { Command, Denied, GrantedLock, Lost, Waiting } from "./frames.ts";
import type { Reason } from "./reason.ts";

/** What the session machine wants done, or has to tell. Claim ids are the machine's own and never used again. */
export type Effect =
  /** Connect to an address; answer with `connected` or `broken` of that stream number. */
  | { readonly kind: "dial"; readonly streamNo: number; readonly address: string }
  /** Send commands, in this order; in one frame if they fit. */
  | { readonly kind: "send"; readonly streamNo: number; readonly commands: readonly Command[] }
  /** Nothing more is taken from a stream. What was sent on it still goes out, then it is half-closed. */
  | { readonly kind: "abandon"; readonly streamNo: number }
  /** There is a session now, new or resumed. */
  | { readonly kind: "opened"; readonly sessionId: string }
  /** No session could be had for those who asked for no more than that. */
  | { readonly kind: "not-opened"; readonly reason: Reason; readonly message: string }
  | Waiting
  | { readonly kind: "granted"; readonly claimId: bigint; readonly locks: readonly GrantedLock[] }
  /** Refused, timed out, or given up for want of a session: gone, and never granted later. */
  | Denied
  /** A held claim is not held any more, or may not be believed to be. */
  | Lost
  /** A claim that was given up is known to be gone, or ended with its session. */
  | { readonly kind: "released"; readonly claimId: bigint }
  /** The first `count` unanswered updates of a claim are answered. `reason` absent: the value was replaced. */
  | {
      readonly kind: "updated";
      readonly claimId: bigint;
      readonly count: number;
      readonly reason: Reason | undefined;
      readonly message: string;
    }
  /** The machine was closed, and is done. */
  | { readonly kind: "closed" };
