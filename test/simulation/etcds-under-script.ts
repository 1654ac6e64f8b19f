import { setTimeout as delay } from "node:timers/promises";
import { openEtcdStore } from "../../server/adapters/etcd/index.ts";
import { startEtcd } from "../support/etcd.ts";
import { startRelay } from "../support/relay.ts";
import { commit, patient, readRevision } from "../support/store-calls.ts";
import { EtcdConnection } from "./etcd-connection.ts";
import type { EtcdUnderScript } from "./etcd-script.ts";
import { SimulatedEtcd } from "./simulated-etcd.ts";
import { Process, World } from "./world.ts";

const QUOTA_BYTES = 8 * 1024 * 1024;

const options = {
  ...patient,
  prefix: "script/",
  onFault: (fault: unknown): never => {
    throw fault;
  },
};

/** A real etcd of one member, for as long as `use` runs. */
export async function withRealEtcd<Result>(use: (etcd: EtcdUnderScript) => Promise<Result>): Promise<Result> {
  await using etcd = await startEtcd({ quotaBytes: QUOTA_BYTES });
  await using relay = await startRelay(etcd.endpoint);
  await using store = await openEtcdStore({ endpoints: [relay.endpoint], ...options });
  const answers = async (): Promise<void> => {
    while ((await readRevision(store)).kind !== "revision") await delay(20);
  };
  return await use({
    store,
    nowMs: () => performance.now(),
    passes: (ms) => delay(ms),
    async commitBehind(operations) {
      relay.cut();
      await using other = await openEtcdStore({ endpoints: [etcd.endpoint], ...options });
      await commit(other, ...operations);
      await etcd.compact(await etcd.revision());
      relay.mend();
      await answers();
    },
    async fill() {
      for (let i = 0; ; i++)
        try {
          await etcd.put(`others/${i}`, Buffer.alloc(512 * 1024, "x"));
        } catch {
          return;
        }
    },
    async changeLeader() {
      await etcd.kill9();
      await etcd.start();
      await answers();
    },
  });
}

/** The simulated one, in a world without trouble; its time passes as fast as it can while `use` waits. */
export async function withSimulatedEtcd<Result>(use: (etcd: EtcdUnderScript) => Promise<Result>): Promise<Result> {
  const world = new World(1);
  world.isChaotic = false;
  const etcd = new SimulatedEtcd(world);
  const connection = new EtcdConnection(etcd, new Process(world, options.onFault), () => undefined);
  let isOver = false;
  const turn = (): void => {
    if (isOver) return;
    world.runNext();
    setImmediate(turn);
  };
  setImmediate(turn);
  const passes = (ms: number): Promise<void> => new Promise((resolve) => world.after(ms, resolve));
  try {
    return await use({
      store: connection,
      nowMs: () => world.nowMs,
      passes,
      async commitBehind(operations) {
        connection.hasGap = true;
        etcd.apply(operations);
      },
      async fill() {
        etcd.fullUntilMs = Number.POSITIVE_INFINITY;
      },
      async changeLeader() {
        etcd.changeLeader(500);
        await passes(600);
      },
    });
  } finally {
    isOver = true;
  }
}
