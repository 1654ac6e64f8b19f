import { credentials, Metadata, status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { EtcdConnection } from "../../../../server/adapters/etcd/connection.ts";
import { openEtcdStore } from "../../../../server/adapters/etcd/index.ts";
import {
  AuthenticateResponse,
  KVService,
  LeaseGrantResponse,
  LeaseRevokeResponse,
  RangeRequest,
  RangeResponse,
  StatusResponse,
  TxnResponse,
} from "../../../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import { eventually } from "../../../support/eventually.ts";
import { fakeHeader, startFakeEtcd } from "../../../support/fake-etcd.ts";
import { FeedRecorder } from "../../../support/feed-recorder.ts";
import { connectionsAfter } from "../../../support/late-listener.ts";
import {
  commit,
  grantLease,
  operation,
  readRevision,
  remove,
  renewLease,
  revokeLease,
} from "../../../support/store-calls.ts";

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

describe("every call", () => {
  it("says that the member must have a leader: one that is cut off refuses it, instead of answering from the past", async () => {
    const said = new Map<string, unknown[]>();
    const note = (what: string, { metadata }: { readonly metadata: Metadata }) =>
      said.set(what, [...(said.get(what) ?? []), ...metadata.get("hasleader")]);
    await using etcd = await startFakeEtcd({
      range: (call, done) => {
        note("range", call);
        done(null, RangeResponse.create({ header: fakeHeader(1) }));
      },
      status: (call, done) => {
        note("status", call);
        done(null, StatusResponse.create({ header: fakeHeader(1), version: "3.7.3" }));
      },
      txn: (call, done) => {
        note("txn", call);
        done(null, TxnResponse.create({ header: fakeHeader(5), succeeded: true }));
      },
      leaseGrant: (call, done) => {
        note("leaseGrant", call);
        done(null, LeaseGrantResponse.create({ header: fakeHeader(1), ID: call.request.ID, TTL: 5n }));
      },
      leaseRevoke: (call, done) => {
        note("leaseRevoke", call);
        done(null, LeaseRevokeResponse.create({ header: fakeHeader(1) }));
      },
      leaseKeepAlive: (call) => {
        note("leaseKeepAlive", call);
        call.on("data", ({ ID }) => call.write({ header: fakeHeader(1), ID, TTL: 5n }));
        call.on("end", () => call.end());
      },
      watch: (call) => {
        note("watch", call);
        call.on("end", () => call.end());
      },
    });
    const onFault = (fault: Error) => {
      throw fault;
    };
    await using store = await openEtcdStore({ endpoints: [etcd.endpoint], prefix: "/fake/", onFault });
    store.follow(new FeedRecorder());
    await Promise.all([
      commit(store, operation([], remove("session/none"))),
      grantLease(store, 5),
      renewLease(store, 1n),
      revokeLease(store, 1n),
      readRevision(store),
    ]);
    await eventually(() => said.size, 7);
    for (const [what, values] of said) expect([what, new Set(values)]).toEqual([what, new Set(["true"])]);
  });
});

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

it("a connection that could not be made is not made any more once it is closed", async () => {
  const refused = async (endpoint: string) => {
    const connection = new EtcdConnection(endpoint, credentials.createInsecure(), {});
    const options = { metadata: new Metadata(), deadlineMs: Date.now() + 20_000 };
    await new Promise((done) => connection.call(KVService.range, RangeRequest.create(), options, done));
    await connection.close();
  };
  expect(await connectionsAfter(refused)).toBe(0);
});
