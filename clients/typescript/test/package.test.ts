import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Reason } from "../src/gen/holdfast/v1/lock_service.ts";
import { FakeServer } from "./fake-server.ts";

const run = promisify(execFile);
const packageFolder = resolve(import.meta.dirname, "..");
const modules = resolve(packageFolder, "../../node_modules");

/** A project of somebody who installed the packed package, without the network. */
let project: string;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "holdfast-client-"));
  const installed = join(project, "node_modules/@holdfast/client");
  await mkdir(installed, { recursive: true });
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", project], { cwd: packageFolder });
  const [{ filename }] = JSON.parse(stdout.slice(stdout.indexOf("[")));
  await run("tar", ["-xzf", join(project, filename), "-C", installed, "--strip-components=1"]);
  for (const scope of ["@grpc", "@bufbuild", "@types"])
    await symlink(join(modules, scope), join(project, "node_modules", scope));
  await writeFile(join(project, "package.json"), "{}");
});

afterAll(() => rm(project, { recursive: true, force: true }));

/** Starts a program of the project that is given the address of a server. */
async function start(name: string, source: string, address: string): Promise<ChildProcess & { output: () => string }> {
  await writeFile(join(project, name), source);
  const child = spawn(process.execPath, [name, address], { cwd: project, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  return Object.assign(child, { output: () => output });
}

const body = `
  const client = connect(process.argv[2]);
  const token = await client.withLock("a", (lock) => lock.token);
  const error = await client.acquire("a//b").catch((error) => error);
  console.log(String(token), error instanceof HoldfastError, error.reason);
  await client.close();`;

const programs = {
  "use.mjs": `import { connect, HoldfastError } from "@holdfast/client";\n${body}`,
  "use.cjs": `const { connect, HoldfastError } = require("@holdfast/client");\n(async () => {${body}})();`,
};

describe("the packed package", () => {
  it("holds what runs, its types, its manual and its licence, and nothing else", async () => {
    const names = await readdir(join(project, "node_modules/@holdfast/client"), { recursive: true });
    const files = names.filter((name) => name.includes("."));
    expect(files.filter((name) => !/^dist\/.*\.(js|d\.ts)$/.test(name)).sort()).toEqual(["README.md", "package.json"]);
    expect(names).toContain("LICENSE");
    expect(names).toContain("dist/index.js");
  });

  it.each(Object.entries(programs))("works from %s, which ends when the client is closed", async (name, source) => {
    await using server = await FakeServer.start();
    const child = await start(name, source, server.address);
    const session = await server.accept();
    session.grantAll();
    for (let kind = ""; kind !== "close"; ) [kind = ""] = await session.nextSketch();
    session.closed(Reason.CLOSED_BY_CLIENT);
    const [code] = await once(child, "exit");
    expect([child.output(), code]).toEqual(["1 true invalid\n", 0]);
  });

  it("has a second entry for the people on call", async () => {
    const source = `import { connectAdmin, EventKind } from "@holdfast/client/admin";
      await using admin = connectAdmin(process.argv[2], { callTimeoutMs: 500 });
      console.log(EventKind.FORCED, await admin.getStatus().catch(({ reason }) => reason));`;
    const child = await start("admin.mjs", source, "127.0.0.1:1");
    const [code] = await once(child, "exit");
    expect([child.output(), code]).toEqual(["6 unreachable\n", 0]);
    const names = await readdir(join(project, "node_modules/@holdfast/client"), { recursive: true });
    expect(names).toContain("dist/admin.d.ts");
  });

  it("keeps a program alive that holds a lock and does nothing else, and its heartbeats going", async () => {
    await using server = await FakeServer.start();
    const source = `import { connect } from "@holdfast/client"; await connect(process.argv[2]).acquire("a");`;
    const child = await start("hold.mjs", source, server.address);
    const session = await server.accept(4_500);
    session.grantAll();
    for (let heartbeats = 0; heartbeats < 5; heartbeats++) await session.heartbeats.take();
    expect(child.exitCode).toBeNull();
    child.kill("SIGKILL");
    await session.ended;
  });

  it("does not keep a program alive that never used its client", async () => {
    const source = `import { connect } from "@holdfast/client"; connect(process.argv[2]);`;
    const child = await start("idle.mjs", source, "127.0.0.1:1");
    expect(await once(child, "exit")).toEqual([0, null]);
  });

  it("says which Node it needs when it is imported by one that is too old", async () => {
    const source = `delete Promise.withResolvers; await import("@holdfast/client").catch((e) => console.log(e.message));`;
    const child = await start("old.mjs", source, "127.0.0.1:1");
    await once(child, "exit");
    expect(child.output()).toBe(`@holdfast/client needs Node 22.15 or newer, and this is ${process.version}\n`);
  });

  it("has types that a strict user can rely on, in modules and in CommonJS", async () => {
    const imports = {
      "types.mts": `import { connect, HoldfastError, LockLostError, decodeError, semaphore, shared, type HeldLock } from "@holdfast/client";`,
      "types.cts": `import holdfast = require("@holdfast/client");
        const { connect, HoldfastError, LockLostError, decodeError, semaphore, shared } = holdfast;
        type HeldLock = holdfast.HeldLock;`,
    };
    const use = `
      async function use(): Promise<string> {
        await using client = connect(["a:1", "b:1"], { ttlMs: 5000, tls: { ca: "pem" }, labels: { a: "b" } });
        const lock: HeldLock = await client.acquire("a", { waitMs: 5, signal: AbortSignal.timeout(1) });
        const token: bigint = lock.token;
        const tried: HeldLock | undefined = await client.tryAcquire(shared("a"));
        const n: number = await client.withLock(["a", semaphore("b", { limit: 2 })], { purpose: "p" }, () => 7);
        for await (const { name, holders } of client.listLocks("a")) console.log(name, holders[0]?.client?.host);
        for await (const { locks, caughtUp } of client.watchLocks({ name: "a" })) if (caughtUp) return locks[0]!.name;
        const { state } = await client.checkToken("a", token);
        try {
          await lock.update("x");
        } catch (error) {
          if (error instanceof LockLostError) return error.reason;
          if (error instanceof HoldfastError && error.reason === "busy") return error.holders[0]!.sessionId;
          // @ts-expect-error: the list of reasons is closed.
          if (error instanceof HoldfastError && error.reason === "bussy") return "";
          return decodeError({ code: 14, details: "x" }).message;
        }
        const released: "released" | "lost" = await lock.release();
        // @ts-expect-error: a token is no number.
        const wrong: number = lock.token;
        // @ts-expect-error: there is no such option.
        connect("a:1", { timeout: 5 });
        return [released, state, n, wrong, tried?.signal.aborted].join();
      }
      export = use;`;
    for (const [name, header] of Object.entries(imports))
      await writeFile(
        join(project, name),
        header + (name.endsWith(".mts") ? use.replace("export =", "export default") : use),
      );
    expect(await typeErrors(Object.keys(imports))).toBe("");
  });

  it("has a manual whose code compiles, and whose first lines take a lock", async () => {
    const blocks = [...(await readFile(join(packageFolder, "README.md"), "utf8")).matchAll(/```js\n([\s\S]*?)```/g)];
    const code = blocks.map(([, block]) => block!.replace(/^import .*\n/gm, ""));
    const source = `
      import { connect, Election, type LockLostError, semaphore, shared, WebLocks, type Client, type HeldLock } from "@holdfast/client";
      declare const client: Client, shutdown: AbortSignal, request: { signal: AbortSignal }, url: string;
      declare function save(token: bigint): Promise<void>;
      declare function stopLeading(loss: LockLostError): void;
      declare function ship(order: number, token: bigint, signal: AbortSignal): Promise<void>;
      declare function work(lock: HeldLock): Promise<void>;
      declare const read: typeof work, train: typeof work, transfer: typeof work;
      ${code.map((block, i) => `export async function block${i}() {\n${block}}`).join("\n")}`;
    await writeFile(join(project, "manual.mts"), source);
    expect(await typeErrors(["manual.mts"])).toBe("");

    await using server = await FakeServer.start();
    const ship = "const ship = async (order, token) => console.log(order, String(token));\n";
    const first = blocks[0]![1]!.replace("127.0.0.1:7400", server.address);
    const child = await start("first.mjs", ship + first, server.address);
    const session = await server.accept();
    session.grantAll();
    for (let kind = ""; kind !== "close"; ) [kind = ""] = await session.nextSketch();
    session.closed(Reason.CLOSED_BY_CLIENT);
    expect([await once(child, "exit"), child.output()]).toEqual([[0, null], "42 1\n"]);
  });
});

/** What the compiler has to say of files of the project, as a strict user has it. */
async function typeErrors(files: readonly string[]): Promise<string> {
  const compilerOptions = {
    target: "es2022",
    lib: ["es2022", "esnext.disposable"],
    module: "nodenext",
    types: ["node"],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    noEmit: true,
  };
  await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
  const { stdout } = await run(join(modules, ".bin/tsc"), ["-p", project]).catch((error) => error);
  return stdout;
}
