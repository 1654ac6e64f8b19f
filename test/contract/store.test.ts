import { afterAll, beforeAll, describe } from "vitest";
import { type EtcdStore, openEtcdStore } from "../../server/adapters/etcd/index.ts";
import { MemoryEtcd } from "../../server/adapters/memory/memory-etcd.ts";
import { startEtcd, type TestEtcd } from "../support/etcd.ts";
import { patient } from "../support/store-calls.ts";
import { TurnedClock } from "../support/turned-clock.ts";
import { commitContract } from "./commit-contract.ts";
import { feedContract } from "./feed-contract.ts";
import { leaseContract } from "./lease-contract.ts";
import type { OpenBench, StoreBench } from "./store-bench.ts";

function contract(open: OpenBench): void {
  describe("commits", () => commitContract(open));
  describe("leases", () => leaseContract(open));
  describe("feeds", () => feedContract(open));
}

describe("the memory store", () => contract(openMemoryBench));

async function openMemoryBench(): Promise<StoreBench> {
  const clock = new TurnedClock();
  const etcd = new MemoryEtcd(clock);
  return {
    connect: async () => etcd.connect(),
    passTime: (ms) => clock.turn(ms),
    countKeys: async () => etcd.keyCount,
    countLeases: async () => etcd.leaseCount,
    [Symbol.asyncDispose]: async () => {},
  };
}

describe("the etcd store", () => {
  let etcd: TestEtcd;
  let prefixes = 0;

  beforeAll(async () => {
    etcd = await startEtcd();
  });
  afterAll(() => etcd[Symbol.asyncDispose]());

  contract(async () => {
    const prefix = `/test-${++prefixes}/`;
    const stores: EtcdStore[] = [];
    return {
      async connect() {
        const onFault = (fault: Error) => {
          throw fault;
        };
        const store = await openEtcdStore({ endpoints: [etcd.endpoint], prefix, onFault, ...patient });
        stores.push(store);
        return store;
      },
      passTime: () => {},
      countKeys: () => etcd.countKeys(),
      countLeases: () => etcd.countLeases(),
      async [Symbol.asyncDispose]() {
        for (const store of stores) await store.close();
      },
    };
  });
});
