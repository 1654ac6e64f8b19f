import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { blocksOf, isAsShown } from "../docs/page.ts";
import { root } from "../e2e/program.ts";
import { useService } from "../support/service.ts";

const blocks = blocksOf(readFileSync(join(root, "examples/README.md"), "utf8"));
const service = useService();

/** The commands of the page, each with what it prints. What `make demo` prints is seen by the demo's own test. */
const commands = blocks
  .map(({ language, text }, i) => ({ language, command: text.trimEnd(), shown: blocks[i + 1]?.text ?? "" }))
  .filter(({ language, command }) => language === "sh" && command !== "make demo");

async function run(command: string): Promise<string> {
  const PATH = `${join(root, "bin")}:${join(root, "node_modules/.bin")}:${process.env.PATH}`;
  // The others have that long to come and find the job running.
  const env = { ...process.env, PATH, HOLDFAST_SERVER: service().address(), JOB_SECONDS: "12" };
  return (await promisify(execFile)("bash", ["-euc", command], { cwd: root, env })).stdout;
}

describe("an example", { timeout: 600_000 }, () => {
  it("is there for each thing that people build", () => {
    expect(commands.map(({ command }) => command)).toEqual([
      "node examples/order-once/order-once.ts",
      "node examples/order-once/order-once.ts --without-lock",
      "go run -C examples ./one-withdrawal",
      "examples/java.sh price-change/PriceChange.java",
      "examples/java.sh price-change/PriceChange.java --without-lock",
      "examples/nightly-job/hosts.sh",
    ]);
  });

  it.each(commands)("prints what its page says: $command", async ({ command, shown }) => {
    const said = await run(command);
    expect(said).toSatisfy((text: string) => isAsShown(text, shown));
    // Numbers count where they are the point.
    if (!command.includes("--without-lock") && !command.includes("nightly")) expect(said).toBe(shown);
  });
});
