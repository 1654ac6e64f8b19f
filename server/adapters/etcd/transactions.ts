import type { CommitOutcome, Operation } from "../../core/operation.ts";
import { KVService, type TxnRequest, type TxnResponse } from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import type { EtcdClient } from "./client.ts";
import type { CallFailure } from "./connection.ts";
import type { Keyspace } from "./keyspace.ts";
import { revisionOf } from "./revision.ts";
import { StoreError } from "./store-error.ts";
import { TransactionDraft } from "./transaction-draft.ts";

export interface TransactionOptions {
  readonly client: EtcdClient;
  readonly keyspace: Keyspace;
  /** How long etcd has for each transaction. */
  readonly timeoutMs: number;
  readonly onFault: (fault: Error) => void;
}

type Done = (outcome: CommitOutcome) => void;

/**
 * Commits operations to etcd (DESIGN 4.5): first as one flat transaction with each distinct guard once; when that
 * fails, as one of nested transactions, each with its own guards, so that only the culprits fail.
 */
export class Transactions {
  private readonly options: TransactionOptions;

  constructor(options: TransactionOptions) {
    this.options = options;
  }

  /** As `Store.commit`. */
  commit(operations: readonly Operation[], done: Done): void {
    let draft: TransactionDraft;
    let flat: TxnRequest | undefined;
    try {
      draft = new TransactionDraft(this.options.keyspace, operations);
      flat = draft.flat();
    } catch (fault) {
      this.options.onFault(fault as Error);
      setImmediate(done, { kind: "unknown" });
      return;
    }
    if (flat === undefined) this.commitNested(draft, done);
    else this.commitFlat(draft, flat, done);
  }

  private commitFlat(draft: TransactionDraft, flat: TxnRequest, done: Done): void {
    const { operations } = draft;
    this.send(flat, (failure, response) => {
      if (response === undefined) this.judge(failure, draft, "flat", done);
      else if (response.succeeded) this.decide(response, () => true, draft, done);
      else if (operations.length === 1) this.decide(response, () => false, draft, done);
      else this.commitNested(draft, done);
    });
  }

  private commitNested(draft: TransactionDraft, done: Done): void {
    this.send(draft.nested(), (failure, response) => {
      if (response === undefined) this.judge(failure, draft, "nested", done);
      else this.decide(response, (i) => partSucceeded(response, i), draft, done);
    });
  }

  private decide(response: TxnResponse, applied: (i: number) => boolean, draft: TransactionDraft, done: Done): void {
    let revision: number;
    try {
      revision = revisionOf(response.header);
    } catch (error) {
      this.options.onFault(error as Error);
      done({ kind: "unknown" });
      return;
    }
    done({ kind: "decided", revision, applied: draft.operations.map((_, i) => applied(i)) });
  }

  /** What a failure proves. Most prove nothing: what timed out may still be applied, 20 s later. */
  private judge(failure: CallFailure | null, draft: TransactionDraft, form: "flat" | "nested", done: Done): void {
    const details = failure?.details ?? "";
    if (details.includes("requested lease not found")) done({ kind: "lease-not-found" });
    else if (details.includes("database space exceeded")) this.proveNoSpace(draft, form, done);
    else {
      if (REFUSALS.some((refusal) => details.includes(refusal))) {
        this.options.onFault(new StoreError("protocol", `etcd refused a transaction as malformed: ${details}`));
      }
      done({ kind: "unknown" });
    }
  }

  /**
   * The transaction that finds the database full is applied and yet answered "database space exceeded"; only later
   * ones are refused (etcd's server/etcdserver/apply/quota.go). So ask whether guards that its own writes would
   * have broken still hold: then it was not applied, and, being answered, will not be.
   */
  private proveNoSpace(draft: TransactionDraft, form: "flat" | "nested", done: Done): void {
    this.send(draft.guardsOnly(), (_, response) => {
      if (response === undefined) {
        done({ kind: "unknown" });
        return;
      }
      const untouched = (operation: Operation, i: number) => breaksOwnGuards(operation) && partSucceeded(response, i);
      const proven = form === "flat" ? draft.operations.some(untouched) : draft.operations.every(untouched);
      done({ kind: proven ? "no-space" : "unknown" });
    });
  }

  private send(request: TxnRequest, done: (failure: CallFailure | null, response?: TxnResponse) => void): void {
    this.options.client.call(KVService.txn, request, this.options.timeoutMs, done);
  }
}

/** What etcd says of a transaction that nobody may send. */
const REFUSALS = [
  "too many operations",
  "duplicate key",
  "key is not provided",
  "request is too large",
  "grpc: received message larger than max",
];

function partSucceeded(response: TxnResponse, i: number): boolean {
  const part = response.responses[i]?.response;
  return part?.$case === "responseTxn" && part.value.succeeded;
}

/** Whether one of its guards cannot hold any more once it has been applied. */
function breaksOwnGuards({ guards, writes }: Operation): boolean {
  return writes.some((write) =>
    guards.some((guard) => {
      if (guard.kind === "quiet" || guard.key !== write.key) return false;
      return write.kind === "put" ? guard.kind !== "created" : guard.kind !== "absent";
    }),
  );
}
