/** The reasons that a server gives: `Reason` of `holdfast/v1/lock_service.proto`, in the words of DESIGN.md. */
const serverReasons = [
  "busy",
  "timeout",
  "deadlock",
  "queue-full",
  "too-many-claims",
  "invalid",
  "not-permitted",
  "not-found",
  "conflicting-mode",
  "too-deep",
  "wrong-token",
  "session-expired",
  "released-by-force",
  "closed-by-force",
  "closed-by-client",
  "superseded",
  "client-too-slow",
  "draining",
  "store-unavailable",
  "internal",
  "wrong-server",
] as const;

/**
 * Why a lock was refused or lost, or a call failed. A closed list: the reasons of the service, and four that only
 * the client can give:
 * - `aborted`: the caller's own AbortSignal.
 * - `unreachable`: no server answered in time.
 * - `connection-lost`: the connection broke, and the session could not outlive it.
 * - `unknown`: an error that is none of Holdfast's, or newer than this client; its `cause` says more.
 */
export type Reason = (typeof serverReasons)[number] | "aborted" | "unreachable" | "connection-lost" | "unknown";

const known: ReadonlySet<string> = new Set(serverReasons);

/** The reason that a proto name such as "REASON_QUEUE_FULL" stands for; `unknown` if this client has none for it. */
export function reasonFromProtoName(name: string): Reason {
  const reason = name
    .replace(/^REASON_/, "")
    .toLowerCase()
    .replaceAll("_", "-");
  return known.has(reason) ? (reason as Reason) : "unknown";
}

/** Why something ended, for programs and for people. */
export interface Failure {
  readonly reason: Reason;
  readonly message: string;
}
