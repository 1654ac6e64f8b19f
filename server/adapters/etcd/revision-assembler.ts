import type { Change } from "../../core/entry.ts";
import { type Event, Event_EventType } from "../../gen/etcd/api/mvccpb/kv.ts";
import type { Keyspace } from "./keyspace.ts";
import { decodeEntry } from "./records.ts";
import { toRevision } from "./revision.ts";
import { StoreError } from "./store-error.ts";

/**
 * Puts what a watch brings together to whole revisions. etcd never divides a revision between two responses, but
 * it divides responses into fragments, anywhere; and one response may bring many revisions, in order.
 */
export class RevisionAssembler {
  private readonly keyspace: Keyspace;
  private readonly deliver: (revision: number, changes: readonly Change[]) => void;
  /** Everything up to here has been delivered. */
  private delivered: number;
  /** The revision being put together; that of the last change in `changes`. */
  private revision = 0;
  private changes: Change[] = [];
  /** Whether fragments of the latest response are missing. */
  private partial = false;

  constructor(keyspace: Keyspace, delivered: number, deliver: (revision: number, changes: readonly Change[]) => void) {
    this.keyspace = keyspace;
    this.delivered = delivered;
    this.deliver = deliver;
  }

  /**
   * Takes the events of a response; `more`: it is a fragment, and not the last. Delivers each revision once it is
   * whole, and none up to the one delivered before. Throws `unknown-record` for what cannot be read, and `protocol`
   * for events out of order.
   */
  take(events: readonly Event[], more: boolean): void {
    for (const { type, kv } of events) {
      if (kv === undefined) throw new StoreError("protocol", "etcd sent an event without a key");
      const revision = toRevision(kv.modRevision);
      if (revision <= this.delivered) continue;
      if (revision !== this.revision) this.begin(revision);
      const key = this.keyspace.key(kv.key);
      if (type === Event_EventType.DELETE) this.changes.push({ kind: "delete", key });
      else {
        const createRevision = toRevision(kv.createRevision);
        const { value, lease } = kv;
        this.changes.push({
          kind: "put",
          entry: decodeEntry({ key, value, createRevision, modRevision: revision, lease }),
        });
      }
    }
    this.partial = more;
    if (!more) this.finish();
  }

  /** Everything up to here has been delivered, or taken note of as having nothing for us. */
  get deliveredRevision(): number {
    return this.delivered;
  }

  /**
   * Takes etcd's word that nothing for us is missing up to a revision. `false`: that is not so, because a fragment
   * is missing or more than that has been delivered.
   */
  progressed(revision: number): boolean {
    if (this.partial || revision < this.delivered) return false;
    this.delivered = revision;
    return true;
  }

  private begin(revision: number): void {
    if (revision < this.revision) {
      throw new StoreError("protocol", `etcd sent revision ${revision} after ${this.revision}`);
    }
    this.finish();
    this.revision = revision;
  }

  private finish(): void {
    if (this.changes.length === 0) return;
    const { revision, changes } = this;
    this.changes = [];
    this.delivered = revision;
    this.deliver(revision, changes);
  }
}
