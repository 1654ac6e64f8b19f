import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { openEtcdStore } from "../../../../server/adapters/etcd/index.ts";
import { LeaseGrantResponse, LeaseRevokeResponse } from "../../../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import { fakeHeader, startFakeEtcd } from "../../../support/fake-etcd.ts";
import { grantLease } from "../../../support/store-calls.ts";

/** Asks for a lease; tells what came of it, which was asked for, and which were revoked by the time of closing. */
async function grant(failure?: { readonly code: status; readonly details: string }) {
  const asked: bigint[] = [];
  const revoked: bigint[] = [];
  await using etcd = await startFakeEtcd({
    leaseGrant: ({ request: { ID, TTL } }, done) => {
      asked.push(ID);
      if (failure === undefined) done(null, LeaseGrantResponse.create({ header: fakeHeader(1), ID, TTL: TTL + 1n }));
      else done(failure, null);
    },
    leaseRevoke: ({ request }, done) => {
      revoked.push(request.ID);
      done(null, LeaseRevokeResponse.create({ header: fakeHeader(1) }));
    },
  });
  const onFault = (fault: Error) => {
    throw fault;
  };
  const store = await openEtcdStore({ endpoints: [etcd.endpoint], prefix: "/fake/", onFault });
  const outcome = await grantLease(store, 20);
  await store.close();
  return { outcome, asked, revoked };
}

describe("a lease", () => {
  it("is granted for as long as etcd says", async () => {
    const { outcome, asked, revoked } = await grant();
    expect(outcome).toEqual({ kind: "granted", lease: asked[0], ttlSeconds: 21 });
    expect(revoked).toEqual([]);
  });

  it.each([
    ["unavailable", status.UNAVAILABLE, "etcdserver: request timed out"],
    ["no-space", status.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"],
  ])("that is %s is revoked, since it may have been granted all the same", async (kind, code, details) => {
    const { outcome, asked, revoked } = await grant({ code, details });
    expect(outcome).toEqual({ kind });
    expect(revoked).toEqual(asked);
  });

  it("whose id was taken is somebody else's, and not revoked", async () => {
    const taken = { code: status.FAILED_PRECONDITION, details: "etcdserver: lease already exists" };
    const { outcome, revoked } = await grant(taken);
    expect(outcome).toEqual({ kind: "unavailable" });
    expect(revoked).toEqual([]);
  });
});
