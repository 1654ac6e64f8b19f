import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { connect } from "../../clients/typescript/src/index.ts";
import { AuthClient } from "../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import { SessionRecord } from "../../server/gen/holdfast/storage/v1/storage.ts";
import { HoldRequest, type HoldResponse, LockServiceClient } from "../../server/gen/holdfast/v1/lock_service.ts";
import { Admin } from "../support/admin.ts";
import { newAuthority } from "../support/certificates.ts";
import { startEtcd } from "../support/etcd.ts";
import { eventually } from "../support/eventually.ts";
import { reservePort } from "../support/ports.ts";
import { holdfast, startServer, temporaryFolder } from "./program.ts";

/** Makes etcd ask for a user: root, with the password "secret". */
async function requireUsers(endpoint: string): Promise<void> {
  const auth = new AuthClient(endpoint, credentials.createInsecure());
  const call = (send: (done: (error: Error | null) => void) => unknown) =>
    new Promise<void>((resolve, reject) => {
      send((error) => (error ? reject(error) : resolve()));
    });
  await call((done) =>
    auth.userAdd({ name: "root", password: "secret", hashedPassword: "", options: undefined }, done),
  );
  await call((done) => auth.roleAdd({ name: "root" }, done));
  await call((done) => auth.userGrantRole({ user: "root", role: "root" }, done));
  await call((done) => auth.authEnable({}, done));
  auth.close();
}

describe("a server on an etcd that is there", () => {
  it("reaches it by TLS, as a user whose password is on no command line", async () => {
    using folder = temporaryFolder();
    const file = (name: string, content: Uint8Array | string) => {
      writeFileSync(join(folder.path, name), content);
      return join(folder.path, name);
    };
    const authority = newAuthority();
    const { certificate, key } = authority.issue("localhost");
    const [plain, secure] = [await reservePort(), await reservePort()];
    await using etcd = await startEtcd({
      clientPort: plain,
      flags: [
        `--listen-client-urls=http://127.0.0.1:${plain},https://127.0.0.1:${secure}`,
        `--cert-file=${file("cert", certificate)}`,
        `--key-file=${file("key", key)}`,
      ],
    });
    await requireUsers(etcd.endpoint);
    const args = ["--etcd-endpoints", `https://localhost:${secure}`, "--etcd-ca", file("ca", authority.certificate)];
    const user = { HOLDFAST_ETCD_USER: "root", HOLDFAST_ETCD_PASSWORD_FILE: file("password", "secret\n") };
    await using server = await startServer(args, user);
    await using client = connect(server.grpc);
    await using lock = await client.acquire("over/tls");
    expect(lock.token).toBeGreaterThan(0n);
    expect(server.program.stdout).not.toContain("its own");
  });

  it("serves with TLS, where the certificate is asked for", async () => {
    using folder = temporaryFolder();
    const authority = newAuthority();
    const { certificate, key } = authority.issue("localhost");
    for (const [name, content] of Object.entries({ certificate, key })) writeFileSync(join(folder.path, name), content);
    await using etcd = await startEtcd();
    const tls = ["--tls-cert", join(folder.path, "certificate"), "--tls-key", join(folder.path, "key")];
    await using server = await startServer(["--etcd-endpoints", etcd.endpoint, ...tls]);
    expect(server.program.stdout).toMatch(/^gRPC +127\.0\.0\.1:\d+ with TLS$/m);
    const address = server.grpc.replace("127.0.0.1", "localhost");
    await using client = connect(address, { tls: { ca: authority.certificate } });
    await (await client.acquire("private")).release();
    const ca = join(folder.path, "ca");
    writeFileSync(ca, authority.certificate);
    await using ls = holdfast(["ls", "--server", address, "--tls-ca", ca]);
    expect(await ls.ended, ls.lastWords).toEqual({ code: 0, signal: null });
    await using stranger = holdfast(["ls"], { HOLDFAST_SERVER: address, HOLDFAST_TLS: "true" });
    expect(await stranger.ended, stranger.lastWords).toEqual({ code: 202, signal: null });
    expect(stranger.stderr).toMatch(/certificate/);
    await using plain = connect(address, { connectTimeoutMs: 500 });
    await expect(plain.acquire("private")).rejects.toMatchObject({ reason: "unreachable" });
  });

  it("counts what happened, for Prometheus", async () => {
    await using etcd = await startEtcd();
    await using server = await startServer(["--etcd-endpoints", etcd.endpoint]);
    await using client = connect(server.grpc);
    await using _held = await client.acquire("counted");
    expect(await client.tryAcquire("counted")).toBeUndefined();
    const metrics = await (await fetch(`${server.http}/metrics`)).text();
    for (const line of [
      'holdfast_grants_total{mode="exclusive"} 1',
      'holdfast_denials_total{reason="busy"} 1',
      'holdfast_sessions{of="server"} 1',
      'holdfast_claims{state="held"} 1',
      'holdfast_acquire_seconds_count{mode="exclusive",outcome="granted"} 1',
    ])
      expect(metrics).toContain(`${line}\n`);
  });

  it("stops serving, and says so, when something that is none of its records is in its place", async () => {
    await using etcd = await startEtcd();
    await using server = await startServer(["--etcd-endpoints", etcd.endpoint, "--log-format", "json"]);
    await etcd.put("holdfast/session/x", Buffer.from("garbage"));
    await server.program.saw(/"event":"store.failed"/, "stderr");
    const ready = await fetch(`${server.http}/readyz`);
    const problem = (await ready.text()).trimEnd();
    expect(ready.status).toBe(503);
    expect(problem).toContain("session/x");
    await using client = connect(server.grpc, { connectTimeoutMs: 300 });
    await expect(client.acquire("anything")).rejects.toMatchObject({
      reason: expect.stringMatching(/unreachable|draining/),
    });
    server.program.kill("SIGTERM");
    expect(await server.program.ended, server.program.lastWords).toEqual({ code: 1, signal: null });
    expect(server.program.stderr.trimEnd().split("\n").at(-1)).toBe(`holdfast: ${problem}`);
  });

  it("neither starts nor goes on with a record of a format that it does not know, and what was locked outlives it", async () => {
    await using etcd = await startEtcd();
    const flags = ["--etcd-endpoints", etcd.endpoint];
    const address = `127.0.0.1:${await reservePort()}`;
    await using client = connect(address, { ttlMs: 60_000 });
    await using server = await startServer([...flags, "--grpc-address", address]);
    const lock = await client.acquire("outlives it");
    // As a later version would write it, that this one cannot read: it cannot tell who is entitled any more.
    const later = SessionRecord.fromPartial({ format: 2, ttl: { seconds: 60n }, onDisconnect: 2, liveness: 1 });
    await etcd.put("holdfast/session/of-a-later-version", SessionRecord.encode(later).finish());
    await eventually(async () => (await fetch(`${server.http}/readyz`)).status, 503);
    const problem = await (await fetch(`${server.http}/readyz`)).text();
    expect(problem).toMatch(
      /"session\/of-a-later-version" in etcd has format 2, and this version knows only 1; run the/,
    );
    server.program.kill("SIGTERM");
    await server.program.ended;

    await using refused = holdfast(["server", ...flags, "--grpc-address", address, "--http-address", "127.0.0.1:0"]);
    expect(await refused.ended, refused.lastWords).toEqual({ code: 1, signal: null });
    expect(refused.stderr).toContain(problem.trimEnd());
    await etcd.remove("holdfast/session/of-a-later-version");
    await using again = await startServer([...flags, "--grpc-address", address]);
    expect(again.grpc).toBe(address);
    expect([await lock.release(), lock.loss]).toEqual(["released", undefined]);
  });

  it("gives its clients time to go elsewhere, and none on the second signal", async () => {
    await using etcd = await startEtcd();
    await using server = await startServer(["--etcd-endpoints", etcd.endpoint, "--drain-time", "60s"]);
    const client = new LockServiceClient(server.grpc, credentials.createInsecure());
    const hold = client.hold(HoldRequest.fromPartial({ locks: [{ name: "held on to" }] }));
    const told: string[] = [];
    const over = new Promise((resolve) => hold.once("error", resolve));
    hold.on("data", ({ event }: HoldResponse) => {
      told.push(event!.$case);
      // Both at once are one, as when a supervisor sends it to a group, and make passes it on. (Of the same signal
      // the system itself would make one.)
      if (event!.$case === "granted") for (const signal of ["SIGTERM", "SIGHUP"] as const) server.program.kill(signal);
    });
    await server.program.saw(/server\.stopping/, "stderr");
    const impatience = setInterval(() => server.program.kill("SIGTERM"), 100);
    expect(await server.program.ended, server.program.lastWords).toEqual({ code: 1, signal: null });
    clearInterval(impatience);
    await over;
    expect(told).toEqual(["granted", "draining"]);
    client.close();
  });

  it("says that it is not ready before it turns anybody away, if it is given the time", async () => {
    await using etcd = await startEtcd();
    await using server = await startServer(["--etcd-endpoints", etcd.endpoint, "--drain-delay", "10m"]);
    await using client = connect(server.grpc);
    await client.ready();
    server.program.kill("SIGTERM");
    await eventually(async () => (await fetch(`${server.http}/readyz`)).status, 503);
    await using late = connect(server.grpc);
    await (await late.acquire("late")).release();
    // An administrator does not wait for what he has seen to himself.
    using admin = new Admin(server.grpc);
    const { serverId, servers } = await admin.getStatus();
    expect(servers).toMatchObject([{ serverId, draining: true }]);
    await admin.drainServer({ serverId, leaveWithin: { seconds: 0n, nanos: 0 } });
    expect(await server.program.ended, server.program.lastWords).toEqual({ code: 0, signal: null });
  });

  it("gives clients no longer than a signal would, though an administrator has given them more", async () => {
    await using etcd = await startEtcd();
    await using server = await startServer(["--etcd-endpoints", etcd.endpoint, "--drain-time", "100ms"]);
    const client = new LockServiceClient(server.grpc, credentials.createInsecure());
    const hold = client.hold(HoldRequest.fromPartial({ locks: [{ name: "held on to" }] }));
    const over = new Promise((resolve) => hold.once("error", resolve));
    const granted = new Promise((resolve) => hold.once("data", resolve));
    await granted;
    using admin = new Admin(server.grpc);
    const { serverId } = await admin.getStatus();
    await admin.drainServer({ serverId, leaveWithin: { seconds: 600n, nanos: 0 } });
    await eventually(async () => (await fetch(`${server.http}/readyz`)).status, 503);
    server.program.kill("SIGTERM");
    expect(await server.program.ended, server.program.lastWords).toEqual({ code: 0, signal: null });
    await over;
    client.close();
  });
});
