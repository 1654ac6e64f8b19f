import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { root, temporaryFolder } from "../e2e/program.ts";
import { useService } from "../support/service.ts";
import { blocksOf, isAsShown } from "./page.ts";

const run = promisify(execFile);
const service = useService();

// The rest of the page is compiled and run by clients/java's own tests.
it("the page about Java goes from an empty folder to a held lock in its own words", { timeout: 600_000 }, async () => {
  const [install, pom, program, command, output] = blocksOf(readFileSync(join(root, "docs/clients/java.md"), "utf8"));
  const languages = [install, pom, program, command, output].map((block) => block?.language);
  expect(languages).toEqual(["sh", "xml", "java", "sh", "text"]);
  using folder = temporaryFolder();
  const shell = async (commands: string): Promise<string> => {
    // Not into the home folder of whoever runs the tests.
    const env = { ...process.env, HOLDFAST: root, MAVEN_OPTS: `-Dmaven.repo.local=${join(root, ".cache/m2")}` };
    return (await run("bash", ["-euc", commands], { cwd: folder.path, env })).stdout;
  };
  await shell(install!.text);
  writeFileSync(join(folder.path, "pom.xml"), pom!.text);
  mkdirSync(join(folder.path, "src/main/java"), { recursive: true });
  const source = program!.text.replaceAll("127.0.0.1:7400", service().address());
  writeFileSync(join(folder.path, "src/main/java/FirstLock.java"), source);
  // Maven colours even what it does not say.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out.
  const said = (await shell(command!.text)).replaceAll(/\u001b\[\d*m/g, "");
  expect(said).toSatisfy((text: string) => isAsShown(text, output!.text), `it is not\n${output!.text}`);
});
