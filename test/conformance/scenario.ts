import type { ConnectOptions, Mode } from "../../clients/typescript/src/index.ts";

/** A situation, step by step, and what must come of it in every language. */
export interface Scenario {
  /** A sentence about behaviour, unique. */
  readonly title: string;
  /** It needs tokens above 2^53: an etcd whose revisions are that high. */
  readonly highTokens?: true;
  /**
   * Servers of its own, that it may kill and stop: how many, and flags for them (by default that they tell clients of
   * no other). It is played in one place only.
   */
  readonly servers?: number;
  readonly flags?: readonly string[];
  /** Each of its clients has a driver of its own, that may be stopped. */
  readonly alone?: true;
  readonly steps: readonly Step[];
}

/**
 * Who does what, with which fields, and what must come of it.
 *
 * `who` is one of
 * - a client, "A" to "H": `what` is an operation of README.md, or `hears`, which awaits the next event for a handle that
 *   fits. It connects, and has a session, when it is first named: to one server, the next client to the next one; or
 *   without a session by `connect`, with the fields of `Connecting`. Handles (`as`) are the client's name
 *   unless given.
 * - "A/1": the client A on its thread of control 1: `enter`, `leave`.
 * - "net": `cut`, `blackHole`, `dropReplies`, `mend` what is between client `of` and its servers, or the one `at` an index.
 * - "server": `kill`, `stop` (SIGTERM), `pause`, `resume` server `at` of the scenario's own; `logs` awaits a line of its log
 *   that `text` matches; `add` starts one more.
 * - "etcd": `cut`, `blackHole`, `mend` what is between the scenario's own servers and etcd.
 * - "driver": `pause`, `resume` or `kill` the process of client `of`; only if `alone`.
 * - what was put off, by the label that it was given: `answers` compares what it is answered; `pending` sees that it
 *   is not; `waiting` awaits its next place in the queue that fits; `cancel` cancels it.
 *
 * Names of locks are the scenario's own, wherever they stand: "a" is another lock in every run. One that begins
 * with "!" is taken as it is without that, "pad:512:é" is made 512 bytes long with that letter. "$x" in fields is
 * what was remembered as x.
 */
export type Step = readonly [who: string, what: string, fields?: Fields, outcome?: Outcome];

export interface LockFields {
  readonly name: string;
  readonly mode?: Mode;
  readonly permits?: number;
  readonly limit?: number;
}

export type Locks = string | LockFields | readonly (string | LockFields)[];

/** How a client connects. */
export interface Connecting extends Omit<ConnectOptions, "traceparent"> {
  /** Of every acquire. */
  readonly traceparent?: string;
  /** Indices of servers, in turn. Default: one of them. */
  readonly at?: readonly number[];
  /** Through relays of its own, that "net" can break. */
  readonly via?: "relay";
}

export type Fields = Readonly<Record<string, unknown>> & { readonly locks?: Locks };

/**
 * - nothing: it succeeds.
 * - a text: it fails for this reason.
 * - `error` with a reason, and patterns for the rest of the error.
 * - `waits` with a label: it is put off, and tells that it is in the queue, as the other patterns say.
 * - `later` with a label: it is put off.
 * - anything else: it succeeds, and the answer fits the pattern (see pattern.ts).
 */
export type Outcome = string | Readonly<Record<string, unknown>>;
