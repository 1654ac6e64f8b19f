/** Prints how many bytes of the heap a claim in the lock table takes: `node --expose-gc claim-bytes.ts <locks>`. */
import { decodeEntry, encodeValue } from "../../server/adapters/etcd/records.ts";
import { claimKey, sessionKey } from "../../server/core/keys.ts";
import { LockTable } from "../../server/core/lock-table.ts";
import type { StoredValue } from "../../server/core/operation.ts";
import { claim, session } from "../support/store-calls.ts";

const CLAIMS = 100_000;
const locks = Number(process.argv[2]);

/** What is alive. */
function heapBytes(): number {
  globalThis.gc!();
  return process.memoryUsage().heapUsed;
}

const table = new LockTable();
let revision = 0;

/** As from etcd: each key and each value of its own. */
function put(key: string, value: StoredValue): void {
  revision++;
  const stored = { key: Buffer.from(key).toString(), value: Buffer.from(encodeValue(value)), lease: 1n };
  const entry = decodeEntry({ ...stored, createRevision: revision, modRevision: revision });
  table.apply(revision, [{ kind: "put", entry }]);
}

const sessions = Array.from({ length: 100 }, (_, i) => String(i).padStart(22, "s"));
for (const id of sessions) put(sessionKey(id), session());
const before = heapBytes();
for (let i = 0; i < CLAIMS; i++) {
  const lock = `orders/${i % locks}`;
  put(claimKey(lock, sessions[i % sessions.length]!, BigInt(i)), claim(lock));
}
const after = heapBytes();
if (table.heldCount + table.waitingCount !== CLAIMS) throw new Error("not all are there");
console.log((after - before) / CLAIMS);
