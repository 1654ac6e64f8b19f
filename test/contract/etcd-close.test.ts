import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openEtcdStore } from "../../server/adapters/etcd/index.ts";
import { sessionKey } from "../../server/core/keys.ts";
import { startEtcd, type TestEtcd } from "../support/etcd.ts";
import { FeedRecorder } from "../support/feed-recorder.ts";
import { startRelay } from "../support/relay.ts";
import {
  commit,
  grantLease,
  operation,
  readAll,
  readRevision,
  remove,
  renewLease,
  revokeLease,
} from "../support/store-calls.ts";

describe("closing the store", () => {
  let etcd: TestEtcd;
  beforeAll(async () => {
    etcd = await startEtcd();
  });
  afterAll(() => etcd[Symbol.asyncDispose]());

  const open = (endpoint: string) =>
    openEtcdStore({
      endpoints: [endpoint],
      prefix: "/close/",
      onFault: (fault) => {
        throw fault;
      },
    });

  it("closes its connection, and answers all that it owes", async () => {
    await using relay = await startRelay(etcd.endpoint);
    const store = await open(relay.endpoint);
    const feed = new FeedRecorder();
    store.follow(feed);
    await feed.until(() => feed.snapshots.length > 0);
    expect(await renewLease(store, 1n)).toEqual({ kind: "gone" });
    expect(relay.connectionCount).toBe(1);

    relay.blackHole();
    const nothing = operation([], remove(sessionKey("none")));
    const owed = Promise.all([
      commit(store, nothing),
      grantLease(store, 5),
      renewLease(store, 1n),
      revokeLease(store, 1n),
      revokeLease(store, 2n),
      readRevision(store),
      readAll(store),
    ]);
    await store.close();
    const unavailable = { kind: "unavailable" };
    const answers = [{ kind: "unknown" }, unavailable, unavailable, false, false, unavailable, undefined];
    expect(await owed).toEqual(answers);
    relay.mend();
    await relay.idle();
    expect(await commit(store, nothing)).toEqual({ kind: "unknown" });
    expect(await renewLease(store, 1n)).toEqual(unavailable);
    expect(await revokeLease(store, 1n)).toBe(false);
  });

  it("lets the process end", async () => {
    const index = new URL("../../server/adapters/etcd/index.ts", import.meta.url);
    const program = `
      import { openEtcdStore } from ${JSON.stringify(index.href)};
      const onFault = (fault) => { throw fault; };
      const store = await openEtcdStore({ endpoints: ["${etcd.endpoint}"], prefix: "/close/", onFault });
      await new Promise((snapshot) => store.follow({ snapshot, changes() {}, progress() {} }));
      await new Promise((renewed) => store.renewLease(1n, renewed));
      await new Promise((revoked) => store.revokeLease(1n, revoked));
      store.requestProgress();
      await store.close();
      const left = process.getActiveResourcesInfo().filter((name) => /Timeout|TCP|GetAddrInfo/.test(name));
      if (left.length > 0) throw new Error("left open: " + left);
    `;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: "inherit" });
    const [code] = await once(child, "exit");
    expect(code).toBe(0);
  });

  it("is done too when opening failed", async () => {
    await using relay = await startRelay(etcd.endpoint);
    await etcd.put("/close/garbage", Buffer.from("garbage"));
    await expect(open(relay.endpoint)).rejects.toThrow("is no key of ours");
    await relay.idle();
    await etcd.remove("/close/garbage");
  });
});
