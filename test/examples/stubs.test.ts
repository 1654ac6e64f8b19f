import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { startRelay } from "../support/relay.ts";
import { useService } from "../support/service.ts";

const root = join(import.meta.dirname, "../..");

/** A program of examples/stubs: generated code and the language's gRPC, nothing of ours. */
interface Stub {
  readonly language: string;
  readonly source: string;
  /** Compiles it, with what it needs in `folder`; returns the command that runs it. */
  readonly build: (folder: string) => readonly string[];
}

const stubs: readonly Stub[] = [
  {
    language: "Go",
    source: "examples/stubs/go/main.go",
    build: (folder) => {
      const binary = join(folder, "stub");
      run("go", ["build", "-C", join(root, "examples/stubs/go"), "-o", binary, "."]);
      return [binary];
    },
  },
  {
    language: "Python",
    source: "examples/stubs/python/main.py",
    build: (folder) => {
      const python = run(join(root, "tools/python.sh"), []).trimEnd().split("\n").at(-1)!;
      const outputs = [`--python_out=${folder}`, `--grpc_python_out=${folder}`];
      run(python, ["-m", "grpc_tools.protoc", "-Iproto", ...outputs, "holdfast/v1/lock_service.proto"]);
      return ["env", `PYTHONPATH=${folder}`, python, join(root, "examples/stubs/python/main.py")];
    },
  },
];

function run(command: string, args: readonly string[]): string {
  const { status, stdout, error } = spawnSync(command, args, {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed: ${error ?? status}`);
  return stdout;
}

/** A stub that runs. Disposing of it kills it. */
class Running implements AsyncDisposable {
  readonly exited: Promise<number | null>;
  output = "";
  readonly #child: ChildProcess;

  constructor([program, ...args]: readonly string[], address: string, lock: string) {
    this.#child = spawn(program!, [...args, address, lock], { stdio: ["pipe", "pipe", "pipe"] });
    this.exited = once(this.#child, "close").then(([code]) => code);
    for (const stream of [this.#child.stdout!, this.#child.stderr!])
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.output += text;
      });
  }

  /** Its work is done. */
  finish(): void {
    this.#child.stdin!.write("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
  }
}

const service = useService();

describe.each(stubs)("generated code alone, in $language", ({ source, build }) => {
  let folder: string;
  let command: readonly string[];

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "holdfast-stub-"));
    command = build(folder);
  }, 300_000);
  afterAll(() => rmSync(folder, { recursive: true }));

  /** The token of the claim that holds a lock; `undefined` while none does. */
  async function tokenOf(name: string): Promise<bigint | undefined> {
    return (await service().getLock(name)).holders[0]?.fencingToken;
  }

  /** Resolves with the next token that a lock is held with, once the stub has printed it. */
  async function heldAnew(stub: Running, name: string, before = 0n): Promise<bigint> {
    let token: bigint | undefined;
    const isHeld = async () => {
      token = await tokenOf(name);
      return token !== undefined && token > before && stub.output.includes(String(token));
    };
    await eventually(isHeld, true, 40_000);
    return token!;
  }

  it("is a file of at most 40 lines", () => {
    const lines = readFileSync(join(root, source), "utf8").trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(40);
    expect(lines.filter((line) => line.length > 120)).toEqual([]);
  });

  it("holds a lock by Session until its work is done, then by Hold", async () => {
    await using stub = new Running(command, service().address(), "orders/42");
    const bySession = await heldAnew(stub, "orders/42");
    stub.finish();
    await heldAnew(stub, "orders/42", bySession);
    stub.finish();
    expect(await stub.exited).toBe(0);
    await eventually(() => tokenOf("orders/42"), undefined);
  });

  it("ends with an error when the connection breaks, and the lock with it", async () => {
    await using relay = await startRelay(service().address());
    await using stub = new Running(command, relay.endpoint, "orders/43");
    await heldAnew(stub, "orders/43");
    relay.cut();
    expect(await stub.exited).not.toBe(0);
  });
});
