import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { openEtcdStore } from "../../../../server/adapters/etcd/index.ts";
import { AuthenticateResponse, TxnResponse } from "../../../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import { fakeHeader, startFakeEtcd } from "../../../support/fake-etcd.ts";
import { commit, operation, remove } from "../../../support/store-calls.ts";

/** Commits ten times at once to an etcd that accepts tokens from the n-th one that it gave out. */
async function commitWithTokens(firstValid: number) {
  let tokens = 0;
  let refused = 0;
  await using etcd = await startFakeEtcd({
    authenticate: (_, done) => done(null, AuthenticateResponse.create({ token: `${++tokens}` })),
    txn: ({ metadata }, done) => {
      if (Number(metadata.get("token")[0]) >= firstValid) {
        done(null, TxnResponse.create({ header: fakeHeader(5), succeeded: true }));
      } else {
        refused++;
        done({ code: status.UNAUTHENTICATED, details: "etcdserver: invalid auth token" }, null);
      }
    },
  });
  await using store = await openEtcdStore({
    endpoints: [etcd.endpoint],
    prefix: "/fake/",
    user: { name: "holdfast", password: "secret" },
    onFault: (fault) => {
      throw fault;
    },
  });
  const nothing = operation([], remove("session/none"));
  const outcomes = await Promise.all(Array.from({ length: 10 }, () => commit(store, nothing)));
  return { kinds: [...new Set(outcomes.map(({ kind }) => kind))], refused, tokens };
}

describe("a call to an etcd with users", () => {
  it("that was refused for an old token is sent once more with a new one, which is asked for once", async () => {
    expect(await commitWithTokens(2)).toEqual({ kinds: ["decided"], refused: 10, tokens: 2 });
  });

  it("that is refused for the new token too is of unknown outcome", async () => {
    const { kinds, refused } = await commitWithTokens(9);
    expect(kinds).toEqual(["unknown"]);
    expect(refused).toBe(20);
  });
});
