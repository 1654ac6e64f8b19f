import type { ClaimRecord, ServerRecord, SessionRecord } from "./records.ts";

/** Writes that happen together, if all guards hold. */
export interface Operation {
  readonly guards: readonly Guard[];
  readonly writes: readonly Write[];
}

export type Guard =
  /** The key does not exist. */
  | { readonly kind: "absent"; readonly key: string }
  /** The key exists and was last written in this revision. */
  | { readonly kind: "modified"; readonly key: string; readonly revision: number }
  /** The key exists and was created in this revision. */
  | { readonly kind: "created"; readonly key: string; readonly revision: number }
  /** No key that starts with `prefix` was written after this revision. */
  | { readonly kind: "quiet"; readonly prefix: string; readonly revision: number };

export type Write =
  | { readonly kind: "put"; readonly key: string; readonly value: StoredValue; readonly lease: bigint }
  | { readonly kind: "delete"; readonly key: string };

export type StoredValue =
  | { readonly kind: "session"; readonly record: SessionRecord }
  | { readonly kind: "claim"; readonly record: ClaimRecord }
  | { readonly kind: "server"; readonly record: ServerRecord };

export type CommitOutcome =
  /** Decided, in this revision or before it; `applied[i]` says whether operation `i` was. */
  | { readonly kind: "decided"; readonly revision: number; readonly applied: readonly boolean[] }
  /** etcd is over its quota and refused a transaction with a put. Nothing was written, nor will be. */
  | { readonly kind: "no-space" }
  /** A put named a lease that is gone. Nothing was written, nor will be. */
  | { readonly kind: "lease-not-found" }
  /** No answer, or one that says nothing: it may have been applied, or may be up to 20 s later. */
  | { readonly kind: "unknown" };

/** What became of one operation of a commit. */
export type Settled =
  /** Its guards held: its writes are in this revision. */
  | { readonly kind: "applied"; readonly revision: number }
  /** A guard failed, at this revision or before it. */
  | { readonly kind: "refused"; readonly revision: number }
  | { readonly kind: "no-space" }
  | { readonly kind: "lease-not-found" }
  | { readonly kind: "unknown" };
