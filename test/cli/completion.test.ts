import { Argument, Command, Option } from "commander";
import { describe, expect, it } from "vitest";
import { complete } from "../../clients/cli/completion.ts";

const program = new Command("holdfast").version("1");
program
  .command("lock")
  .description("Lock.")
  .argument("<name...>")
  .option("--try", "now or not at all")
  .option("--wait <duration>", "at most so long");
program.command("completion").addArgument(new Argument("<shell>").choices(["bash", "zsh"]));
program
  .command("server")
  .addOption(new Option("--log <level>").choices(["info", "warn"]))
  .addOption(new Option("--secret").hideHelp());
program.command("hidden", { hidden: true });

const locks = ["orders/1", "orders/2", "other"];
const find = async (prefix: string) => locks.filter((name) => name.startsWith(prefix));
const words = async (...typed: string[]) => (await complete(program, typed, find)).map(({ word }) => word);

describe("the last word of a command line", () => {
  it("is a command, told with what it does, and never a hidden one", async () => {
    expect(await words("")).toEqual(["lock", "completion", "server", "help"]);
    expect(await complete(program, ["lo"], find)).toEqual([{ word: "lock", text: "Lock." }]);
    expect(await words("hid")).toEqual([]);
  });

  it("is an option that was not given yet", async () => {
    expect(await words("lock", "-")).toEqual(["--try", "--wait", "--help"]);
    expect(await words("lock", "--try", "--")).toEqual(["--wait", "--help"]);
    expect(await words("lock", "a", "--w")).toEqual(["--wait"]);
    expect(await words("server", "--s")).toEqual([]);
    expect(await words("--v")).toEqual(["--version"]);
  });

  it("is a value where an option takes one, if its values are known", async () => {
    expect(await words("server", "--log", "")).toEqual(["info", "warn"]);
    expect(await words("server", "--log", "w")).toEqual(["warn"]);
    expect(await words("lock", "--wait", "")).toEqual([]);
    expect(await words("completion", "z")).toEqual(["zsh"]);
  });

  it("is the name of a lock, as often as there may be one", async () => {
    expect(await words("lock", "--wait", "5s", "orders/")).toEqual(["orders/1", "orders/2"]);
    expect(await words("lock", "orders/1", "ot")).toEqual(["other"]);
    expect(await words("completion", "bash", "")).toEqual([]);
  });

  it("is the shell's own matter after --, and nobody's behind what is unknown", async () => {
    expect(await words("lock", "a", "--", "")).toEqual([]);
    expect(await words("no-such", "")).toEqual([]);
  });
});
