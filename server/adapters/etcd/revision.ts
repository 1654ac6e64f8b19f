import type { ResponseHeader } from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import { StoreError } from "./store-error.ts";

/** A revision of etcd's as a number. Throws `protocol` above 2^53 - 1, which no cluster reaches. */
export function toRevision(revision: bigint): number {
  const number = Number(revision);
  if (!Number.isSafeInteger(number)) throw new StoreError("protocol", `etcd is at revision ${revision}, beyond 2^53`);
  return number;
}

/** The revision that a response is of. Throws `protocol` if it has none. */
export function revisionOf(header: ResponseHeader | undefined): number {
  if (header === undefined) throw new StoreError("protocol", "etcd answered without a header");
  return toRevision(header.revision);
}
