import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { type EtcdStore, type EtcdStoreOptions, openEtcdStore, StoreError } from "../../server/adapters/etcd/index.ts";
import { sessionKey } from "../../server/core/keys.ts";
import { AuthClient, StatusResponse } from "../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import { newAuthority } from "../support/certificates.ts";
import { startEtcd } from "../support/etcd.ts";
import { fakeHeader, startFakeEtcd } from "../support/fake-etcd.ts";
import { FeedRecorder } from "../support/feed-recorder.ts";
import { reservePort } from "../support/ports.ts";
import { applied, operation, put, readRevision, remove, session } from "../support/store-calls.ts";

function open(endpoint: string, more: Partial<EtcdStoreOptions> = {}): Promise<EtcdStore> {
  const onFault = (fault: Error) => {
    throw fault;
  };
  return openEtcdStore({ endpoints: [endpoint], prefix: "/start/", startTimeoutMs: 1_000, onFault, ...more });
}

/** Why the store does not open: its reason and its one line. */
async function refusal(opening: Promise<EtcdStore>): Promise<string> {
  const store = await opening.catch((error: unknown) => error);
  if (!(store instanceof StoreError)) throw store instanceof Error ? store : new Error("it opened");
  expect(store.message).not.toMatch(/\n/);
  return `${store.reason}: ${store.message}`;
}

const KEY = sessionKey("one");

describe("opening the store", () => {
  it("says that nobody answers, and why", async () => {
    const port = await reservePort();
    expect(await refusal(open(`127.0.0.1:${port}`, { startTimeoutMs: 300 }))).toBe(
      `unreachable: etcd at 127.0.0.1:${port} does not answer (No connection established. Last error: Error: ` +
        `connect ECONNREFUSED 127.0.0.1:${port}); start it or correct the endpoints`,
    );
    expect(await refusal(open("127.0.0.1", { startTimeoutMs: 300 }))).toMatch(/^unreachable.*is not "host:port"/);
    expect(await refusal(open("no.such.invalid:1", { startTimeoutMs: 300 }))).toMatch(
      /^unreachable.*no\.such\.invalid/,
    );
  });

  it.each(["3.5.21", "3.4.0", "2.3.8"])("refuses etcd %s as too old", async (version) => {
    const response = StatusResponse.create({ header: fakeHeader(1), version });
    await using etcd = await startFakeEtcd({ status: (_, done) => done(null, response) });
    expect(await refusal(open(etcd.endpoint))).toBe(
      `too-old: etcd at ${etcd.endpoint} is ${version}; Holdfast needs 3.6 or newer`,
    );
  });

  it.each(["3.6.0", "3.7.3", "3.10.0-rc.1", "4.0.0"])("takes etcd %s", async (version) => {
    const response = StatusResponse.create({ header: fakeHeader(1), version });
    await using etcd = await startFakeEtcd({ status: (_, done) => done(null, response) });
    await (await open(etcd.endpoint)).close();
  });

  it("tells etcd that its member must have a leader", async () => {
    const told: unknown[] = [];
    await using etcd = await startFakeEtcd({
      status: ({ metadata }, done) => {
        told.push(metadata.get("hasleader"));
        done(null, StatusResponse.create({ header: fakeHeader(1), version: "3.7.3" }));
      },
      watch: (call) => {
        told.push(call.metadata.get("hasleader"));
        call.end();
      },
    });
    await using store = await open(etcd.endpoint);
    const feed = new FeedRecorder();
    store.follow(feed);
    while (told.length < 2) await readRevision(store);
    expect(told.slice(0, 2)).toEqual([["true"], ["true"]]);
  });

  it("refuses what it cannot read below its prefix, and ignores what is beside it", async () => {
    await using etcd = await startEtcd();
    await etcd.put("/start", Buffer.from("garbage"));
    await etcd.put("/start0", Buffer.from("garbage"));
    await (await open(etcd.endpoint)).close();
    for (const [key, value, why] of [
      ["/start/session/one", Uint8Array.of(8, 2), /has format 2/],
      ["/start/session/two", Buffer.from("garbage"), /cannot be read|has format 0/],
      ["/start/other", Uint8Array.of(8, 1), /"other" in etcd is no key of ours/],
      ["/start/claim/a//one/1", Uint8Array.of(8, 1), /is no key of ours/],
      ["/start/claim/a//one/0000000000000001", Uint8Array.of(8, 1), /has a kind 0/],
      ["/start/claim/a//one/0000000000000001", Uint8Array.of(8, 1, 16, 0x80, 1, 24, 1), /has ordinal 128/],
      ["/start/claim/a//one/0000000000000001", Uint8Array.of(8, 1, 24, 1, 32, 1), /has odd permits/],
      ["/start/claim/a//one/0000000000000001", Uint8Array.of(8, 1, 24, 1, 58, 1, 98), /is of other locks/],
    ] as const) {
      await etcd.put(key, value);
      expect(await refusal(open(etcd.endpoint))).toMatch(why);
      await etcd.remove(key);
    }
    await (await open(etcd.endpoint)).close();
  });

  it("reaches whichever of its endpoints answers, by address or name", async () => {
    await using etcd = await startEtcd();
    const port = etcd.endpoint.split(":")[1];
    await using store = await open(etcd.endpoint, { endpoints: ["127.0.0.1:1", `localhost:${port}`] });
    expect(await applied(store, operation([], remove(KEY)))).toBeGreaterThan(0);
    const { members, clusterId, quotaBytes } = await store.status();
    expect(clusterId).not.toBe(0n);
    expect(quotaBytes).toBe(4 * 1024 ** 3);
    expect(members).toMatchObject([
      { name: "holdfast", alarms: [], answer: { endpoint: `localhost:${port}`, version: "3.7.3", isLeader: true } },
    ]);
  });
});

describe("an etcd with users", () => {
  it("lets in whom it knows, who then rides out the loss of the token", async () => {
    await using etcd = await startEtcd();
    await requireUsers(etcd.endpoint);
    const user = { name: "root", password: "secret" };
    const none = await refusal(open(etcd.endpoint));
    expect(none).toMatch(/^auth-refused: etcd at .* refuses us \(.*user name is empty\); give a user/);
    expect(await refusal(open(etcd.endpoint, { user: { ...user, password: "wrong" } }))).toMatch(
      /^auth-refused: .*authentication failed/,
    );

    await using store = await open(etcd.endpoint, { user });
    const feed = new FeedRecorder();
    store.follow(feed);
    await applied(store, operation([], put(KEY, session())));
    await feed.until(() => feed.table.size === 1);
    // Tokens live in etcd's memory: after a restart it knows none of them.
    await etcd.kill9();
    await etcd.start();
    while ((await readRevision(store)).kind !== "revision") {
      // Each failure is one more proof that the connection is not there yet.
    }
    const last = await applied(store, operation([], remove(KEY)));
    await feed.until(() => feed.revision >= last);
    expect(feed.table.size).toBe(0);
    expect((await store.status()).members).toMatchObject([{ answer: { version: "3.7.3" } }]);
  });

  it("takes a user that it was not asked for", async () => {
    await using etcd = await startEtcd();
    await (await open(etcd.endpoint, { user: { name: "root", password: "secret" } })).close();
  });
});

describe("an etcd behind TLS", () => {
  it("is trusted for the certificate of any of its names, and knows us by ours", async () => {
    const folder = await mkdtemp(join(tmpdir(), "holdfast-tls-"));
    await using _folder = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
    const authority = newAuthority();
    const { certificate, key } = authority.issue("127.0.0.1");
    const files = { "cert-file": certificate, "key-file": key, "trusted-ca-file": authority.certificate };
    for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
    const [plain, secure] = [await reservePort(), await reservePort()];
    await using _etcd = await startEtcd({
      clientPort: plain,
      flags: [
        `--listen-client-urls=http://127.0.0.1:${plain},https://127.0.0.1:${secure}`,
        "--client-cert-auth",
        ...Object.keys(files).map((name) => `--${name}=${join(folder, name)}`),
      ],
    });
    const client = authority.issue("holdfast");
    const good = { ca: authority.certificate, client };
    for (const hosts of [["127.0.0.1"], ["localhost", "127.0.0.1"]]) {
      const endpoints = hosts.map((host) => `${host}:${secure}`);
      await using store = await open("", { endpoints, tls: good });
      expect(await applied(store, operation([], remove(KEY)))).toBeGreaterThan(0);
    }
    expect(await refusal(open(`localhost:${secure}`, { tls: good }))).toMatch(/^unreachable.*altnames/);
    const stranger = { ca: newAuthority().certificate, client };
    expect(await refusal(open(`127.0.0.1:${secure}`, { tls: stranger }))).toMatch(/^unreachable.*certificate/);
    const anonymous = { ca: authority.certificate, client: undefined };
    expect(await refusal(open(`127.0.0.1:${secure}`, { tls: anonymous }))).toMatch(/^unreachable/);
  });
});

/** Makes etcd ask for a user: root, with the password "secret". */
async function requireUsers(endpoint: string): Promise<void> {
  const auth = new AuthClient(endpoint, credentials.createInsecure());
  const name = "root";
  const call = (send: (done: (error: Error | null) => void) => unknown) =>
    new Promise<void>((resolve, reject) => {
      send((error) => (error ? reject(error) : resolve()));
    });
  const user = { name, password: "secret", hashedPassword: "", options: undefined };
  await call((done) => auth.userAdd(user, done));
  await call((done) => auth.roleAdd({ name }, done));
  await call((done) => auth.userGrantRole({ user: name, role: name }, done));
  await call((done) => auth.authEnable({}, done));
  auth.close();
}
