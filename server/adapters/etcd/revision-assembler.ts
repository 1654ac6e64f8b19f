import type { Change } from "../../core/entry.ts";
import { STORE_KEY } from "../../core/keys.ts";
import { type Event, Event_EventType, type KeyValue } from "../../gen/etcd/api/mvccpb/kv.ts";
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
  /** What had been delivered before: told once more, and dropped. */
  private readonly begunAt: number;
  /** Everything up to here has been delivered. */
  private delivered: number;
  /** The revision being put together; that of the last change in `changes`. */
  private revision = 0;
  private changes: Change[] = [];
  /** Whether fragments of the latest response are missing. */
  private partial = false;

  constructor(keyspace: Keyspace, delivered: number, deliver: (revision: number, changes: readonly Change[]) => void) {
    this.keyspace = keyspace;
    this.begunAt = delivered;
    this.delivered = delivered;
    this.deliver = deliver;
  }

  /**
   * Takes the events of a response; `more`: it is a fragment, and not the last. Delivers each revision once it is
   * whole. `false`: they come after revisions that they should have come before, so that something was missed.
   * Throws `unknown-record` for what cannot be read.
   */
  take(events: readonly Event[], more: boolean): boolean {
    for (const { type, kv } of events) {
      if (kv === undefined) throw new StoreError("protocol", "etcd sent an event without a key");
      const revision = toRevision(kv.modRevision);
      // The adapter's own record is none of the table's.
      if (revision === this.begunAt || this.keyspace.key(kv.key) === STORE_KEY) continue;
      if (revision < this.revision || revision <= this.delivered) return false;
      if (revision > this.revision) {
        this.finish();
        this.revision = revision;
      }
      this.changes.push(this.changeOf(type, kv, revision));
    }
    this.partial = more;
    if (!more) this.finish();
    return true;
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

  private changeOf(type: Event_EventType, kv: KeyValue, modRevision: number): Change {
    const key = this.keyspace.key(kv.key);
    if (type === Event_EventType.DELETE) return { kind: "delete", key };
    const { value, lease } = kv;
    const createRevision = toRevision(kv.createRevision);
    return { kind: "put", entry: decodeEntry({ key, value, createRevision, modRevision, lease }) };
  }

  private finish(): void {
    if (this.changes.length === 0) return;
    const { revision, changes } = this;
    this.changes = [];
    this.delivered = revision;
    this.deliver(revision, changes);
  }
}
