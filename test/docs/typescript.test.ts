import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root, temporaryFolder } from "../e2e/program.ts";
import { useService } from "../support/service.ts";
import { blocksOf, isAsShown } from "./page.ts";

const run = promisify(execFile);
const page = readFileSync(join(root, "docs/clients/typescript.md"), "utf8");
const blocks = blocksOf(page);
const [setUp, ...rest] = blocks;
const service = useService();
let folder: ReturnType<typeof temporaryFolder>;

/** What the page's commands print in the project that its first ones made. */
async function shell(commands: string): Promise<string> {
  const env = { ...process.env, HOLDFAST: root, PATH: `${resolve(root, "node_modules/.bin")}:${process.env.PATH}` };
  const { stdout } = await run("bash", ["-euc", commands], { cwd: folder.path, env });
  return stdout;
}

beforeAll(async () => {
  folder = temporaryFolder();
  await shell(setUp!.text);
}, 300_000);

afterAll(() => folder[Symbol.dispose]());

/** The programs of the page: each is shown, run, and its output shown. */
const programs = rest
  .filter(({ language }) => language === "ts")
  .map(({ text }, i) => {
    const name = /^\/\/ (\S+\.ts)\n/.exec(text)?.[1] ?? "";
    return { name, text, command: rest[3 * i + 1]?.text, output: rest[3 * i + 2]?.text };
  });

describe("the page about TypeScript", () => {
  it("goes from an empty folder to a project in its own words", () => {
    expect(setUp?.language).toBe("sh");
    expect(JSON.parse(readFileSync(join(folder.path, "package.json"), "utf8"))).toMatchObject({
      type: "module",
      dependencies: { "@holdfast/client": expect.stringMatching(/^file:.*dist\//) },
    });
    expect(rest.map(({ language }) => language)).toEqual(programs.flatMap(() => ["ts", "sh", "text"]));
  });

  it.each(programs)(
    "$name prints what the page says",
    { timeout: 120_000 },
    async ({ name, text, command, output }) => {
      expect(command).toBe(`node ${name}\n`);
      writeFileSync(join(folder.path, name), text.replaceAll("127.0.0.1:7400", service().address()));
      expect(await shell(command!)).toSatisfy((said: string) => isAsShown(said, output!), `it is not\n${output}`);
    },
  );

  it("has programs without a mistake that a strict compiler would find", { timeout: 120_000 }, async () => {
    const compilerOptions = {
      ...{ target: "es2024", lib: ["es2024", "esnext.disposable"], module: "nodenext", strict: true, noEmit: true },
      ...{ exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false, types: ["node"] },
      typeRoots: [join(root, "node_modules/@types")],
    };
    const files = programs.map(({ name }) => name);
    for (const { name, text } of programs) writeFileSync(join(folder.path, name), text);
    writeFileSync(join(folder.path, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
    expect(await shell("tsc -p . || true")).toBe("");
  });

  it("has every option of the library in its table, and no other", () => {
    const source = readFileSync(join(root, "clients/typescript/src/options.ts"), "utf8");
    const [, options] = /export interface ConnectOptions \{\n([\s\S]*?)\n\}/.exec(source)!;
    const names = [...options!.matchAll(/^ {2}readonly (\w+)\?:/gm)].map(([, name]) => name);
    expect([...page.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name).toSorted()).toEqual(names.toSorted());
  });

  it("brings a project few packages", async () => {
    const tree = JSON.parse(await shell("npm ls --all --json"));
    const names = new Set<string>();
    const collect = ({ dependencies = {} }: { dependencies?: Record<string, object> }) => {
      for (const [name, below] of Object.entries(dependencies)) {
        names.add(name);
        collect(below);
      }
    };
    collect(tree);
    console.log(`@holdfast/client brings ${names.size - 1} packages`);
    expect(names.size).toBeLessThan(40);
  });
});
