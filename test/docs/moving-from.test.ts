import { execFile } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root, temporaryFolder } from "../e2e/program.ts";
import { useService } from "../support/service.ts";
import { blocksOf, isAsShown } from "./page.ts";

const run = promisify(execFile);
const blocks = blocksOf(readFileSync(join(root, "docs/moving-from.md"), "utf8"));
const service = useService();
let folder: ReturnType<typeof temporaryFolder>;

beforeAll(() => {
  folder = temporaryFolder();
  mkdirSync(join(folder.path, "bin"));
  symlinkSync(join(root, "bin/holdfast"), join(folder.path, "bin/holdfast"));
});

afterAll(() => folder[Symbol.dispose]());

/** A program of the page, with the server of this test in it. */
function save(name: string, text: string): void {
  writeFileSync(join(folder.path, name), text.replaceAll("127.0.0.1:7400", service().address()));
}

async function shell(command: string): Promise<string> {
  const PATH = `${folder.path}/bin:${join(root, "node_modules/.bin")}:${process.env.PATH}`;
  const env = { ...process.env, PATH, HOLDFAST_SERVER: service().address(), GOFLAGS: "-mod=mod", GOWORK: "off" };
  return (await run("bash", ["-euc", command], { cwd: folder.path, env })).stdout;
}

/** What is shown behind a block. */
const shownAfter = (text: string) => blocks[blocks.findIndex((block) => block.text === text) + 1]?.text ?? "";

const textsIn = (language: string) => blocks.filter((block) => block.language === language).map(({ text }) => text);

describe("the page about moving from another lock", { timeout: 180_000 }, () => {
  it.each(textsIn("ts"))("has TypeScript that prints what it says: %s", async (text) => {
    // From the sources: what is packed is seen elsewhere.
    save("moved.ts", text.replace("@holdfast/client", join(root, "clients/typescript/src/index.ts")));
    expect(await shell("node moved.ts")).toSatisfy((said: string) => isAsShown(said, shownAfter(text)));
  });

  it.each(textsIn("sh"))("has commands that print what it says: %s", async (text) => {
    expect(await shell(text)).toSatisfy((said: string) => isAsShown(said, shownAfter(text)));
  });

  it.each(textsIn("go"))("has Go that runs: %s", async (text) => {
    cpSync(join(root, "examples/go.sum"), join(folder.path, "go.sum"));
    const module = readFileSync(join(root, "examples/go.mod"), "utf8");
    save("go.mod", module.replace("../clients/go", join(root, "clients/go")));
    save(
      "main.go",
      `package main
import ("context"; "fmt"; "log"; "time"; holdfast "github.com/holdfast-lock/holdfast/clients/go")
func main() { if err := moved(context.Background()); err != nil { log.Fatal(err) } }
func moved(ctx context.Context) error {\n${text}\nreturn nil }`,
    );
    expect(await shell("go run .")).toBe("held: true\n");
  });

  it("has Java that runs", async () => {
    const java = textsIn("java");
    save(
      "Moved.java",
      `import io.holdfast.client.*;
import java.util.concurrent.TimeUnit;
public final class Moved {
  public static void main(String[] args) throws Exception {
    try (HoldfastClient client = HoldfastClient.connect("127.0.0.1:7400")) {
${java.map((text) => `{\n${text}\n}`).join("\n")}
    }
  }
}`,
    );
    const said = await shell(`${join(root, "examples/java.sh")} ${join(folder.path, "Moved.java")}`);
    expect(said).toBe("held: true, with a token: true\nwritten and read\n");
  });
});
