import type { Change, Entry, Snapshot } from "../../server/core/entry.ts";
import type { Feed } from "../../server/ports/store.ts";

/** What a feed delivered, and the table that it makes. Fails at once where it breaks its promise. */
export class FeedRecorder implements Feed {
  readonly snapshots: Snapshot[] = [];
  readonly revisions: { readonly revision: number; readonly changes: readonly Change[] }[] = [];
  readonly table = new Map<string, Entry>();
  /** Everything up to here has been delivered. */
  revision = 0;
  /** What the last progress told. */
  progressed = 0;
  private readonly waits = new Set<() => void>();

  snapshot(snapshot: Snapshot): void {
    if (snapshot.revision < this.revision) throw new Error(`snapshot ${snapshot.revision} after ${this.revision}`);
    this.snapshots.push(snapshot);
    this.table.clear();
    for (const entry of snapshot.entries) this.table.set(entry.key, entry);
    this.reach(snapshot.revision);
  }

  changes(revision: number, changes: readonly Change[]): void {
    if (this.snapshots.length === 0) throw new Error("changes before a snapshot");
    if (revision <= this.revision) throw new Error(`changes ${revision} after ${this.revision}`);
    if (changes.length === 0) throw new Error(`no changes in ${revision}`);
    this.revisions.push({ revision, changes });
    for (const change of changes) {
      if (change.kind === "put") this.table.set(change.entry.key, change.entry);
      else this.table.delete(change.key);
    }
    this.reach(revision);
  }

  progress(revision: number): void {
    if (revision < this.revision) throw new Error(`progress ${revision} after ${this.revision}`);
    this.progressed = revision;
    this.reach(revision);
  }

  /** The changes of one revision; none, if it had none. */
  changesOf(revision: number): readonly Change[] {
    return this.revisions.find((one) => one.revision === revision)?.changes ?? [];
  }

  /** Resolves when `condition` holds, looking after each delivery. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.waits.add(resolve));
  }

  private reach(revision: number): void {
    this.revision = revision;
    for (const resolve of this.waits) resolve();
    this.waits.clear();
  }
}
