/** Why etcd cannot be used: the closed list of what a start can meet, and what ends a store that runs. */
export type StoreErrorReason =
  /** The etcd of our own: its port is in use. */
  | "port-taken"
  /** The etcd of our own: it ended, or did not answer in time. */
  | "start-failed"
  /** No endpoint answers. */
  | "unreachable"
  /** It is older than what Holdfast relies on. */
  | "too-old"
  /** It wants a user, or refuses the one given. */
  | "auth-refused"
  /** What is stored below the prefix is not a record of ours, or of a format that this version does not know. */
  | "unknown-record"
  /** It is not at a later point of the history that it was seen in: it was restored, or is another. */
  | "restored"
  /** The file that remembers that history cannot be read or written. */
  | "seen-file"
  /** etcd said what it cannot say: a defect here or there. */
  | "protocol";

/** What is wrong with etcd, in one line that says what to do next. `cause` is for the log. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly reason: StoreErrorReason;

  constructor(reason: StoreErrorReason, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.reason = reason;
  }
}
