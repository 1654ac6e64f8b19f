import type { Change, Entry } from "../../server/core/entry.ts";
import type { LockSpec } from "../../server/core/frames.ts";
import { claimKey, sessionKey } from "../../server/core/keys.ts";
import { LockTable, type TableDelta } from "../../server/core/lock-table.ts";
import type { Guard, Operation, StoredValue } from "../../server/core/operation.ts";
import type { Claim } from "../../server/core/queue.ts";
import { claim as claimValue, session as sessionValue } from "./store-calls.ts";

export const exclusive = (name: string): LockSpec => ({ name, mode: "exclusive", permits: 0, limit: 0 });
export const shared = (name: string): LockSpec => ({ name, mode: "shared", permits: 0, limit: 0 });
export const semaphore = (name: string, permits: number, limit: number): LockSpec => ({
  name,
  mode: "semaphore",
  permits,
  limit,
});

export interface ClaimOptions {
  readonly reentryId?: string;
  readonly ordinal?: number;
  readonly value?: Uint8Array;
}

/** A history of keys, written revision by revision, and the table that has followed all of it. */
export class KeyHistory {
  readonly table = new LockTable();
  readonly entries = new Map<string, Entry>();
  /** What each revision did. */
  readonly log: { readonly revision: number; readonly changes: readonly Change[] }[] = [];
  revision = 1;
  private changes: Change[] | undefined;
  private readonly lastIds = new Map<string, bigint>();

  /** Writes all that `write` does in one revision. */
  step(write: () => void): TableDelta {
    this.changes = [];
    this.revision++;
    write();
    const { changes } = this;
    this.changes = undefined;
    this.log.push({ revision: this.revision, changes });
    return this.table.apply(this.revision, changes);
  }

  /** Applies those operations whose guards hold, in one revision, as etcd does; in none, if they change nothing. */
  commit(operations: readonly Operation[]): boolean[] {
    const applied = operations.map(({ guards }) => guards.every((guard) => this.holds(guard)));
    const writes = operations.filter((_, i) => applied[i]).flatMap((operation) => operation.writes);
    if (!writes.some((write) => write.kind === "put" || this.entries.has(write.key))) return applied;
    this.step(() => {
      for (const write of writes) {
        if (write.kind === "put") this.put(write.key, write.value, write.lease);
        else this.delete(write.key);
      }
    });
    return applied;
  }

  private holds(guard: Guard): boolean {
    switch (guard.kind) {
      case "absent":
        return !this.entries.has(guard.key);
      case "modified":
        return this.entries.get(guard.key)?.modRevision === guard.revision;
      case "created":
        return this.entries.get(guard.key)?.createRevision === guard.revision;
      case "quiet":
        return [...this.entries.values()].every(
          ({ key, modRevision }) => !key.startsWith(guard.prefix) || modRevision <= guard.revision,
        );
      default:
        return guard satisfies never;
    }
  }

  /** Deletes all keys of a lease, in one revision. */
  expire(lease: bigint): void {
    this.step(() => {
      for (const entry of [...this.entries.values()]) if (entry.lease === lease) this.delete(entry.key);
    });
  }

  /** Writes the key of a session, anew if it is there. */
  session(id: string, serverId = "server-1"): void {
    this.put(sessionKey(id), sessionValue({ serverId }));
  }

  /** Deletes the key of a session and nothing else. */
  endSession(id: string): void {
    this.delete(sessionKey(id));
  }

  /** Whether there was such a session, and is none any more. */
  hadSession(id: string): boolean {
    return this.lastIds.has(id) && !this.entries.has(sessionKey(id));
  }

  /** A claim of a session, which is opened if need be; as the table has it, unless it is within a step. */
  claim(sessionId: string, locks: readonly LockSpec[], options: ClaimOptions = {}): Claim {
    if (!this.entries.has(sessionKey(sessionId))) this.session(sessionId);
    const id = (this.lastIds.get(sessionId) ?? 0n) + 1n;
    this.lastIds.set(sessionId, id);
    this.within(() => {
      for (const { name, ...how } of locks) {
        const { reentryId = "", ordinal = 0, value = new Uint8Array() } = options;
        const record = { ...how, reentryId, ordinal, value, lockNames: locks.map((spec) => spec.name) };
        this.put(claimKey(name, sessionId, id), claimValue(name, record));
      }
    });
    return this.table.claim(sessionId, id) as Claim;
  }

  /** Deletes all keys of a claim that are there. */
  end(sessionId: string, claimId: bigint): void {
    this.within(() => {
      for (const key of this.keysOf(sessionId, claimId)) this.delete(key);
    });
  }

  /** Writes the value of a claim anew. */
  update(sessionId: string, claimId: bigint, value: Uint8Array): void {
    this.within(() => {
      for (const key of this.keysOf(sessionId, claimId)) {
        const entry = this.entries.get(key);
        if (entry?.kind === "claim") this.put(key, { kind: "claim", record: { ...entry.record, value } });
      }
    });
  }

  keysOf(sessionId: string, claimId: bigint): string[] {
    const end = claimKey("", sessionId, claimId).slice("claim/".length);
    return [...this.entries.keys()].filter((key) => key.endsWith(end));
  }

  put(key: string, value: StoredValue, lease = 1n): void {
    this.within((changes) => {
      const createRevision = this.entries.get(key)?.createRevision ?? this.revision;
      const entry: Entry = { ...value, key, createRevision, modRevision: this.revision, lease };
      this.entries.set(key, entry);
      changes.push({ kind: "put", entry });
    });
  }

  delete(key: string): void {
    this.within((changes) => {
      if (this.entries.delete(key)) changes.push({ kind: "delete", key });
    });
  }

  private within(write: (changes: Change[]) => void): void {
    if (this.changes !== undefined) write(this.changes);
    else this.step(() => write(this.changes as Change[]));
  }
}
