import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, connect, type HeldLock } from "../../clients/typescript/src/index.ts";
import { startEtcd, type TestEtcd } from "../support/etcd.ts";
import { holdfast, Program, type RunningServer, startServer } from "./program.ts";

let etcd: TestEtcd;
let server: RunningServer;
let client: Client;

beforeAll(async () => {
  etcd = await startEtcd();
  server = await startServer(["--etcd-endpoints", etcd.endpoint, "--log-level", "error"]);
  client = connect(server.grpc, { clientName: "a\u202eb\u001b[2J" });
});

afterAll(async () => {
  await client.close();
  await server[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
});

/** What a command writes, line by line; it ends by itself, with 0. */
async function lines(...args: readonly string[]): Promise<string[]> {
  await using program = holdfast([...args, "--server", server.grpc]);
  expect(await program.ended, program.lastWords).toEqual({ code: 0, signal: null });
  return program.stdout.trimEnd().split("\n");
}

/** A lock that is held, and what waits for it. */
async function contended(
  name: string,
): Promise<{ held: HeldLock; waiting: AbortController; waited: Promise<unknown> }> {
  const held = await client.acquire(name, { purpose: "to \u0007ring", value: "here" });
  const waiting = new AbortController();
  const { promise, resolve } = Promise.withResolvers<void>();
  const waited = client.acquire(name, { signal: waiting.signal, onWaiting: () => resolve() }).catch(() => undefined);
  await promise;
  return { held, waiting, waited };
}

describe("holdfast ls", () => {
  it("shows locks in a table that nobody can write into", async () => {
    const { held, waiting, waited } = await contended("ls/漢字");
    await using _other = await client.acquire("other");
    const [heading, row, ...more] = await lines("ls", "ls/");
    expect(heading).toMatch(/^LOCK {5}STATE {6}HOLDER +SINCE +WAITING +TOKEN +PURPOSE$/);
    expect(row).toMatch(
      new RegExp(
        `^ls/漢字 {2}contended {2}a\\\\u\\{202e\\}b\\\\u\\{1b\\}\\[2J@\\S+ \\(${process.pid}\\) +\\d+ \\w+ +1 +${held.token} +to \\\\u\\{7\\}ring$`,
      ),
    );
    expect(more).toEqual([]);
    expect((await lines("ls")).map((line) => line.split(" ")[0])).toEqual(["LOCK", "ls/漢字", "other"]);
    waiting.abort();
    await waited;
    await held.release();
  });

  it("says on standard error that there is nothing, and writes nothing", async () => {
    await using program = holdfast(["ls", "no/such/", "--server", server.grpc]);
    expect(await program.ended, program.lastWords).toEqual({ code: 0, signal: null });
    expect([program.stdout, program.stderr]).toEqual(["", "holdfast: nobody holds a lock with that prefix\n"]);
  });

  it("writes a JSON object a line for programs, with tokens to the last digit", async () => {
    await using first = await client.acquire("json/1", { purpose: "to \u0007ring" });
    await using second = await client.acquire("json/2");
    const locks = (await lines("ls", "json/", "--json")).map((line) => JSON.parse(line));
    expect(locks).toMatchObject([
      {
        name: "json/1",
        state: "held",
        mode: "exclusive",
        holderCount: 1,
        waiterCount: 0,
        holders: [{ sessionId: client.sessionId, held: true, token: String(first.token), purpose: "to \u0007ring" }],
      },
      { name: "json/2", holders: [{ token: String(second.token), client: { name: "a\u202eb\u001b[2J" } }] },
    ]);
    expect(new Date(locks[0].holders[0].claimedAt).getTime()).toBeGreaterThan(Date.now() - 60_000);
  });

  it("gets all pages of many", async () => {
    const many = await Promise.all(Array.from({ length: 150 }, (_, i) => client.acquire(`many/${1000 + i}`)));
    const names = (await lines("ls", "many/")).slice(1).map((line) => line.split(" ")[0]);
    expect(names).toEqual(many.map(({ name }) => name));
    await Promise.all(many.map((lock) => lock.release()));
  });

  it("says that no server can be reached", async () => {
    await using program = holdfast(["ls", "--server", "127.0.0.1:1"]);
    expect(await program.ended, program.lastWords).toEqual({ code: 202, signal: null });
    expect(program.stderr).toMatch(
      /^holdfast: no server answers at 127\.0\.0\.1:1: .*ECONNREFUSED 127\.0\.0\.1:1\.\n$/,
    );
  });
});

describe("holdfast get", () => {
  it("shows the holder, and who waits in order", async () => {
    const { held, waiting, waited } = await contended("get/1");
    const [summary, _, heading, holder, waiter, ...more] = await lines("get", "get/1");
    expect(summary).toBe("get/1: exclusive, 1 held, 1 waiting");
    expect(heading).toMatch(/^PLACE +CLIENT +SINCE +TOKEN +SESSION +PURPOSE$/);
    expect(holder).toMatch(new RegExp(`^held .* ${held.token} +${client.sessionId} +to \\\\u\\{7\\}ring$`));
    expect(waiter).toMatch(new RegExp(`^1\\. .* ${client.sessionId}$`));
    expect(more).toEqual([]);
    const [json] = await lines("get", "get/1", "--json");
    expect(JSON.parse(json!)).toMatchObject({
      holders: [{ value: Buffer.from("here").toString("base64") }],
      waiters: [{ held: false, token: "0" }],
    });
    waiting.abort();
    await waited;
    await held.release();
  });

  it("shows that a lock is free", async () => {
    expect(await lines("get", "nobody's")).toEqual(["nobody's: free"]);
  });

  it("refuses a name that is none", async () => {
    await using program = holdfast(["get", "a//b", "--server", server.grpc]);
    expect(await program.ended, program.lastWords).toEqual({ code: 2, signal: null });
    expect(program.stderr).toMatch(/^holdfast: .*name.*\n$/);
  });
});

describe("holdfast watch", () => {
  it("shows what is there, and then each change", async () => {
    const held = await client.acquire("watch/1");
    await using program = holdfast(["watch", "watch/", "--server", server.grpc]);
    await program.saw(/^\d\d:\d\d:\d\d\.\d{3} {2}watch\/1 {2}exclusive, 1 held, 0 waiting {2}.*, token \d+$/m);
    await held.release();
    await program.saw(/ {2}watch\/1 {2}free$/m);
    program.kill("SIGINT");
    expect((await program.ended).signal).toBe("SIGINT");
  });

  it("ends without a word when nobody reads on", async () => {
    await using _held = await client.acquire("watch/3");
    const pipeline = `"$0" clients/cli/main.ts watch watch/3 --server ${server.grpc} | head -n 1`;
    await using program = new Program("bash", ["-o", "pipefail", "-c", pipeline, process.execPath]);
    await program.saw(/watch\/3/);
    // Written to nobody, as soon as the reader has gone.
    let isOver = false;
    void program.ended.then(() => {
      isOver = true;
    });
    while (!isOver) await (await client.acquire("watch/3/x")).release();
    expect(await program.ended, program.lastWords).toEqual({ code: 0, signal: null });
    expect(program.stderr).toBe("");
  });

  it("writes JSON for programs", async () => {
    await using _held = await client.acquire("watch/2");
    await using program = holdfast(["watch", "watch/2", "--json", "--server", server.grpc]);
    const [line] = await program.saw(/^.*\n/);
    expect(JSON.parse(line)).toMatchObject({ name: "watch/2", state: "held" });
  });
});
