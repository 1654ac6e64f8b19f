import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connect } from "../../clients/typescript/src/index.ts";
import { startEtcd, type TestEtcd, toolPath } from "../support/etcd.ts";
import { eventually } from "../support/eventually.ts";
import { Program, type RunningServer, root, startServer } from "./program.ts";

/** The README but for the section about programs, whose words are those of the pages about languages (test/docs). */
const readme = readFileSync(join(root, "README.md"), "utf8").replace(/^## From an empty folder[\s\S]*?^## /m, "## ");

/** The commands of the README's shell blocks, in order, those on several lines put together. */
const commands = [...readme.matchAll(/^```sh\n([\s\S]*?)^```/gm)]
  .flatMap(([, block]) => block!.replaceAll(/\\\n\s*/g, "").split("\n"))
  .filter((line) => line !== "");

const lines = {
  hold: command(`grpcurl -plaintext -d '{"locks": [{"name": "orders/42"}], "client": {"name": "ops"}}'`),
  attempt: command(`grpcurl -plaintext -d '{"locks": [{"name": "orders/42"}], "wait": "0s"}'`),
  get: command(`grpcurl -plaintext -d '{"name": "orders/42"}'`),
  list: command("grpcurl -plaintext 127.0.0.1:7400 list"),
  describe: command("grpcurl -plaintext 127.0.0.1:7400 describe"),
  lock: command("bin/holdfast lock orders/42"),
  ls: command("bin/holdfast ls"),
  tryLock: command("bin/holdfast lock --try orders/42"),
};

/** The README's one command that begins so. */
function command(start: string): string {
  const found = commands.filter((line) => line.startsWith(start));
  if (found.length !== 1) throw new Error(`the README has ${found.length} commands that begin with ${start}`);
  return found[0]!;
}

let etcd: TestEtcd;
let server: RunningServer;
let grpcurl: string;

beforeAll(async () => {
  grpcurl = await toolPath("grpcurl");
  etcd = await startEtcd();
  server = await startServer(["--etcd-endpoints", etcd.endpoint]);
}, 180_000);

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
});

/** Runs a command of the README as it stands there, against the server of this test. */
function run(line: string): Program {
  const here = line.replaceAll("127.0.0.1:7400", server.grpc).replace(/^grpcurl/, `exec ${grpcurl}`);
  return new Program("bash", ["-c", here.replace(/^bin/, "exec bin")], { HOLDFAST_SERVER: server.grpc });
}

async function output(line: string): Promise<string> {
  await using program = run(line);
  const { code } = await program.ended;
  return `${program.stdout}${program.stderr}exit code ${code}`;
}

describe("the README", () => {
  it("holds a lock with grpcurl, is refused with the holder's name, and is granted after Ctrl-C", async () => {
    await using holder = run(lines.hold);
    await holder.saw(/"granted"/);
    expect(await output(lines.attempt)).toMatch(/Code: Aborted[\s\S]*REASON_BUSY[\s\S]*"name": "ops"/);
    expect(await output(lines.get)).toMatch(/"name": "ops"[\s\S]*code 0$/);

    holder.kill("SIGINT");
    await holder.ended;
    await using client = connect(server.grpc);
    await eventually(async () => (await client.getLock("orders/42")).state, "free");
    await using second = run(lines.attempt);
    await second.saw(/"granted"/);
  });

  it("lists and describes by reflection", async () => {
    expect(await output(lines.list)).toMatch(/^holdfast\.v1\.LockService$/m);
    expect(await output(lines.describe)).toMatch(/rpc Hold \( \.holdfast\.v1\.HoldRequest \)/);
  });

  it("holds a lock with the command line, sees it, and is refused", async () => {
    await using holder = run(lines.lock);
    await holder.saw(/token \d+/);
    expect(await output(lines.ls)).toMatch(/^LOCK.*\norders\/42 +held +holdfast@/);
    expect(await output(lines.tryLock)).toMatch(/held by holdfast@.*\nexit code 201$/);
  });

  it("has no command that is not run by a test", () => {
    // The others are what the tests of `make run` run, what this test is run by, and the same with an etcd elsewhere.
    const others = commands.filter((line) => !Object.values(lines).includes(line)).map((line) => line.slice(0, 33));
    expect(others).toEqual(["make run", 'make run ARGS="--etcd-endpoints 1', "make test"]);
  });
});
