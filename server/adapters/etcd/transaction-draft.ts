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

/** What a draft does with one key, or with one prefix. */
interface KeyUse {
  readonly bytes: Buffer;
  written: boolean;
  /** The distinct guards on it. */
  readonly guards: Guard[];
}

/**
 * Operations as transactions of etcd. Keys and values are encoded once, whichever forms are asked for. The constructor
 * throws for what nobody may commit.
 */
export class TransactionDraft {
  readonly operations: readonly Operation[];
  private readonly keyspace: Keyspace;
  private readonly uses = new Map<string, KeyUse>();
  private readonly writes: readonly RequestOp[][];
  /** Each distinct guard, once. */
  private readonly guards: Compare[] = [];

  constructor(keyspace: Keyspace, operations: readonly Operation[]) {
    this.keyspace = keyspace;
    this.operations = operations;
    this.writes = operations.map(({ writes }) => writes.map((write) => this.write(write)));
    for (const operation of operations) for (const guard of operation.guards) this.addGuard(guard);
  }

  /** All or nothing, each distinct guard once; `undefined` if that does not fit. */
  flat(): TxnRequest | undefined {
    const success = this.writes.flat();
    if (this.guards.length > MAX_PARTS || success.length > MAX_PARTS) return undefined;
    return { compare: this.guards, success, failure: [] };
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
    // Of a put and a delete that are nested apart, etcd would take both.
    const use = this.use(write.key);
    if (use.written) throw new Error(`${write.key} is written twice in one transaction`);
    use.written = true;
    const key = use.bytes;
    if (write.kind === "delete") {
      return { request: { $case: "requestDeleteRange", value: { key, rangeEnd: NOTHING, prevKv: false } } };
    }
    const value = encodeValue(write.value) as Buffer;
    const { lease } = write;
    const flags = { prevKv: false, ignoreValue: false, ignoreLease: false };
    return { request: { $case: "requestPut", value: { key, value, lease, ...flags } } };
  }

  private addGuard(guard: Guard): void {
    const { guards } = this.use(guard.kind === "quiet" ? guard.prefix : guard.key);
    if (guards.some((other) => isSame(other, guard))) return;
    guards.push(guard);
    this.guards.push(this.compare(guard));
  }

  private compare(guard: Guard): Compare {
    switch (guard.kind) {
      case "absent":
        return compareCreated(this.use(guard.key).bytes, 0);
      case "created":
        refuseNone(guard);
        return compareCreated(this.use(guard.key).bytes, guard.revision);
      case "modified":
        refuseNone(guard);
        return compareModified(this.use(guard.key).bytes, Is.EQUAL, guard.revision, NOTHING);
      case "quiet": {
        const prefix = this.use(guard.prefix).bytes;
        return compareModified(prefix, Is.LESS, guard.revision + 1, endOf(prefix));
      }
      default:
        return guard satisfies never;
    }
  }

  private use(key: string): KeyUse {
    let use = this.uses.get(key);
    if (use === undefined) {
      use = { bytes: this.keyspace.bytes(key), written: false, guards: [] };
      this.uses.set(key, use);
    }
    return use;
  }
}

/** To etcd the revision of a key that is not there is 0: such a guard would hold where it must not. */
function refuseNone({ key, revision }: { readonly key: string; readonly revision: number }): void {
  if (revision < 1) throw new RangeError(`a guard that ${key} is of revision ${revision}`);
}

/** Whether two guards on the same key, or the same prefix, are the same. */
function isSame(a: Guard, b: Guard): boolean {
  return a.kind === b.kind && (a.kind === "absent" || a.revision === (b as typeof a).revision);
}

function compareCreated(key: Buffer, revision: number): Compare {
  const targetUnion = { $case: "createRevision", value: BigInt(revision) } as const;
  return { result: Is.EQUAL, target: Target.CREATE, key, targetUnion, rangeEnd: NOTHING };
}

function compareModified(key: Buffer, result: Is, revision: number, rangeEnd: Buffer): Compare {
  const targetUnion = { $case: "modRevision", value: BigInt(revision) } as const;
  return { result, target: Target.MOD, key, targetUnion, rangeEnd };
}
