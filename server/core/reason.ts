/**
 * Why a claim was denied or lost, a session closed or a call failed: the closed list of `Reason` in
 * `holdfast/v1/lock_service.proto`, in the words of DESIGN.md.
 */
export type Reason =
  | "busy"
  | "timeout"
  | "deadlock"
  | "queue-full"
  | "too-many-claims"
  | "invalid"
  | "not-permitted"
  | "not-found"
  | "conflicting-mode"
  | "too-deep"
  | "wrong-token"
  | "session-expired"
  | "released-by-force"
  | "closed-by-force"
  | "closed-by-client"
  | "superseded"
  | "client-too-slow"
  | "draining"
  | "store-unavailable"
  | "internal"
  | "wrong-server";
