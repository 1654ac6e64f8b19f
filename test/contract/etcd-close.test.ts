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

  const open = (endpoint: string, closeTimeoutMs = 300) =>
    openEtcdStore({
      endpoints: [endpoint],
      prefix: "/close/",
      closeTimeoutMs,
      onFault: (fault) => {
        throw fault;
      },
    });

  // A stream that stayed open would hold the connection until gRPC pings it, after 6 s.
  it("closes its connection, also when streams have just been opened", async () => {
    await using relay = await startRelay(etcd.endpoint);
    const store = await open(relay.endpoint);
    const feed = new FeedRecorder();
    store.follow(feed);
    await feed.until(() => feed.snapshots.length > 0);
    expect(await renewLease(store, 1n)).toEqual({ kind: "gone" });
    expect(relay.connectionCount).toBe(1);
    const last = renewLease(store, 2n);
    const fromMs = performance.now();
    await store.close();
    await store.close();
    await relay.idle();
    expect(performance.now() - fromMs).toBeLessThan(5_000);
    expect((await last).kind).toMatch(/gone|unavailable/);
  });

  it("answers all that is owed, and all that is asked for later", async () => {
    await using relay = await startRelay(etcd.endpoint);
    const store = await open(relay.endpoint);
    relay.blackHole();
    const nothing = operation([], remove(sessionKey("none")));
    const ask = () =>
      Promise.all([
        commit(store, nothing),
        grantLease(store, 5),
        renewLease(store, 1n),
        revokeLease(store, 1n),
        revokeLease(store, 2n),
        readRevision(store),
        readAll(store),
      ]);
    const owed = ask();
    await store.close();
    const unavailable = { kind: "unavailable" };
    const answers = [{ kind: "unknown" }, unavailable, unavailable, false, false, unavailable, undefined];
    expect(await owed).toEqual(answers);
    expect(await ask()).toEqual(answers);
  });

  it("revokes the leases that still wait for it, before it ends", async () => {
    const store = await open(etcd.endpoint, 20_000);
    const leases = await Promise.all(Array.from({ length: 50 }, () => grantLease(store, 60)));
    const revoked = leases.map((lease) => lease.kind === "granted" && revokeLease(store, lease.lease));
    expect(await etcd.countLeases()).toBeGreaterThan(0);
    await store.close();
    expect(await etcd.countLeases()).toBe(0);
    expect(await Promise.all(revoked)).toEqual(Array(50).fill(true));
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
      const untilMs = performance.now() + 3_000;
      const isOurs = (name) => /Timeout|TCP|GetAddrInfo/.test(name);
      while (process.getActiveResourcesInfo().some(isOurs)) {
        if (performance.now() > untilMs) throw new Error("left open: " + process.getActiveResourcesInfo());
        await new Promise(setImmediate);
      }
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
