import type { Snapshot } from "../../core/entry.ts";
import type { Feed } from "../../ports/store.ts";
import type { EtcdClient } from "./client.ts";
import type { CallFailure } from "./connection.ts";
import type { Keyspace } from "./keyspace.ts";
import { RevisionAssembler } from "./revision-assembler.ts";
import { readSnapshot } from "./snapshot.ts";
import { StoreError } from "./store-error.ts";
import { WatchStream } from "./watch-stream.ts";

export interface WatchOptions {
  readonly client: EtcdClient;
  readonly keyspace: Keyspace;
  readonly feed: Feed;
  /** How long etcd may be silent after it was asked for something. */
  readonly silenceMs: number;
  readonly onFault: (fault: Error) => void;
  readonly onTrouble: (event: "watch.broken" | "watch.compacted", why: string) => void;
}

const MAX_PAUSE_MS = 1_000;

/**
 * Follows everything below the prefix for as long as the store is open: whole revisions, in order, without gaps,
 * none twice. A stream that breaks is replaced by one that goes on where it ended; where etcd has forgotten what
 * came since, everything is read anew.
 *
 * Ends with `onFault` at what cannot be read, and at an etcd that has gone back in time: nothing follows then.
 */
export class Watch {
  private readonly options: WatchOptions;
  private assembler: RevisionAssembler;
  private stream: WatchStream | undefined;
  private pause: NodeJS.Timeout | undefined;
  /** How often in a row it could not be done. */
  private failures = 0;
  private closed = false;

  constructor(options: WatchOptions, first: Snapshot) {
    this.options = options;
    this.assembler = this.assembleFrom(first.revision);
    setImmediate(() => {
      if (this.closed) return;
      options.feed.snapshot(first);
      this.open();
    });
  }

  requestProgress(): void {
    this.stream?.requestProgress();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.pause);
    this.stream?.close();
  }

  private open(): void {
    // What came of a revision that is not whole comes again.
    this.assembler = this.assembleFrom(this.assembler.deliveredRevision);
    const { client, keyspace, feed, silenceMs } = this.options;
    // What has been delivered is asked for again, and dropped: from a revision that is still to come, etcd would not
    // tell its progress. A compaction of just that revision does no harm.
    this.stream = new WatchStream(
      { client, keyspace, silenceMs, fromRevision: this.assembler.deliveredRevision },
      {
        events: (events, more) => {
          this.failures = 0;
          if (!this.assembler.take(events, more)) this.contradicted();
        },
        progress: (revision) => {
          this.failures = 0;
          if (this.assembler.progressed(revision)) feed.progress(revision);
        },
        compacted: (revision) => {
          this.stream = undefined;
          this.options.onTrouble("watch.compacted", `etcd has forgotten what came before revision ${revision}`);
          this.resync();
        },
        broken: (why) => {
          this.stream = undefined;
          this.options.onTrouble("watch.broken", why);
          this.later(() => this.open());
        },
        fault: (fault) => this.fault(fault),
      },
    );
  }

  /** Something was missed before, and nothing tells what: only reading everything anew does. */
  private contradicted(): void {
    this.stream?.close();
    this.stream = undefined;
    this.options.onTrouble("watch.broken", "etcd sent revisions out of order");
    this.later(() => this.resync());
  }

  private resync(): void {
    const { client, keyspace, feed } = this.options;
    readSnapshot(client, keyspace, (result) => {
      if (this.closed) return;
      if (result.kind === "fault") this.fault(result.fault);
      else if (result.kind === "failed") this.retryResync(result.failure);
      else if (result.snapshot.revision < this.assembler.deliveredRevision) this.fault(this.wentBack(result.snapshot));
      else {
        this.assembler = this.assembleFrom(result.snapshot.revision);
        feed.snapshot(result.snapshot);
        this.open();
      }
    });
  }

  private retryResync(failure: CallFailure): void {
    this.options.onTrouble("watch.broken", `the keys could not be read: ${failure.details}`);
    this.later(() => this.resync());
  }

  private assembleFrom(revision: number): RevisionAssembler {
    const { keyspace, feed } = this.options;
    return new RevisionAssembler(keyspace, revision, (at, changes) => {
      // One of several revisions in a response may be what makes the store close.
      if (!this.closed) feed.changes(at, changes);
    });
  }

  /** At once after the first failure, then more and more slowly. */
  private later(action: () => void): void {
    if (this.closed) return;
    const pauseMs = this.failures === 0 ? 0 : Math.min(25 * 2 ** this.failures, MAX_PAUSE_MS);
    this.failures++;
    this.pause = setTimeout(action, pauseMs);
  }

  private fault(fault: Error): void {
    this.close();
    this.options.onFault(fault);
  }

  private wentBack({ revision }: Snapshot): StoreError {
    const { deliveredRevision } = this.assembler;
    const message = `etcd went back from revision ${deliveredRevision} to ${revision}: it was restored, or is another`;
    return new StoreError("protocol", message);
  }
}
