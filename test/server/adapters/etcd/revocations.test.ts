import type { ServerDuplexStream } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { type EtcdStore, openEtcdStore } from "../../../../server/adapters/etcd/index.ts";
import {
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  LeaseRevokeResponse,
} from "../../../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import { eventually } from "../../../support/eventually.ts";
import { fakeHeader, startFakeEtcd } from "../../../support/fake-etcd.ts";
import { revokeLease } from "../../../support/store-calls.ts";

type KeepAlive = ServerDuplexStream<LeaseKeepAliveRequest, LeaseKeepAliveResponse>;

/** An etcd whose revokes take so long, all by themselves, and what it was asked for. */
interface SlowEtcd {
  readonly store: EtcdStore;
  readonly revoked: bigint[];
  readonly renewed: Set<bigint>;
  /** The most revokes that were under way at a time, the first few left out, from which slowness is learned. */
  mostAtOnce: number;
}

interface SlowEtcdOptions {
  readonly takesMs: number;
  /** Leases that have expired. */
  readonly gone?: ReadonlySet<bigint>;
  /** Whether other leases are renewed all the time. Default: they are. */
  readonly company?: boolean;
}

/** A lease of a session that lives. */
const LIVING = 1_000_000n;

async function withEtcd(
  { takesMs, gone = new Set(), company = true }: SlowEtcdOptions,
  use: (etcd: SlowEtcd) => Promise<void>,
): Promise<void> {
  const revoked: bigint[] = [];
  const renewed = new Set<bigint>();
  let underWay = 0;
  await using etcd = await startFakeEtcd({
    leaseRevoke: ({ request: { ID } }, done) => {
      underWay++;
      if (revoked.length > 8) slow.mostAtOnce = Math.max(slow.mostAtOnce, underWay);
      setTimeout(() => {
        underWay--;
        revoked.push(ID);
        done(null, LeaseRevokeResponse.create({ header: fakeHeader(1) }));
      }, takesMs);
    },
    leaseKeepAlive: (stream: KeepAlive) => {
      stream.on("data", ({ ID }) => {
        if (ID !== LIVING) renewed.add(ID);
        stream.write({ header: fakeHeader(1), ID, TTL: gone.has(ID) ? 0n : 4n });
      });
      stream.on("end", () => stream.end());
    },
  });
  await using store = await openEtcdStore({
    endpoints: [etcd.endpoint],
    prefix: "/fake/",
    closeTimeoutMs: 100,
    onFault: (fault) => {
      throw fault;
    },
  });
  const slow: SlowEtcd = { store, revoked, renewed, mostAtOnce: 0 };
  // As many at once as make company: a machine that stands still skips whole seconds.
  const renewing = setInterval(() => {
    if (company) for (let i = 0; i < 5; i++) store.renewLease(LIVING, () => undefined);
  }, 50);
  try {
    await use(slow);
  } finally {
    clearInterval(renewing);
  }
}

const leases = (count: number) => Array.from({ length: count }, (_, i) => BigInt(i + 1));

describe("leases that wait to be revoked", () => {
  it("are revoked one at a time when etcd takes long for each, and kept from expiring meanwhile, again and again", async () => {
    await withEtcd({ takesMs: 60 }, async (etcd) => {
      for (const lease of leases(200)) void revokeLease(etcd.store, lease);
      // The first are revoked before they need it, the last are renewed before they expire.
      await eventually(() => etcd.renewed.size > 150, true);
      etcd.renewed.clear();
      await eventually(() => etcd.renewed.size > 100, true);
      expect(etcd.revoked.length).toBeGreaterThan(8);
      expect(etcd.mostAtOnce).toBe(1);
    });
  });

  it("are revoked several at a time when etcd is quick", async () => {
    await withEtcd({ takesMs: 10 }, async (etcd) => {
      const known = await Promise.all(leases(100).map((lease) => revokeLease(etcd.store, lease)));
      expect(new Set(known)).toEqual(new Set([true]));
      expect(etcd.mostAtOnce).toBeGreaterThan(1);
    });
  });

  it("are revoked several at a time, however long that takes, when there is nobody who would have to wait", async () => {
    await withEtcd({ takesMs: 60, company: false }, async (etcd) => {
      await Promise.all(leases(60).map((lease) => revokeLease(etcd.store, lease)));
      expect(etcd.mostAtOnce).toBeGreaterThan(1);
      expect(etcd.renewed.size).toBe(0);
    });
  });

  it("are known to be gone when they have expired all the same", async () => {
    const last = leases(100).slice(50);
    await withEtcd({ takesMs: 60, gone: new Set(last) }, async (etcd) => {
      for (const lease of leases(50)) void revokeLease(etcd.store, lease);
      expect(await Promise.all(last.map((lease) => revokeLease(etcd.store, lease)))).toEqual(last.map(() => true));
      expect(etcd.revoked.filter((lease) => last.includes(lease))).toEqual([]);
    });
  });
});
