import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

/** A disk that takes longer to confirm what it has written. Disposing of it makes it as fast as it was. */
export interface SlowDisk extends AsyncDisposable {
  readonly delayMs: number;
}

/**
 * Delays each fdatasync of running processes by so much, as seen by these; resolves when that has begun. Needs root, and
 * strace, which is installed with apt-get where it is missing.
 */
export async function slowDisk(pids: readonly number[], delayMs: number): Promise<SlowDisk> {
  installStrace();
  const tracers = await Promise.all(pids.map((pid) => trace(pid, delayMs)));
  return {
    delayMs,
    async [Symbol.asyncDispose]() {
      await Promise.all(
        tracers.map(async (tracer) => {
          if (tracer.exitCode !== null || tracer.signalCode !== null) return;
          const ended = once(tracer, "exit");
          tracer.kill("SIGINT");
          await ended;
        }),
      );
    },
  };
}

/**
 * What to run instead of a program, with the same arguments, to have it on a slow disk from its start on. Only what is
 * delayed stops at the tracer; of a program that runs already, everything does, which makes all of it slow.
 */
export async function onSlowDisk(program: string, delayMs: number, folder: string): Promise<string> {
  installStrace();
  const path = join(folder, "on-slow-disk");
  const what = `-e trace=fdatasync -e inject=fdatasync:delay_enter=${delayMs}ms -o /dev/null`;
  // The tracer is a grandchild: signals go to the program itself.
  await writeFile(path, `#!/bin/sh\nexec strace -D -q -f --seccomp-bpf ${what} ${program} "$@"\n`, { mode: 0o755 });
  return path;
}

function trace(pid: number, delayMs: number): Promise<ChildProcess> {
  const what = ["-e", "trace=fdatasync", "-e", `inject=fdatasync:delay_enter=${delayMs}ms`];
  const tracer = spawn("strace", ["-f", "-p", String(pid), ...what, "-o", "/dev/null"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  return new Promise((resolve, reject) => {
    let said = "";
    tracer.once("error", reject);
    tracer.once("exit", () => reject(new Error(`strace cannot slow process ${pid}: ${said}`)));
    // Read to its end: it goes on telling of each thread that it meets, and would die of a pipe that nobody reads.
    tracer.stderr!.setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk;
      if (/Process \d+ attached/.test(said)) resolve(tracer);
    });
  });
}

function installStrace(): void {
  if (spawnSync("strace", ["-V"]).status === 0) return;
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  for (const args of [["update"], ["install", "-y", "--no-install-recommends", "strace"]])
    if (spawnSync("apt-get", args, { stdio: ["ignore", "ignore", "inherit"], env }).status !== 0)
      throw new Error("a slow disk needs strace: apt-get install strace");
}
