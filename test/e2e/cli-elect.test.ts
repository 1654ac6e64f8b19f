import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connect, Election } from "../../clients/typescript/src/index.ts";
import { startEtcd, type TestEtcd } from "../support/etcd.ts";
import { startRelay } from "../support/relay.ts";
import { holdfast, type Program, type RunningServer, startServer } from "./program.ts";

let etcd: TestEtcd;
let server: RunningServer;

beforeAll(async () => {
  etcd = await startEtcd();
  // Told of no other address, a client that is cut off stays cut off.
  const flags = ["--etcd-endpoints", etcd.endpoint, "--log-level", "error", "--advertise-address", "none"];
  server = await startServer(flags);
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
});

const run = (args: readonly string[], address = server.grpc): Program => holdfast(args, { HOLDFAST_SERVER: address });

/** What a command prints, and its exit code. */
async function outcome(args: readonly string[]): Promise<string> {
  await using program = run(args);
  const { code, signal } = await program.ended;
  return `${program.stdout}${program.stderr}${code ?? signal}`;
}

const lead = ["--", "sh", "-c", 'echo "leads with $HOLDFAST_TOKEN in $HOLDFAST_ELECTION"; exec sleep 60'];

describe("holdfast elect", () => {
  it("runs the command while it leads, and lets the next one lead when it has ended", async () => {
    await using first = run(["elect", "--value", "first", "e/1", ...lead]);
    const [, token] = await first.saw(/leads with (\d+) in e\/1\n/);
    await using second = run(["elect", "--value", "second", "e/1", ...lead]);
    await using client = connect(server.grpc);
    for await (const { locks } of client.watchLocks({ name: "e/1" })) if (locks[0]?.waiterCount === 1) break;
    expect(await outcome(["leader", "e/1"])).toBe("first\n0");
    first.kill("SIGTERM");
    expect(await first.ended, first.lastWords).toEqual({ code: 143, signal: null });
    const [, next] = await second.saw(/leads with (\d+) in e\/1\n/);
    expect(BigInt(next!)).toBeGreaterThan(BigInt(token!));
    expect(await outcome(["leader", "e/1"])).toBe("second\n0");
  });

  it("announces the host unless told otherwise, and stands once only", async () => {
    await using first = run(["elect", "e/2", ...lead]);
    await first.saw(/leads/);
    await using client = connect(server.grpc);
    expect((await new Election(client, "e/2").leader())?.value.length).toBeGreaterThan(0);
    expect(await outcome(["elect", "--try", "e/2", "--", "true"])).toMatch(/held by holdfast@.*\n201$/);
    expect(await outcome(["elect", "e/2", "e/3", "--", "true"])).toMatch(/one election at a time.*\n2$/);
  });

  it("stops the command when leadership is lost, and with --again leads again", async () => {
    await using relay = await startRelay(server.grpc);
    await using once = run(["elect", "--ttl", "3s", "e/4", ...lead], relay.endpoint);
    await once.saw(/leads/);
    await using again = run(["elect", "--ttl", "3s", "--again", "e/5", ...lead], relay.endpoint);
    const [, first] = await again.saw(/leads with (\d+)/);
    relay.cut();
    expect((await once.ended).code, once.lastWords).toBe(200);
    await again.saw(/standing for e\/5 again/, "stderr");
    relay.mend();
    const [, second] = await again.saw(/leads with \d+ in e\/5\nleads with (\d+)/);
    expect(BigInt(second!)).toBeGreaterThan(BigInt(first!));
    again.kill("SIGTERM");
    expect((await again.ended).code, again.lastWords).toBe(143);
  });
});

describe("holdfast leader", () => {
  it("says nothing and exits with 203 when nobody leads", async () => {
    expect(await outcome(["leader", "nobody"])).toBe("203");
    expect(await outcome(["leader", "nobody", "--json"])).toBe("null\n203");
  });

  it("prints what is announced so that it can hide nothing, and for programs as it is", async () => {
    await using client = connect(server.grpc);
    await using leadership = await new Election(client, "e/6").campaign("a\u001b[2J");
    expect(await outcome(["leader", "e/6"])).toBe("a\\u{1b}[2J\n0");
    const { token, value } = JSON.parse((await outcome(["leader", "e/6", "--json"])).slice(0, -1));
    expect([token, Buffer.from(value, "base64").toString()]).toEqual([String(leadership.token), "a\u001b[2J"]);
  });

  it("follows the leader", async () => {
    await using program = run(["leader", "e/7", "--watch"]);
    await program.saw(/^\n/);
    await using client = connect(server.grpc);
    const leadership = await new Election(client, "e/7").campaign("one");
    await program.saw(/\none\n/);
    await leadership.proclaim("two");
    await program.saw(/\none\ntwo\n/);
    await leadership.resign();
    await program.saw(/two\n\n/);
  });
});
