import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { connect } from "../../clients/typescript/src/index.ts";
import { StatusResponse } from "../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import { startEtcd } from "../support/etcd.ts";
import { eventually } from "../support/eventually.ts";
import { fakeHeader, startFakeEtcd } from "../support/fake-etcd.ts";
import { holdfast, isAlive, Program, type RunningServer, startServer, temporaryFolder, whenReady } from "./program.ts";

/** The process number of the etcd that a server with this data folder has started. */
const etcdPid = (data: string): number => JSON.parse(readFileSync(join(data, "owner.json"), "utf8")).etcd;

/** How a server ended that could not start: its code, and its one line. */
async function failure(args: readonly string[], environment: Record<string, string> = {}): Promise<string> {
  const ports = ["--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"];
  await using program = holdfast(["server", "--log-level", "error", ...ports, ...args], environment);
  const { code } = await program.ended;
  expect(program.stdout).toBe("");
  expect(program.stderr.trimEnd()).not.toContain("\n");
  return `${code}: ${program.stderr.trimEnd()}`;
}

async function readyz({ http }: RunningServer): Promise<string> {
  const response = await fetch(`${http}/readyz`);
  return `${response.status} ${(await response.text()).trimEnd()}`;
}

describe("make run", () => {
  it("starts etcd and a server, says where they are and what to try, and ends both on Ctrl-C", async () => {
    using data = temporaryFolder();
    const args = `ARGS=--data ${data.path} --grpc-address 127.0.0.1:0 --http-address 127.0.0.1:0`;
    await using server = await whenReady(new Program("make", ["run", args]));
    const { stdout } = server.program;
    expect(stdout).toContain(`bin/holdfast lock --server ${server.grpc} orders/42 -- sleep 60\n`);
    expect(stdout).toContain(`bin/holdfast ls --server ${server.grpc}\n`);
    expect(stdout).toContain(`grpcurl) -plaintext -d '{"locks": [{"name": "orders/42"}]}' ${server.grpc} holdfast.v1`);
    await eventually(() => readyz(server), "200 serving");
    const etcd = etcdPid(data.path);
    expect(isAlive(etcd)).toBe(true);

    server.program.killGroup("SIGINT");
    await server.program.ended;
    expect(isAlive(etcd)).toBe(false);
    await expect(fetch(`${server.http}/healthz`)).rejects.toThrow();
  });
});

describe("a server with an etcd of its own", () => {
  it.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("ends it, and exits with 0, on %s", async (signal) => {
    using data = temporaryFolder();
    await using server = await startServer(["--data", data.path]);
    const etcd = etcdPid(data.path);
    server.program.kill(signal);
    expect(await server.program.ended, server.program.lastWords).toEqual({ code: 0, signal: null });
    expect(isAlive(etcd)).toBe(false);
  });

  it("ends it at once on the second signal, whatever keeps the first from being done", async () => {
    using data = temporaryFolder();
    await using server = await startServer(["--data", data.path]);
    const etcd = etcdPid(data.path);
    process.kill(etcd, "SIGSTOP");
    server.program.kill("SIGINT");
    await server.program.saw(/server\.stopping/, "stderr");
    const impatience = setInterval(() => server.program.kill("SIGINT"), 100);
    expect(await server.program.ended, server.program.lastWords).toEqual({ code: 1, signal: null });
    clearInterval(impatience);
    await eventually(() => isAlive(etcd), false);
  });

  it("finds the locks of the run before", async () => {
    using data = temporaryFolder();
    let address = "";
    {
      await using first = await startServer(["--data", data.path]);
      const client = connect(first.grpc, { closeTimeoutMs: 0, ttlMs: 60_000 });
      await client.acquire("kept");
      address = first.grpc;
      first.program.kill("SIGTERM");
      await first.program.ended;
      // It is not reached any more, and leaves its lock to the TTL.
      await client.close();
    }
    await using second = await startServer(["--data", data.path, "--grpc-address", address]);
    await using client = connect(second.grpc);
    expect(await client.getLock("kept")).toMatchObject({ state: "held", holderCount: 1 });
  });

  it("says that etcd died, and exits with 1", async () => {
    using data = temporaryFolder();
    await using server = await startServer(["--data", data.path, "--log-level", "error"]);
    process.kill(etcdPid(data.path), "SIGKILL");
    expect(await server.program.ended, server.program.lastWords).toEqual({ code: 1, signal: null });
    expect(server.program.stderr).toMatch(
      /^holdfast: etcd was ended by SIGKILL.*; the server ends with it: start it again\n$/,
    );
  });

  it("goes on when nobody reads its log any more, and ends its etcd when it is told to", async () => {
    using data = temporaryFolder();
    await using server = await startServer(["--data", data.path, "--log-level", "debug"]);
    const etcd = etcdPid(data.path);
    server.program.stopReading();
    await using client = connect(server.grpc);
    // Each opens and ends a session, of which the log tells.
    for (let i = 0; i < 3; i++) await client.withLock("unread", async () => undefined);
    await eventually(async () => (await fetch(`${server.http}/readyz`)).status, 200);
    server.program.kill("SIGTERM");
    expect(await server.program.ended).toEqual({ code: 0, signal: null });
    expect(isAlive(etcd)).toBe(false);
  });

  it("says what is wrong when it cannot have its folder", async () => {
    using data = temporaryFolder();
    const taken = join(data.path, "taken");
    writeFileSync(taken, "");
    expect(await failure(["--data", taken])).toMatch(
      /^1: holdfast: the data folder .*taken cannot be had \(.*\): give another with --data$/,
    );
  });

  it("ends the etcd that a killed server left over, and takes its data up", async () => {
    using data = temporaryFolder();
    const killed = await startServer(["--data", data.path]);
    const leftOver = etcdPid(data.path);
    killed.program.kill("SIGKILL");
    await killed.program.ended;
    expect(isAlive(leftOver)).toBe(true);
    await using server = await startServer(["--data", data.path]);
    expect(isAlive(leftOver)).toBe(false);
    await eventually(() => readyz(server), "200 serving");
  });

  it("leaves a data folder to the server that has it", async () => {
    using data = temporaryFolder();
    await using server = await startServer(["--data", data.path]);
    expect(await failure(["--data", data.path])).toMatch(
      `1: holdfast: ${data.path} is in use by process ${server.program.pid}: end that server, or give another folder`,
    );
    await eventually(() => readyz(server), "200 serving");
  });
});

describe("a server that cannot start says why in one line", () => {
  it("a flag is wrong", async () => {
    expect(await failure(["--max-ttl", "10"])).toBe(
      '2: holdfast: --max-ttl: "10" is not a duration such as 500ms, 15s, 10m or 1h',
    );
    expect(await failure(["--max-tll", "10s"])).toBe(
      "2: holdfast: unknown option '--max-tll' (Did you mean --max-ttl?)",
    );
  });

  it("a variable is wrong", async () => {
    expect(await failure([], { HOLDFAST_PREFIX: "x" })).toMatch(
      /^2: holdfast: HOLDFAST_PREFIX: "x" must end with "\/"/,
    );
  });

  it("a port is taken", async () => {
    await using etcd = await startEtcd();
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const address = `127.0.0.1:${(taken.address() as { port: number }).port}`;
    for (const flag of ["--grpc-address", "--http-address"])
      expect(await failure(["--etcd-endpoints", etcd.endpoint, flag, address])).toBe(
        `1: holdfast: ${flag}: ${address} is in use: end what listens there, or give another address`,
      );
    await new Promise((resolve) => taken.close(resolve));
  });

  it("etcd is dead", async () => {
    expect(await failure(["--etcd-endpoints", "127.0.0.1:1"])).toMatch(
      /^1: holdfast: etcd at 127\.0\.0\.1:1 does not answer \(.*ECONNREFUSED.*\); start it or correct the endpoints$/,
    );
  });

  it("etcd is too old", async () => {
    const response = StatusResponse.create({ header: fakeHeader(1), version: "3.5.9" });
    await using etcd = await startFakeEtcd({ status: (_, done) => done(null, response) });
    expect(await failure(["--etcd-endpoints", etcd.endpoint])).toBe(
      `1: holdfast: etcd at ${etcd.endpoint} is 3.5.9; Holdfast needs 3.6 or newer`,
    );
  });

  it("etcd cannot be started", async () => {
    using data = temporaryFolder();
    expect(await failure(["--data", data.path, "--etcd-binary", "/bin/false"])).toMatch(
      /^1: holdfast: etcd ended with exit code 1/,
    );
    expect(await failure(["--data", data.path, "--etcd-binary", "/no/etcd"])).toMatch(/^1: holdfast: .*ENOENT/);
  });

  it("the data folder cannot be made", async () => {
    expect(await failure(["--data", "/dev/null/x"])).toMatch(/^1: holdfast: .*\/dev\/null\/x/);
  });
});
