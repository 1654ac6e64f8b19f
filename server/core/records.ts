/** What Holdfast keeps in etcd, as the decisions see it: `holdfast.storage.v1` without its encoding. */

/** How a claim shares a lock. */
export type Mode = "exclusive" | "shared" | "semaphore";

/** What a broken stream does to the claims of its session. */
export type OnDisconnect = "release" | "keep";

/** What proves that a session's client lives. */
export type Liveness = "heartbeat" | "transport";

/** What a client says it is: for people, nothing is decided by it. */
export interface ClientInfo {
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly language: string;
  readonly version: string;
}

/** Why an administrator ends a claim or a session: for people, nothing is decided by it. */
export interface ForcedEnd {
  readonly justification: string;
  /** Whom the administrator authenticated as, or the network address. */
  readonly actor: string;
}

/** A session: the value of its key. Whoever writes it gives the session a new epoch (DESIGN 4.4). */
export interface SessionRecord {
  readonly ttlMs: number;
  readonly onDisconnect: OnDisconnect;
  readonly liveness: Liveness;
  /** SHA-256 of the resume secret, in lower-case hexadecimal; empty if the session cannot be resumed. */
  readonly secretHash: string;
  /** The server that has the stream. */
  readonly serverId: string;
  /** The largest attempt number of a resume so far; 0 if never resumed. */
  readonly attempt: bigint;
  /** Whom the client authenticated as; empty: nobody. */
  readonly identity: string;
  readonly peer: string;
  readonly client: ClientInfo | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** Milliseconds since 1970 by the clock of the server that opened it. For people. */
  readonly openedAtMs: number;
  /** Set just before an administrator closes it. */
  readonly forced?: ForcedEnd | undefined;
}

/** A claim in the queue of one lock: the value of its key for that lock. */
export interface ClaimRecord {
  /** 0 to 127, unique among the claims that one transaction creates. */
  readonly ordinal: number;
  readonly mode: Mode;
  /** How many permits it takes: at least 1 for a semaphore, else 0. */
  readonly permits: number;
  /** The limit it was claimed with: at least 1 for a semaphore, else 0. */
  readonly limit: number;
  /** The thread of control within the session; empty: none. */
  readonly reentryId: string;
  /** All locks of the claim, this one too, in the order of the acquire. Never empty here. */
  readonly lockNames: readonly string[];
  readonly purpose: string;
  readonly value: Uint8Array;
  /** Milliseconds since 1970 by the clock of the server that wrote it. For people. */
  readonly claimedAtMs: number;
  /** Set just before an administrator ends it. */
  readonly forced?: ForcedEnd | undefined;
}

/** A running server: the value of its key. */
export interface ServerRecord {
  /** Where clients reach it, as "host:port". */
  readonly address: string;
  readonly version: string;
  readonly startedAtMs: number;
  readonly draining: boolean;
}
