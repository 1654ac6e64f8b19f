import type { ClaimRecord, ServerRecord, SessionRecord } from "./records.ts";

/** A key and its value, as etcd has them. */
export type Entry = SessionEntry | ClaimEntry | ServerEntry;

interface EntryOf<Value> {
  readonly key: string;
  readonly record: Value;
  readonly createRevision: number;
  readonly modRevision: number;
  /** The lease it is bound to; 0n: none. */
  readonly lease: bigint;
}
export interface SessionEntry extends EntryOf<SessionRecord> {
  readonly kind: "session";
}
export interface ClaimEntry extends EntryOf<ClaimRecord> {
  readonly kind: "claim";
}
export interface ServerEntry extends EntryOf<ServerRecord> {
  readonly kind: "server";
}

/** What one revision did to a key. */
export type Change =
  | { readonly kind: "put"; readonly entry: Entry }
  | { readonly kind: "delete"; readonly key: string };

/** Everything there is at one revision. */
export interface Snapshot {
  readonly revision: number;
  readonly entries: readonly Entry[];
}
