import { randomBytes } from "node:crypto";
import { retryUnless, startProblem } from "./check.ts";
import type { EtcdClient } from "./client.ts";
import { CallFailed, type HistoryRecord, type ReadRecord, readRecord, writeRecord } from "./history-record.ts";
import type { Keyspace } from "./keyspace.ts";
import { contradiction, latest, type Position } from "./position.ts";
import type { SeenFile, SeenMemory } from "./seen-file.ts";
import { StoreError } from "./store-error.ts";

/** How often a server that runs writes down how far it has seen: in etcd, and in its file. */
const KEEP_IN_ETCD_EVERY_MS = 60_000;
const KEEP_IN_FILE_EVERY_MS = 5_000;

export interface HistoryOptions {
  readonly client: EtcdClient;
  readonly keyspace: Keyspace;
  readonly prefix: string;
  readonly endpoints: readonly string[];
  /** `undefined`: only etcd itself remembers. */
  readonly file: SeenFile | undefined;
  readonly untilMs: number;
}

/** What an operator has to know of an etcd that was restored, before confirming it. */
export interface RestoredStore {
  /** What it is confirmed by. */
  readonly id: string;
  /** How it was noticed. */
  readonly problem: string;
  /** The largest revision that Holdfast is known to have seen, and the one that etcd is at. */
  readonly seenRevision: number;
  readonly revision: number;
  /** How many revisions the restore has turned etcd forward by, at least; 0: none, as far as can be told. */
  readonly bumpedBy: number;
}

/**
 * Whether etcd goes on from where Holdfast has seen it last, as etcd itself and the file remember it. Resolves with the
 * id of its history; one that is new gets one. Rejects with `restored` when it does not, or when an earlier start found
 * so and nobody has confirmed it; that is written down in etcd, so that every server says the same.
 */
export function checkHistory(options: HistoryOptions): Promise<string> {
  return untilKnown(options, async () => {
    const read = await readRecord(options.client, options.keyspace);
    // Asked only now: what was read may be of a moment ago, and must not look like the future.
    const now = await askPosition(options);
    const found = judge(read, now, ownMemory(options));
    const isNews = found !== read.record;
    if (isNews && !(await remember(options, found, read.modRevision))) return undefined;
    if (found.unconfirmed !== undefined) throw refusal(found.unconfirmed);
    return found.historyId;
  });
}

/** Writes what was found; resolves with `false` if somebody else has meanwhile. A full etcd takes nothing, and is used. */
async function remember({ client, keyspace }: HistoryOptions, found: HistoryRecord, over: number): Promise<boolean> {
  try {
    return await writeRecord(client, keyspace, found, over);
  } catch (error) {
    if (error instanceof CallFailed && error.failure.details.includes("database space exceeded")) return true;
    throw error;
  }
}

/** What there is to confirm; `undefined`: nothing. Changes nothing. */
export function lookForRestored(options: HistoryOptions): Promise<{ restored: RestoredStore | undefined }> {
  return untilKnown(options, async () => {
    const { record } = await readRecord(options.client, options.keyspace);
    if (record?.unconfirmed === undefined) return { restored: undefined };
    return { restored: describe(record, await askPosition(options)) };
  });
}

/**
 * Confirms a restored etcd: from here on it is a history of its own, which goes on from the one before. Resolves with
 * `false` if there is none with this id, or somebody was quicker.
 */
export function confirmRestored(options: HistoryOptions, id: string): Promise<boolean> {
  return untilKnown(options, async () => {
    const { record, modRevision } = await readRecord(options.client, options.keyspace);
    if (record?.unconfirmed?.id !== id) return false;
    const confirmed = {
      historyId: newId(),
      replaced: [...record.replaced, record.historyId],
      seen: await askPosition(options),
      unconfirmed: undefined,
    };
    return writeRecord(options.client, options.keyspace, confirmed, modRevision);
  });
}

/** Writes down how far a server has seen, for those who start after it. */
export class HistoryKeeper {
  private readonly options: HistoryOptions;
  private readonly historyId: string;
  private readonly timers: readonly NodeJS.Timeout[];
  private closed = false;

  constructor(options: HistoryOptions, historyId: string, onTrouble: (why: string) => void) {
    this.options = options;
    this.historyId = historyId;
    const keep = (action: () => void | Promise<void>, everyMs: number) =>
      setInterval(() => void this.attempt(action, onTrouble), everyMs);
    void this.attempt(() => this.keepInFile(), onTrouble);
    this.timers = [
      setTimeout(() => void this.attempt(() => this.keepInEtcd(), onTrouble), KEEP_IN_FILE_EVERY_MS),
      keep(() => this.keepInFile(), KEEP_IN_FILE_EVERY_MS),
      keep(() => this.keepInEtcd(), KEEP_IN_ETCD_EVERY_MS),
    ];
  }

  /** Writes the file once more, and ends. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const timer of this.timers) clearTimeout(timer);
    void this.attempt(
      () => this.keepInFile(),
      () => undefined,
    );
  }

  private async attempt(action: () => void | Promise<void>, onTrouble: (why: string) => void): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (!this.closed) onTrouble((error as Error).message);
    }
  }

  private keepInFile(): void {
    const { client, file, prefix } = this.options;
    const seen = client.position;
    if (seen !== undefined) file?.write({ prefix, historyId: this.historyId, seen });
  }

  private async keepInEtcd(): Promise<void> {
    const { client, keyspace } = this.options;
    const { record, modRevision } = await readRecord(client, keyspace);
    const seen = client.position;
    // Another history, or one in doubt, is not ours to speak for.
    if (record?.historyId !== this.historyId || record.unconfirmed !== undefined || seen === undefined) return;
    if (contradiction(record.seen, latest(record.seen, seen)) !== undefined) return;
    await writeRecord(client, keyspace, { ...record, seen: latest(record.seen, seen) }, modRevision);
  }
}

/** What the record is to be: one that has come further, or a first one, or one that says that etcd was restored. */
function judge({ record }: ReadRecord, now: Position, memory: SeenMemory | undefined): HistoryRecord {
  if (record?.unconfirmed !== undefined) return record;
  const problem = problemOf(record, now, memory);
  if (problem === undefined) {
    if (record === undefined) return { historyId: newId(), replaced: [], seen: now, unconfirmed: undefined };
    return { ...record, seen: latest(record.seen, now) };
  }
  const unconfirmed = { id: newId(), problem };
  if (record === undefined) return { historyId: memory!.historyId, replaced: [], seen: memory!.seen, unconfirmed };
  const isSame = memory?.historyId === record.historyId;
  return { ...record, seen: isSame ? latest(record.seen, memory.seen) : record.seen, unconfirmed };
}

function problemOf(
  record: HistoryRecord | undefined,
  now: Position,
  memory: SeenMemory | undefined,
): string | undefined {
  const problem = record && contradiction(record.seen, now);
  if (problem !== undefined || memory === undefined) return problem;
  if (record === undefined) return "etcd has nothing of Holdfast's, but this server has seen it there";
  if (memory.historyId === record.historyId) return contradiction(memory.seen, now);
  // Confirmed since this server last ran.
  if (record.replaced.includes(memory.historyId)) return undefined;
  return "etcd holds another history than this server has seen";
}

/** What the file remembers of this prefix: another prefix is another service. */
function ownMemory({ file, prefix }: HistoryOptions): SeenMemory | undefined {
  const memory = file?.read();
  return memory?.prefix === prefix ? memory : undefined;
}

function refusal({ id, problem }: { readonly id: string; readonly problem: string }): StoreError {
  return new StoreError(
    "restored",
    `${problem}: it was restored from a backup, or replaced. Locks and fencing tokens may be older than what clients ` +
      `were told, so no server starts before an operator has read \`holdfast confirm-restore\` and confirmed ${id}`,
  );
}

function describe({ seen, unconfirmed }: HistoryRecord, { revision, index }: Position): RestoredStore {
  const { id, problem } = unconfirmed!;
  // Each entry of a log makes at most one revision, so what is beyond both was not written but turned forward.
  const jumped = revision - seen.revision - index;
  return { id, problem, seenRevision: seen.revision, revision, bumpedBy: jumped > SURELY_BUMPED ? jumped : 0 };
}

/** More revisions than pass between a look and a backup, by far. */
const SURELY_BUMPED = 10_000_000;

function askPosition({ client, keyspace }: HistoryOptions): Promise<Position> {
  return new Promise((resolve, reject) => {
    client.askPosition(keyspace.start, (failure, position) => {
      if (position === undefined) reject(new CallFailed(failure));
      else resolve(position);
    });
  });
}

/** Repeats what failed because etcd did not answer, or because another server wrote meanwhile (`undefined`). */
async function untilKnown<Value>(
  { endpoints, untilMs }: HistoryOptions,
  attempt: () => Promise<Value | undefined>,
): Promise<Value> {
  for (;;) {
    try {
      const value = await attempt();
      if (value !== undefined) return value;
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      await retryUnless(startProblem(error.failure, endpoints), untilMs);
    }
  }
}

/** In hexadecimal: an operator gives it to a command, which would take a "-" at its beginning for an option. */
const newId = (): string => randomBytes(9).toString("hex");
