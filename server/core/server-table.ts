import type { Change, Entry, ServerEntry, Snapshot } from "./entry.ts";
import { parseKey, serverKey } from "./keys.ts";
import type { ServerRecord } from "./records.ts";

/** A registered server as etcd has it. */
export interface TableServer {
  /** Names one run of a server. */
  readonly id: string;
  readonly record: ServerRecord;
  readonly modRevision: number;
  readonly lease: bigint;
}

/** A client is told of so many other servers at most. */
const MAX_ADDRESSES = 100;

/**
 * The servers that are registered: a pure function of etcd's live keys, like the lock table (DESIGN 4.1), and apart
 * from it, since nothing that is granted depends on it. A server is here for as long as its lease lives, so one
 * that died a moment ago still is.
 */
export class ServerTable {
  private readonly servers = new Map<string, TableServer>();

  /** Follows one revision. Returns whether it was about any server. */
  apply(changes: readonly Change[]): boolean {
    let changed = false;
    for (const change of changes) {
      if (change.kind === "put" ? change.entry.kind !== "server" : !change.key.startsWith("server/")) continue;
      const parsed = parseKey(change.kind === "put" ? change.entry.key : change.key);
      if (parsed?.kind !== "server") continue;
      if (change.kind === "delete") this.servers.delete(parsed.serverId);
      else this.put(parsed.serverId, change.entry as ServerEntry);
      changed = true;
    }
    return changed;
  }

  /** Becomes what a snapshot says. */
  replace(entries: readonly Entry[]): void {
    this.servers.clear();
    for (const entry of entries) {
      const parsed = entry.kind === "server" ? parseKey(entry.key) : undefined;
      if (entry.kind === "server" && parsed?.kind === "server") this.put(parsed.serverId, entry);
    }
  }

  /** The server with this id, if it is registered. */
  get(id: string): TableServer | undefined {
    return this.servers.get(id);
  }

  /** All of them, in order of id. */
  list(): readonly TableServer[] {
    return [...this.servers.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /**
   * Where clients may go instead of the server at `own`: each address once, those that drain or tell no address left
   * out; at most 100, in order. Empty if that server itself tells no address: its clients come through something that chooses.
   */
  othersThan(own: string): readonly string[] {
    if (own === "") return [];
    const addresses = new Set<string>();
    for (const { record } of this.servers.values())
      if (!record.draining && record.address !== "" && record.address !== own) addresses.add(record.address);
    return [...addresses].sort().slice(0, MAX_ADDRESSES);
  }

  /** The first server's key on which this table and a snapshot differ, those in `except` left out; see `LockTable`. */
  disagreement(snapshot: Snapshot, except: ReadonlySet<string>): string | undefined {
    const there = new Map<string, number>();
    for (const { kind, key, modRevision } of snapshot.entries) if (kind === "server") there.set(key, modRevision);
    for (const { id, modRevision } of this.servers.values()) {
      const key = serverKey(id);
      if (!except.has(key) && there.get(key) !== modRevision) return key;
      there.delete(key);
    }
    return [...there.keys()].find((key) => !except.has(key));
  }

  private put(id: string, { record, modRevision, lease }: ServerEntry): void {
    this.servers.set(id, { id, record, modRevision, lease });
  }
}
