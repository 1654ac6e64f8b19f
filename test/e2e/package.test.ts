import { execFile } from "node:child_process";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEtcd, type TestEtcd } from "../support/etcd.ts";
import { Program, root, temporaryFolder, whenReady } from "./program.ts";

const run = promisify(execFile);
let etcd: TestEtcd;
let folder: ReturnType<typeof temporaryFolder>;
/** The command as whoever installed the package has it. */
let command: string;

beforeAll(async () => {
  etcd = await startEtcd();
  folder = temporaryFolder();
  const { stdout } = await run(process.execPath, [join(root, "scripts/pack.ts"), folder.path, "command"], {
    env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}` },
  });
  const install = ["install", "--global", "--prefix", folder.path, "--prefer-offline", "--no-audit", "--no-fund"];
  await run("npm", [...install, stdout.trimEnd().split("\n").at(-1)!], { cwd: folder.path });
  command = join(folder.path, "bin/holdfast");
}, 300_000);

afterAll(async () => {
  folder[Symbol.dispose]();
  await etcd[Symbol.asyncDispose]();
});

const holdfast = (args: readonly string[], environment: Readonly<Record<string, string>> = {}) =>
  new Program("env", [`PATH=${join(root, "node_modules/.bin")}:${process.env.PATH}`, command, ...args], environment);

async function output(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<string> {
  await using program = holdfast(args, environment);
  const { code } = await program.ended;
  return `${program.stdout}${program.stderr}${code}`;
}

describe("the packed command line, installed with npm install -g", () => {
  it("is the command holdfast, with its version and its manual", async () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    expect(await output(["--version"])).toBe(`${version}\n0`);
    expect(await output(["lock", "--help"])).toMatch(/^NAME\n {4}holdfast lock - [\s\S]*EXIT STATUS[\s\S]*\n0$/);
  });

  it("runs a server, with the console in it, and takes locks from it", async () => {
    const flags = ["--etcd-endpoints", etcd.endpoint, "--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"];
    await using server = await whenReady(holdfast(["server", ...flags]));
    const where = { HOLDFAST_SERVER: server.grpc };
    expect(await output(["lock", "a", "--", "sh", "-c", 'echo "$HOLDFAST_LOCK"; exit 7'], where)).toBe("a\n7");
    expect(await output(["ls"], where)).toBe("holdfast: nobody holds a lock\n0");
    expect(await (await fetch(server.http)).text()).toContain("<script");
  });

  it("brings what it needs to run and nothing that it was made with", () => {
    const installed = join(folder.path, "lib/node_modules/holdfast");
    const names = readdirSync(installed, { recursive: true, encoding: "utf8" });
    const own = names.filter((name) => !name.startsWith("node_modules") && lstatSync(join(installed, name)).isFile());
    expect(own.filter((name) => /\.ts$|(^|\/)test\//.test(name))).toEqual([]);
    const packages = names.filter((name) => /(^|\/)node_modules\/(@[^/]+\/)?[^@./][^/]*$/.test(name)).length;
    console.log(`holdfast brings ${packages} packages`);
    expect(packages).toBeLessThan(60);
  });
});
