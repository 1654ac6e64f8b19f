import { type LockTarget, semaphore, shared } from "../../clients/typescript/src/index.ts";

/** What a worker asks for each time: `turn` counts its claims from 0. Names begin with `run`. */
export type Asking = (worker: number, turn: number) => readonly LockTarget[];

/** One claim in so many is a writer's, where readers and writers mix. */
const WRITER_EVERY = 16;
/** Permits of the semaphore that not all get at a time. */
export const FEW_PERMITS = 8;

/** Kinds of claims, each as so many in flight would make it. */
export const kinds = {
  /** Each worker on a lock of its own. */
  exclusive: (run) => (worker) => [`${run}/${worker}`],
  /** All read one lock. */
  shared: (run) => () => [shared(run)],
  /** All read one lock, and now and then write. */
  "shared-and-writers": (run) => (worker, turn) => ((worker + turn) % WRITER_EVERY === 0 ? [run] : [shared(run)]),
  /** All take a permit of one semaphore that has enough. */
  semaphore: (run, inFlight) => () => [semaphore(run, { limit: inFlight })],
  /** All take a permit of one semaphore that has few. */
  "semaphore-few": (run) => () => [semaphore(run, { limit: FEW_PERMITS })],
  /** Each worker takes two locks of its own at once. */
  "two-locks": (run) => (worker) => [`${run}/${worker}/a`, `${run}/${worker}/b`],
} as const satisfies Record<string, (run: string, inFlight: number) => Asking>;

export type Kind = keyof typeof kinds;
export const kindNames = Object.keys(kinds) as readonly Kind[];
