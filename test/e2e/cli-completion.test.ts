import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, connect } from "../../clients/typescript/src/index.ts";
import { startEtcd, type TestEtcd } from "../support/etcd.ts";
import { eventually } from "../support/eventually.ts";
import { type RunningServer, root, startServer, temporaryFolder } from "./program.ts";

let etcd: TestEtcd;
let server: RunningServer;
let client: Client;
let folder: ReturnType<typeof temporaryFolder>;

beforeAll(async () => {
  install(["zsh", "fish"]);
  etcd = await startEtcd();
  server = await startServer(["--etcd-endpoints", etcd.endpoint, "--log-level", "error"]);
  client = connect(server.grpc, { ttlMs: 120_000 });
  await client.acquire("orders/with space:1");
  folder = temporaryFolder();
  mkdirSync(join(folder.path, "bin"));
  symlinkSync(join(root, "bin/holdfast"), join(folder.path, "bin/holdfast"));
}, 180_000);

afterAll(async () => {
  folder[Symbol.dispose]();
  await client.close();
  await server[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
});

/** Debian's packages, where they are missing. */
function install(shells: readonly string[]): void {
  const missing = shells.filter((shell) => !existsSync(`/usr/bin/${shell}`) && !existsSync(`/bin/${shell}`));
  if (missing.length === 0) return;
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  execFileSync("apt-get", ["update"], { stdio: "ignore", env });
  execFileSync("apt-get", ["install", "-y", "--no-install-recommends", ...missing], { stdio: "ignore", env });
}

const environment = () => ({
  ...process.env,
  PATH: `${folder.path}/bin:${process.env.PATH}`,
  HOME: folder.path,
  HOLDFAST_SERVER: server.grpc,
  TERM: "dumb",
});

/** A shell on a terminal, as somebody types into it. */
class Terminal implements AsyncDisposable {
  readonly #child: ChildProcess;

  constructor(command: string) {
    this.#child = spawn("script", ["-qfec", command, "/dev/null"], {
      env: environment(),
      stdio: ["pipe", "ignore", "ignore"],
    });
  }

  type(keys: string): void {
    this.#child.stdin!.write(keys);
  }

  /** The line as it stands after these keys; Ctrl-X, which ends it, makes the shell write it to a file. */
  async line(keys: string): Promise<string> {
    const path = join(folder.path, "line");
    writeFileSync(path, "");
    // Ctrl-U first: an empty line.
    this.type(`\u0015${keys}\u0018`);
    await eventually(() => readFileSync(path, "utf8").endsWith("\n"), true, 50_000);
    return readFileSync(path, "utf8").slice(0, -1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin!.end("\u0015exit\n");
    await once(this.#child, "close");
  }
}

const shells = {
  bash: {
    command: "bash --norc --noprofile -i",
    setUp: `show() { printf '%s\\n' "$READLINE_LINE" > ~/line; }; bind -x '"\\C-x": show'; source <(holdfast completion bash)\n`,
  },
  zsh: {
    command: "zsh -f -i",
    setUp: `autoload -Uz compinit; compinit -u; show() { print -r -- "$BUFFER" > ~/line; }; zle -N show; bindkey -e; bindkey '^X' show; source <(holdfast completion zsh)\n`,
  },
};

describe.each(Object.entries(shells))("completion in %s", (_, { command, setUp }) => {
  it("finishes commands, options and names of locks", { timeout: 180_000 }, async () => {
    await using terminal = new Terminal(command);
    terminal.type(setUp);
    expect(await terminal.line("holdfast lea\t")).toBe("holdfast leader ");
    expect(await terminal.line("holdfast lock --sem\t")).toBe("holdfast lock --semaphore ");
    expect(await terminal.line("holdfast completion f\t")).toBe("holdfast completion fish ");
    // Names come within a second or not at all: on a busy machine one presses the key again.
    let line = "";
    for (let i = 0; i < 10 && !line.includes("orders"); i++) line = await terminal.line("holdfast get ord\t");
    expect(line).toMatch(/^holdfast get orders\/with\\ space\\?:1 $/);
    // After -- it is about files again.
    expect(await terminal.line(`holdfast lock x -- ${folder.path}/bi\t`)).toBe(
      `holdfast lock x -- ${folder.path}/bin/`,
    );
  });
});

describe("completion in fish", () => {
  const candidates = (line: string): string[] =>
    execFileSync(
      "fish",
      ["--no-config", "-c", `holdfast completion fish | source; complete -C ${JSON.stringify(line)}`],
      {
        env: environment(),
        encoding: "utf8",
      },
    )
      .split("\n")
      .filter((one) => one !== "");

  it("finishes commands, options and names of locks, each with what it means", { timeout: 180_000 }, () => {
    expect(candidates("holdfast lea")).toEqual(["leader\tTell who leads."]);
    expect(candidates("holdfast lock --sem")).toEqual([expect.stringMatching(/^--semaphore\tat most n/)]);
    // Names come within a second or not at all: on a busy machine one asks again.
    let names: string[] = [];
    for (let i = 0; i < 10 && names.length === 0; i++) names = candidates("holdfast get ord");
    expect(names).toEqual([expect.stringMatching(/^orders\/with space:1\t?$/)]);
    expect(candidates(`holdfast lock x -- ${folder.path}/bi`)).toEqual([expect.stringContaining("/bin/")]);
  });
});
