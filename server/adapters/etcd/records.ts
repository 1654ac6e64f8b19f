import type { Entry } from "../../core/entry.ts";
import { parseKey } from "../../core/keys.ts";
import type { StoredValue } from "../../core/operation.ts";
import type {
  ClaimRecord,
  ClientInfo,
  Liveness,
  Mode,
  OnDisconnect,
  ServerRecord,
  SessionRecord,
} from "../../core/records.ts";
import * as stored from "../../gen/holdfast/storage/v1/storage.ts";
import { StoreError } from "./store-error.ts";

/** The format that this version writes and reads. */
const FORMAT = 1;

/** A key as etcd has it, without prefix, and with revisions as numbers. */
export interface StoredKey {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly lease: bigint;
}

/** The bytes to store for a record, in `holdfast.storage.v1`. */
export function encodeValue(value: StoredValue): Uint8Array {
  switch (value.kind) {
    case "session":
      return stored.SessionRecord.encode(storedSession(value.record)).finish();
    case "claim":
      return stored.ClaimRecord.encode(storedClaim(value.record)).finish();
    case "server":
      return stored.ServerRecord.encode(storedServer(value.record)).finish();
    default:
      return value satisfies never;
  }
}

/** Reads what is stored. Throws `unknown-record` for all that is not certainly what this version would write. */
export function decodeEntry({ key, value, createRevision, modRevision, lease }: StoredKey): Entry {
  const parsed = parseKey(key);
  if (parsed === undefined) throw unknown(key, "is no key of ours");
  try {
    switch (parsed.kind) {
      case "session": {
        const record = session(key, stored.SessionRecord.decode(value));
        return { kind: "session", key, record, createRevision, modRevision, lease };
      }
      case "claim": {
        const record = claim(key, parsed.lock, stored.ClaimRecord.decode(value));
        return { kind: "claim", key, record, createRevision, modRevision, lease };
      }
      case "server": {
        const record = server(key, stored.ServerRecord.decode(value));
        return { kind: "server", key, record, createRevision, modRevision, lease };
      }
      default:
        return parsed satisfies never;
    }
  } catch (error) {
    throw error instanceof StoreError ? error : unknown(key, "cannot be read", error);
  }
}

function unknown(key: string, what: string, cause?: unknown): StoreError {
  const advice = "run the version of Holdfast that wrote it, or give this one another prefix";
  return new StoreError("unknown-record", `${JSON.stringify(key)} in etcd ${what}; ${advice}`, cause);
}

function storedSession(record: SessionRecord): stored.SessionRecord {
  return {
    format: FORMAT,
    ttl: { seconds: BigInt(Math.floor(record.ttlMs / 1_000)), nanos: (record.ttlMs % 1_000) * 1_000_000 },
    onDisconnect: onDisconnects[record.onDisconnect],
    liveness: livenesses[record.liveness],
    resumeSecretSha256: Buffer.from(record.secretHash, "hex"),
    serverId: record.serverId,
    attempt: record.attempt,
    identity: record.identity,
    peer: record.peer,
    client: record.client,
    labels: record.labels,
    openedAt: new Date(record.openedAtMs),
    forced: record.forced,
  };
}

function session(key: string, from: stored.SessionRecord): SessionRecord {
  refuseFormat(key, from.format);
  if (from.ttl === undefined) throw unknown(key, "has no TTL");
  return {
    ttlMs: Number(from.ttl.seconds) * 1_000 + from.ttl.nanos / 1_000_000,
    onDisconnect: wordOf(onDisconnectWords, from.onDisconnect, key),
    liveness: wordOf(livenessWords, from.liveness, key),
    secretHash: from.resumeSecretSha256.toString("hex"),
    serverId: from.serverId,
    attempt: from.attempt,
    identity: from.identity,
    peer: from.peer,
    client: from.client satisfies ClientInfo | undefined,
    labels: from.labels,
    openedAtMs: from.openedAt?.getTime() ?? 0,
    ...(from.forced && { forced: from.forced }),
  };
}

function storedClaim(record: ClaimRecord): stored.ClaimRecord {
  return {
    format: FORMAT,
    ordinal: record.ordinal,
    mode: modes[record.mode],
    permits: record.permits,
    limit: record.limit,
    reentryId: record.reentryId,
    // The key names it already.
    lockNames: record.lockNames.length === 1 ? NO_NAMES : (record.lockNames as string[]),
    purpose: record.purpose,
    value: record.value as Buffer,
    claimedAt: new Date(record.claimedAtMs),
    forced: record.forced,
  };
}

const NO_NAMES: string[] = [];
const NO_BYTES = new Uint8Array(0);

function claim(key: string, lock: string, from: stored.ClaimRecord): ClaimRecord {
  refuseFormat(key, from.format);
  if (from.ordinal > 127) throw unknown(key, `has ordinal ${from.ordinal}`);
  const mode = wordOf(modeWords, from.mode, key);
  const isSemaphore = mode === "semaphore";
  if (isSemaphore !== from.permits > 0 || isSemaphore !== from.limit > 0) throw unknown(key, "has odd permits");
  if (from.lockNames.length > 0 && !from.lockNames.includes(lock)) throw unknown(key, "is of other locks");
  return {
    ordinal: from.ordinal,
    mode,
    permits: from.permits,
    limit: from.limit,
    reentryId: from.reentryId,
    lockNames: from.lockNames.length === 0 ? [lock] : from.lockNames,
    purpose: from.purpose,
    // A copy: what was decoded is a piece of a larger buffer, which it would keep for as long as the claim lives.
    value: from.value.length === 0 ? NO_BYTES : new Uint8Array(from.value),
    claimedAtMs: from.claimedAt?.getTime() ?? 0,
    ...(from.forced && { forced: from.forced }),
  };
}

function storedServer(record: ServerRecord): stored.ServerRecord {
  return {
    format: FORMAT,
    address: record.address,
    version: record.version,
    startedAt: new Date(record.startedAtMs),
    draining: record.draining,
    readsFormat: FORMAT,
  };
}

function server(key: string, from: stored.ServerRecord): ServerRecord {
  refuseFormat(key, from.format);
  return {
    address: from.address,
    version: from.version,
    startedAtMs: from.startedAt?.getTime() ?? 0,
    draining: from.draining,
  };
}

function refuseFormat(key: string, format: number): void {
  if (format !== FORMAT) throw unknown(key, `has format ${format}, and this version knows only ${FORMAT}`);
}

const modes: Readonly<Record<Mode, stored.Mode>> = {
  exclusive: stored.Mode.EXCLUSIVE,
  shared: stored.Mode.SHARED,
  semaphore: stored.Mode.SEMAPHORE,
};
const onDisconnects: Readonly<Record<OnDisconnect, stored.OnDisconnect>> = {
  release: stored.OnDisconnect.RELEASE,
  keep: stored.OnDisconnect.KEEP,
};
const livenesses: Readonly<Record<Liveness, stored.Liveness>> = {
  heartbeat: stored.Liveness.HEARTBEAT,
  transport: stored.Liveness.TRANSPORT,
};

const modeWords = wordsOf(modes);
const onDisconnectWords = wordsOf(onDisconnects);
const livenessWords = wordsOf(livenesses);

function wordsOf<Word extends string>(numbers: Readonly<Record<Word, number>>): ReadonlyMap<number, Word> {
  return new Map((Object.keys(numbers) as Word[]).map((word) => [numbers[word], word]));
}

function wordOf<Word extends string>(words: ReadonlyMap<number, Word>, number: number, key: string): Word {
  const word = words.get(number);
  if (word === undefined) throw unknown(key, `has a kind ${number} that this version does not know`);
  return word;
}
