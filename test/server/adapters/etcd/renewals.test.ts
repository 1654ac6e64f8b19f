import type { ServerDuplexStream } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { type EtcdStore, openEtcdStore } from "../../../../server/adapters/etcd/index.ts";
import type {
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
} from "../../../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import { fakeHeader, startFakeEtcd } from "../../../support/fake-etcd.ts";
import { renewLease } from "../../../support/store-calls.ts";

type KeepAlive = ServerDuplexStream<LeaseKeepAliveRequest, LeaseKeepAliveResponse>;

/** A lease that has expired and is not yet revoked: etcd answers neither for it nor, on its stream, after it. */
const DOOMED = 666n;

const RENEWED = { kind: "renewed", ttlSeconds: 10 };
const UNAVAILABLE = { kind: "unavailable" };

const answer = (stream: KeepAlive, ID: bigint, TTL = 10n) => stream.write({ header: fakeHeader(1), ID, TTL });

/** A store on an etcd that treats each keepalive stream as told. */
async function withStore(serve: (stream: KeepAlive) => void, use: (store: EtcdStore) => Promise<void>): Promise<void> {
  await using etcd = await startFakeEtcd({ leaseKeepAlive: serve });
  await using store = await openEtcdStore({
    endpoints: [etcd.endpoint],
    prefix: "/fake/",
    renewTimeoutMs: 6_000,
    onFault: (fault) => {
      throw fault;
    },
  });
  await use(store);
}

/** As etcd serves a stream: one renewal after the other, and none after one that blocks. */
function serveInOrder(stream: KeepAlive): void {
  let blocked = false;
  stream.on("data", ({ ID }) => {
    blocked ||= ID === DOOMED;
    if (!blocked) answer(stream, ID);
  });
  stream.on("end", () => stream.end());
}

describe("renewals", () => {
  it("of healthy leases go elsewhere when one blocks them", async () => {
    await withStore(serveInOrder, async (store) => {
      const doomed = renewLease(store, DOOMED);
      const healthy = Array.from({ length: 50 }, (_, i) => renewLease(store, BigInt(i)));
      expect(await Promise.all(healthy)).toEqual(Array(50).fill(RENEWED));
      expect(await doomed).toEqual(UNAVAILABLE);
    });
  });

  it("of healthy leases pass though every stream is blocked at once, and again", async () => {
    await withStore(serveInOrder, async (store) => {
      const doomed = Array.from({ length: 12 }, () => renewLease(store, DOOMED));
      const healthy = Array.from({ length: 200 }, (_, i) => renewLease(store, BigInt(i)));
      expect(await Promise.all(healthy)).toEqual(Array(200).fill(RENEWED));
      expect(await Promise.all(doomed)).toEqual(Array(12).fill(UNAVAILABLE));
    });
  });

  it("keep off the stream that does not answer", async () => {
    await withStore(serveInOrder, async (store) => {
      const doomed = renewLease(store, DOOMED);
      const kinds = new Set<string>();
      for (let i = 0n; i < 40n; i++) kinds.add((await renewLease(store, i)).kind);
      expect([...kinds]).toEqual(["renewed"]);
      expect(await doomed).toEqual(UNAVAILABLE);
    });
  });

  it("of a stream that breaks are sent on another, and answered in the same time", async () => {
    let streams = 0;
    const breakFirst = (stream: KeepAlive) => {
      if (++streams > 8) serveInOrder(stream);
      else stream.once("data", () => stream.end());
    };
    await withStore(breakFirst, async (store) => {
      const outcomes = await Promise.all(Array.from({ length: 30 }, (_, i) => renewLease(store, BigInt(i))));
      expect(outcomes).toEqual(Array(30).fill(RENEWED));
    });
  });

  it("are unavailable when their stream ends, each exactly once", async () => {
    const serve = (stream: KeepAlive) => stream.once("data", () => stream.end());
    await withStore(serve, async (store) => {
      const outcomes = await Promise.all(Array.from({ length: 30 }, () => renewLease(store, 1n)));
      expect(outcomes).toEqual(Array(30).fill(UNAVAILABLE));
    });
  });

  it("are unavailable when their stream fails, as that of a leader that is none any more", async () => {
    const serve = (stream: KeepAlive) =>
      stream.once("data", () => stream.emit("error", { code: 2, details: "lease: not a primary lessor" }));
    await withStore(serve, async (store) => {
      expect(await renewLease(store, 1n)).toEqual(UNAVAILABLE);
    });
  });

  it("are unavailable when etcd answers for another lease than was asked about", async () => {
    const serve = (stream: KeepAlive) => stream.on("data", ({ ID }) => answer(stream, ID + 1n));
    await withStore(serve, async (store) => {
      expect(await renewLease(store, 1n)).toEqual(UNAVAILABLE);
    });
  });

  it("tell a lease with no time left as gone", async () => {
    const serve = (stream: KeepAlive) => stream.on("data", ({ ID }) => answer(stream, ID, 0n));
    await withStore(serve, async (store) => {
      expect(await renewLease(store, 1n)).toEqual({ kind: "gone" });
    });
  });

  it("that are owed when the store is closed are unavailable", async () => {
    await withStore(serveInOrder, async (store) => {
      const owed = renewLease(store, DOOMED);
      await store.close();
      expect(await owed).toEqual(UNAVAILABLE);
      expect(await renewLease(store, 1n)).toEqual(UNAVAILABLE);
    });
  });
});
