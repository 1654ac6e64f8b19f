import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newAuthority } from "../support/certificates.ts";
import { startEtcd, type TestEtcd, toolPath } from "../support/etcd.ts";
import { outerAddress } from "../support/outer-address.ts";
import { Program, type RunningServer, root, startServer, temporaryFolder } from "./program.ts";

const TOKEN = "0123456789abcdef0123456789abcdef";

/** The lines of the page's shell blocks, in order. */
const lines = [...readFileSync(join(root, "docs/operations/grpcurl.md"), "utf8").matchAll(/^```sh\n([\s\S]*?)^```/gm)]
  .flatMap(([, block]) => block!.split("\n"))
  .filter((line) => line !== "");

let etcd: TestEtcd;
let server: RunningServer;
let outer: ReturnType<typeof outerAddress>;
let elsewhere: RunningServer;
let grpcurl: string;
const folder = temporaryFolder();

beforeAll(async () => {
  grpcurl = await toolPath("grpcurl");
  etcd = await startEtcd();
  server = await startServer(["--etcd-endpoints", etcd.endpoint]);
  outer = outerAddress();
  const authority = newAuthority();
  const { certificate, key } = authority.issue(outer.host);
  const file = (name: string, content: string | Buffer) => {
    writeFileSync(join(folder.path, name), content);
    return join(folder.path, name);
  };
  file("ca.pem", authority.certificate);
  const tls = ["--tls-cert", file("server.pem", certificate), "--tls-key", file("server.key", key)];
  const token = ["--admin-token-file", file("admin.token", `${TOKEN}\n`)];
  elsewhere = await startServer([
    "--etcd-endpoints",
    etcd.endpoint,
    "--grpc-address",
    `${outer.host}:0`,
    ...tls,
    ...token,
  ]);
}, 180_000);

afterAll(async () => {
  await elsewhere[Symbol.asyncDispose]();
  outer[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** A reader of the page, who does what it says, line by line. */
class Reader implements AsyncDisposable {
  readonly #running: Program[] = [];
  readonly #variables: Record<string, string> = {};
  #at = 0;

  /** The line that comes next, which has this in it. */
  #next(part: string): string {
    const line = lines[this.#at++];
    if (line === undefined || !line.includes(part)) throw new Error(`the page has next: ${line}, and not ${part}`);
    return line
      .replaceAll("127.0.0.1:7400", server.grpc)
      .replaceAll("holdfast.example.org:7400", elsewhere.grpc)
      .replaceAll(/(?<=^|\$\()grpcurl/g, grpcurl);
  }

  /** Runs a line that ends by itself, and resolves with all it wrote and its exit code. */
  async ends(part: string): Promise<string> {
    await using program = this.#run(this.#next(part));
    const { code } = await program.ended;
    return `${program.stdout}${program.stderr}exit code ${code}`;
  }

  /** Starts a line that goes on, and resolves when it has written this. */
  async goesOn(part: string, pattern: RegExp): Promise<Program> {
    const program = this.#run(`exec ${this.#next(part)}`);
    this.#running.push(program);
    await program.saw(pattern);
    return program;
  }

  /** Runs a line that sets a variable, for the lines that follow. */
  async sets(name: string): Promise<string> {
    const output = await (async () => {
      await using program = this.#run(`${this.#next(`${name}=$(`)}; echo "$${name}"`);
      await program.ended;
      return program.stdout.trim();
    })();
    this.#variables[name] = output;
    return output;
  }

  get left(): readonly string[] {
    return lines.slice(this.#at);
  }

  #run(line: string): Program {
    return new Program("bash", ["-c", line], this.#variables, folder.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of this.#running) await program[Symbol.asyncDispose]();
  }
}

describe("G1 the page about grpcurl", () => {
  it("is true, line by line: list services, hold a lock, see it, free it by force", { timeout: 180_000 }, async () => {
    await using reader = new Reader();
    expect(await reader.ends(" list")).toMatch(/^holdfast\.v1\.AdminService\nholdfast\.v1\.LockService$/m);
    expect(await reader.ends("describe holdfast.v1.AdminService")).toMatch(/rpc ReleaseLock/);
    expect(await reader.ends("describe holdfast.v1.ReleaseLockRequest")).toMatch(/uint64 fencing_token = 2;/);
    expect(await reader.ends("Health/Check")).toMatch(/"status": "SERVING"/);

    const holder = await reader.goesOn('"purpose": "repair"', /"granted"/);
    const next = await reader.goesOn('"name": "next"', /"waiting"/);
    expect(await reader.ends('"wait": "0s"')).toMatch(/Code: Aborted[\s\S]*REASON_BUSY[\s\S]*"name": "ops"/);
    await reader.goesOn("MODE_SHARED", /"granted"/);
    await reader.goesOn("MODE_SEMAPHORE", /"granted"/);
    await reader.goesOn("accounts/2", /"granted"/);

    expect(await reader.ends("GetLock")).toMatch(/"holders"[\s\S]*"name": "ops"[\s\S]*"waiters"[\s\S]*"name": "next"/);
    expect(await reader.ends("ListLocks")).toMatch(/"name": "orders\/42"[\s\S]*code 0$/);
    expect(await reader.ends("ListSessions")).toMatch(/"name": "ops"/);
    expect(await reader.ends("GetWaitGraph")).toMatch(/"edges"[\s\S]*"lockName": "orders\/42",\s*"held": true/);
    expect(await reader.ends("ListEvents")).toMatch(/EVENT_KIND_WAITING[\s\S]*EVENT_KIND_GRANTED/);
    await reader.goesOn("WatchLocks", /"caughtUp": true/);
    await reader.goesOn("WatchStatistics", /"samples"/);
    expect(await reader.ends("GetStatus")).toMatch(/"leader": true[\s\S]*"quotaBytes"[\s\S]*"table"/);

    expect(await reader.ends("GetLock")).toMatch(/"purpose": "repair"/);
    expect(await reader.sets("token")).toMatch(/^\d+$/);
    expect(await reader.ends("ReleaseLock")).toMatch(/"name": "ops"[\s\S]*code 0$/);
    expect((await holder.ended).code, holder.lastWords).not.toBe(0);
    expect(holder.stderr).toMatch(/REASON_RELEASED_BY_FORCE[\s\S]*host is gone/);
    await next.saw(/"granted"/);
    expect(await reader.ends("CheckToken")).toMatch(/"state": "TOKEN_STATE_ENDED"/);
    expect(await reader.ends("EVENT_KIND_FORCED")).toMatch(/"actor": "127\.0\.0\.1:\d+"/);

    expect(await reader.sets("session")).toMatch(/^[\w-]{22}$/);
    expect(await reader.ends("GetSession")).toMatch(/"claims"[\s\S]*"name": "prices"/);
    expect(await reader.ends("CloseSession")).toMatch(/"releasedClaims": 1/);

    expect(await reader.ends("GetStatus")).toMatch(/"serverId"[\s\S]*code 0$/);
    expect(await reader.ends("DrainServer")).toMatch(/Code: FailedPrecondition[\s\S]*REASON_WRONG_SERVER/);
    expect(reader.left).toEqual([]);
  });

  it("is right that from another machine nothing is changed without the token", async () => {
    const line = lines
      .at(-1)!
      .replace(/-H "[^"]*\)"/, "")
      .replaceAll("holdfast.example.org:7400", elsewhere.grpc);
    await using program = new Program("bash", ["-c", line.replace(/^grpcurl/, grpcurl)], {}, folder.path);
    expect((await program.ended).code, program.lastWords).not.toBe(0);
    expect(program.stderr).toMatch(/Code: PermissionDenied[\s\S]*REASON_NOT_PERMITTED/);
  });
});
