import type { Guard, Operation, Write } from "../../core/operation.ts";
import {
  type Compare,
  Compare_CompareResult as Is,
  type RequestOp,
  Compare_CompareTarget as Target,
  type TxnRequest,
} from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import { endOf, type Keyspace } from "./keyspace.ts";
import { encodeValue } from "./records.ts";

/** etcd's limit on the guards of a transaction, and on its writes. */
const MAX_PARTS = 128;

const NOTHING = Buffer.alloc(0);

/** Operations as transactions of etcd. Keys and values are encoded once, whichever forms are asked for. */
export class TransactionDraft {
  readonly operations: readonly Operation[];
  private readonly keyspace: Keyspace;
  private readonly keys = new Map<string, Buffer>();
  private readonly writes: readonly RequestOp[][];

  constructor(keyspace: Keyspace, operations: readonly Operation[]) {
    this.keyspace = keyspace;
    this.operations = operations;
    this.writes = operations.map((operation) => operation.writes.map((write) => this.write(write)));
  }

  /** All or nothing, each distinct guard once; `undefined` if that does not fit. */
  flat(): TxnRequest | undefined {
    const compare: Compare[] = [];
    const seen = new Set<string>();
    for (const { guards } of this.operations) {
      for (const guard of guards) {
        const identity = identityOf(guard);
        if (seen.has(identity)) continue;
        seen.add(identity);
        compare.push(this.compare(guard));
      }
    }
    const success = this.writes.flat();
    if (compare.length > MAX_PARTS || success.length > MAX_PARTS) return undefined;
    return { compare, success, failure: [] };
  }

  /** Each operation by itself: part i of the response tells whether operation i was applied. */
  nested(): TxnRequest {
    return this.parts((i) => this.writes[i] ?? []);
  }

  /** Writes nothing: part i of the response tells whether the guards of operation i hold. */
  guardsOnly(): TxnRequest {
    return this.parts(() => []);
  }

  private parts(writesOf: (i: number) => RequestOp[]): TxnRequest {
    const success = this.operations.map(({ guards }, i): RequestOp => {
      const compare = guards.map((guard) => this.compare(guard));
      return { request: { $case: "requestTxn", value: { compare, success: writesOf(i), failure: [] } } };
    });
    return { compare: [], success, failure: [] };
  }

  private write(write: Write): RequestOp {
    const key = this.bytes(write.key);
    if (write.kind === "delete") {
      return { request: { $case: "requestDeleteRange", value: { key, rangeEnd: NOTHING, prevKv: false } } };
    }
    const value = encodeValue(write.value) as Buffer;
    const { lease } = write;
    const flags = { prevKv: false, ignoreValue: false, ignoreLease: false };
    return { request: { $case: "requestPut", value: { key, value, lease, ...flags } } };
  }

  private compare(guard: Guard): Compare {
    switch (guard.kind) {
      case "absent":
        return compareCreated(this.bytes(guard.key), 0);
      case "created":
        return compareCreated(this.bytes(guard.key), guard.revision);
      case "modified":
        return compareModified(this.bytes(guard.key), Is.EQUAL, guard.revision, NOTHING);
      case "quiet": {
        const prefix = this.bytes(guard.prefix);
        return compareModified(prefix, Is.LESS, guard.revision + 1, endOf(prefix));
      }
      default:
        return guard satisfies never;
    }
  }

  private bytes(key: string): Buffer {
    let bytes = this.keys.get(key);
    if (bytes === undefined) {
      bytes = this.keyspace.bytes(key);
      this.keys.set(key, bytes);
    }
    return bytes;
  }
}

function compareCreated(key: Buffer, revision: number): Compare {
  const targetUnion = { $case: "createRevision", value: BigInt(revision) } as const;
  return { result: Is.EQUAL, target: Target.CREATE, key, targetUnion, rangeEnd: NOTHING };
}

function compareModified(key: Buffer, result: Is, revision: number, rangeEnd: Buffer): Compare {
  const targetUnion = { $case: "modRevision", value: BigInt(revision) } as const;
  return { result, target: Target.MOD, key, targetUnion, rangeEnd };
}

function identityOf(guard: Guard): string {
  switch (guard.kind) {
    case "absent":
      return `a${guard.key}`;
    case "quiet":
      return `q${guard.revision} ${guard.prefix}`;
    default:
      return `${guard.kind === "created" ? "c" : "m"}${guard.revision} ${guard.key}`;
  }
}
