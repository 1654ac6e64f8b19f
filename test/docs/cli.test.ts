import { execFile } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { exitCode, exitCodeTexts } from "../../clients/cli/exit-code.ts";
import { connect } from "../../clients/typescript/src/index.ts";
import { holdfast, root, temporaryFolder } from "../e2e/program.ts";
import { useService } from "../support/service.ts";
import { blocksOf } from "./page.ts";

const page = readFileSync(join(root, "docs/cli.md"), "utf8");
const script = blocksOf(page).find(({ text }) => text.includes("case $?"))!.text;
const service = useService();

/** What the page's script prints, with a job that ends so. */
async function runScript(job: string, server = service().address()): Promise<string> {
  using folder = temporaryFolder();
  mkdirSync(join(folder.path, "bin"));
  symlinkSync(join(root, "bin/holdfast"), join(folder.path, "bin/holdfast"));
  writeFileSync(join(folder.path, "job.sh"), `#!/bin/sh\n${job}\n`);
  chmodSync(join(folder.path, "job.sh"), 0o755);
  const env = { ...process.env, PATH: `${folder.path}/bin:${process.env.PATH}`, HOLDFAST_SERVER: server };
  return (await promisify(execFile)("bash", ["-euc", script], { cwd: folder.path, env })).stdout;
}

describe("the page about the command line", () => {
  it("has every exit code with the words of the manual", () => {
    const rows = [...page.matchAll(/^\| (\d+) \| (.*) \|$/gm)].map(([, code, text]) => [Number(code), text]);
    const known = Object.entries(exitCode).map(([name, code]) => [code, exitCodeTexts[name as keyof typeof exitCode]]);
    expect(rows).toEqual(known);
  });

  it("has every command", async () => {
    await using program = holdfast(["--help"]);
    await program.ended;
    const [, list] = /^COMMANDS\n([\s\S]*?)\n\n/m.exec(program.stdout)!;
    const commands = [...list!.matchAll(/^ {4}(\S+)/gm)].map(([, name]) => name).filter((name) => name !== "help");
    for (const name of commands) expect(page).toMatch(new RegExp(`^\\|.*\`${name}\\b`, "m"));
  });

  it("has a script that tells apart what can go wrong", { timeout: 120_000 }, async () => {
    expect(await runScript("echo ran")).toBe("ran\n");
    expect(await runScript("exit 7")).toBe("the job failed\n");
    await using client = connect(service().address());
    await using _lock = await client.acquire("nightly");
    expect(await runScript("echo ran")).toBe("somebody else runs it\n");
    expect(await runScript("echo ran", "127.0.0.1:1")).toBe("no lock service\n");
  });
});
