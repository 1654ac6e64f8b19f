import type { Reason } from "../core/reason.ts";

/** For so long etcd may not answer, nor commit, before this server says that it cannot serve: longer than an election. */
const SILENT_AFTER_MS = 3000;
const STUCK_AFTER_MS = 4000;

/** For how long the store has proven nothing; Infinity: it never has. */
export interface StoreSilence {
  /** Since the read that last proved the table current. Milliseconds. */
  readonly readMs: number;
  /** Since the last write that was committed. Milliseconds. */
  readonly writeMs: number;
}

/** What is wrong with the store, as far as this server can tell; empty: nothing. */
export function storeProblem({ readMs, writeMs }: StoreSilence): string {
  if (readMs === Number.POSITIVE_INFINITY) return "the store has not answered yet";
  if (readMs > SILENT_AFTER_MS) return `the store has not answered for ${Math.round(readMs / 1000)} s`;
  if (writeMs === Number.POSITIVE_INFINITY) return "the store has not committed a write yet";
  if (writeMs > STUCK_AFTER_MS) return `the store has not committed a write for ${Math.round(writeMs / 1000)} s`;
  return "";
}

/** Whether this server serves, and why not. */
export class Readiness {
  /** The table is there. */
  isReady = false;
  /** Why it serves no more, for good; empty: nothing is wrong. */
  failure = "";
  /** `withdrawn`: it still serves those who come, and asks to be sent nobody. `draining`: it takes no new session. */
  leaving: "no" | "withdrawn" | "draining" = "no";

  /** What is to be told to those who ask whether it serves; empty: it does. */
  problem(silence: StoreSilence): string {
    if (this.failure !== "") return this.failure;
    if (!this.isReady) return "the table has not been read yet";
    if (this.leaving !== "no") return "the server is shutting down";
    return storeProblem(silence);
  }

  /** Why no session can be opened or resumed here, said at once, so that the client tries another server. */
  refusal(silence: StoreSilence): { readonly reason: Reason; readonly message: string } | undefined {
    if (this.leaving === "draining")
      return { reason: "draining", message: "this server is shutting down: use another" };
    if (this.failure !== "") return { reason: "store-unavailable", message: this.failure };
    if (!this.isReady)
      return { reason: "store-unavailable", message: "this server has not read the store yet: try again" };
    // Before the first proof nobody knows; who comes then is answered as soon as the store is.
    if (!Number.isFinite(silence.readMs) || !Number.isFinite(silence.writeMs)) return undefined;
    const problem = storeProblem(silence);
    if (problem === "") return undefined;
    return { reason: "store-unavailable", message: `${problem}: use another server, or try again` };
  }
}
