import type { ConnectOptions } from "../../clients/typescript/src/index.ts";

/** What a client process is to do. */
export interface ClientTask {
  /** The name of its process, unlike that of every other one; with `op` it is the value of each claim. */
  readonly name: string;
  readonly addresses: readonly string[];
  readonly options: ConnectOptions;
  readonly seed: number;
  readonly logFile: string;
  /** By how much its monotonic clock is ahead of that of the machine. */
  readonly clockAheadMs: number;
  readonly load: Load;
}

/**
 * `mixed`: claims of all kinds on a few locks, which many want. `calm`: a lock of its own that is held all the time,
 * and others of its own that are taken and given back, so that any gap is the service's.
 */
export type Load =
  | { readonly kind: "mixed"; readonly workers: number }
  | { readonly kind: "calm"; readonly name: string; readonly workers: number };

export interface LockSpec {
  readonly name: string;
  readonly mode: "exclusive" | "shared" | "semaphore";
  readonly permits: number;
  readonly limit: number;
}

/** The value that a claim has in etcd: by it the judge knows whose it is, granted or not. */
export function claimValue(name: string, op: number): string {
  return `${name} op ${op}`;
}

/**
 * A line of a client's log. `atMs` is of the clock that all processes of the machine share; `op` numbers the claims of
 * the process. What is to happen is written before, what has happened after.
 */
export type ClientLine = { readonly atMs: number; readonly op: number } & (
  | { readonly kind: "asks"; readonly locks: readonly LockSpec[]; readonly waitMs: number | null }
  /** It gives up waiting. */
  | { readonly kind: "cancels" }
  | { readonly kind: "granted"; readonly sessionId: string; readonly token: number }
  | { readonly kind: "refused"; readonly reason: string }
  /** It looked at the lock, and may believe that it holds it until then. */
  | { readonly kind: "believes"; readonly untilMs: number }
  | { readonly kind: "lost"; readonly reason: string }
  /** It gives the claim back: by itself, or by closing its session. */
  | { readonly kind: "releases"; readonly how: "release" | "close" }
  | { readonly kind: "released"; readonly outcome: "released" | "lost" }
  | { readonly kind: "touches"; readonly what: "read" | "write"; readonly value: number }
  | { readonly kind: "touched"; readonly accepted: boolean; readonly value: number }
);

/** A read or write of the register that a lock guards, which every process can reach whatever the network does. */
export interface Touch {
  readonly op: number;
  readonly lock: string;
  readonly token: number;
  readonly what: "read" | "write";
  /** What is written. */
  readonly value: number;
}

/** What the register answers: `value` is what it has. */
export interface TouchAnswer {
  readonly op: number;
  readonly accepted: boolean;
  readonly value: number;
}

/** What a client process is told. */
export type ClientOrder =
  | { readonly kind: "answer"; readonly answer: TouchAnswer }
  /** Block the event loop. */
  | { readonly kind: "block"; readonly forMs: number }
  /** Finish what is under way, close, and end. */
  | { readonly kind: "finish" };
