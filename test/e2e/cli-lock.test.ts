import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connect } from "../../clients/typescript/src/index.ts";
import { startEtcd, type TestEtcd } from "../support/etcd.ts";
import { holdfast, type Program, type RunningServer, startServer, temporaryFolder } from "./program.ts";

let etcd: TestEtcd;
let server: RunningServer;

beforeAll(async () => {
  etcd = await startEtcd();
  server = await startServer(flags());
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
});

/** Servers that tell clients of no other: one that is stopped is missed. */
const flags = () => ["--etcd-endpoints", etcd.endpoint, "--log-level", "error", "--advertise-address", "none"];

/** `holdfast lock` against the server of these tests. */
function lock(args: readonly string[], address = server.grpc): Program {
  return holdfast(["lock", ...args], { HOLDFAST_SERVER: address });
}

/** The exit code of `holdfast lock`, and what it wrote on standard error. */
async function outcome(args: readonly string[], address?: string): Promise<string> {
  await using program = lock(args, address);
  const { code, signal } = await program.ended;
  return `${code ?? signal} ${program.stderr.trimEnd()}`.trim();
}

/** By the clock that every program can read in /proc/uptime, in seconds. */
const uptimeS = () => Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);

/** Waits until nobody holds a lock and nobody waits for it. */
async function free(name: string): Promise<void> {
  await using client = connect(server.grpc);
  for await (const { locks } of client.watchLocks({ name }))
    if (locks.length === 0 || locks.every(({ state }) => state === "free")) return;
}

describe("holdfast lock", () => {
  it("runs a command with the lock's name and token in its environment, and passes its output on", async () => {
    await using program = lock([
      "a name/with ünicode",
      "--",
      "sh",
      "-c",
      'echo "$HOLDFAST_LOCK $HOLDFAST_TOKEN"; echo e >&2',
    ]);
    expect(await program.ended, program.lastWords).toEqual({ code: 0, signal: null });
    expect(program.stdout).toMatch(/^a name\/with ünicode [1-9]\d*\n$/);
    expect(program.stderr).toBe("e\n");
  });

  it("holds the lock while the command runs, and tells others why", async () => {
    await using program = lock(["busy/1", "--purpose", "a release", "--", "sh", "-c", "echo in; exec sleep 60"]);
    await program.saw(/in/);
    await using client = connect(server.grpc);
    const { holders } = await client.getLock("busy/1");
    expect(holders).toMatchObject([{ purpose: "a release", client: { name: "holdfast", pid: program.pid } }]);
    program.kill("SIGTERM");
    await program.ended;
    expect(await client.getLock("busy/1")).toMatchObject({ state: "free" });
  });

  it("passes the command's exit code on, and a signal as a shell does", async () => {
    expect(await outcome(["code/1", "--", "sh", "-c", "exit 17"])).toBe("17");
    expect(await outcome(["code/1", "--", "sh", "-c", "kill -9 $$"])).toBe("137");
  });

  it("says that there is no such command, or that it cannot be run", async () => {
    expect(await outcome(["none/1", "--", "no-such-command"])).toBe("127 holdfast: no-such-command: not found");
    expect(await outcome(["none/1", "--", "/etc/passwd"])).toMatch(
      /^126 holdfast: \/etc\/passwd: cannot be run: .*EACCES/,
    );
    await free("none/1");
  });

  it("runs nothing when the lock is taken, or not free in time, and says by whom", async () => {
    await using holder = lock(["taken/1", "--", "sh", "-c", "echo in; exec sleep 60"]);
    await holder.saw(/in/);
    using folder = temporaryFolder();
    const touch = ["--", "touch", join(folder.path, "ran")];
    const by = `held by holdfast@\\S+ \\(${holder.pid}\\)`;
    expect(await outcome(["--try", "taken/1", ...touch])).toMatch(new RegExp(`^201 holdfast: .*; ${by}$`));
    expect(await outcome(["--wait", "3s", "taken/1", ...touch])).toMatch(new RegExp(`^201 holdfast: .*; ${by}$`));
    expect(() => readFileSync(join(folder.path, "ran"))).toThrow();
    await using client = connect(server.grpc);
    expect(await client.getLock("taken/1")).toMatchObject({ waiterCount: 0 });
  });

  it("waits, and runs when it is its turn", async () => {
    await using first = lock(["turn/1", "--", "sh", "-c", 'echo "$HOLDFAST_TOKEN"; exec sleep 60']);
    await first.saw(/\n/);
    await using second = lock(["turn/1", "--", "sh", "-c", 'echo "$HOLDFAST_TOKEN"']);
    await using client = connect(server.grpc);
    for await (const { locks } of client.watchLocks({ name: "turn/1" })) if (locks[0]?.waiterCount === 1) break;
    first.kill("SIGTERM");
    expect(await second.ended, second.lastWords).toEqual({ code: 0, signal: null });
    expect(BigInt(second.stdout)).toBeGreaterThan(BigInt(first.stdout));
  });

  it("gives its place up on a signal", async () => {
    await using first = lock(["turn/2", "--", "sh", "-c", "echo in; exec sleep 60"]);
    await first.saw(/in/);
    await using second = lock(["turn/2", "--", "echo", "ran"]);
    await using client = connect(server.grpc);
    for await (const { locks } of client.watchLocks({ name: "turn/2" })) if (locks[0]?.waiterCount === 1) break;
    second.kill("SIGINT");
    expect(await second.ended, second.lastWords).toEqual({ code: 130, signal: null });
    expect(second.stdout).toBe("");
    expect(await client.getLock("turn/2")).toMatchObject({ waiterCount: 0 });
  });

  it("holds a lock together with others that share it, and keeps out one that does not", async () => {
    await using first = lock(["--shared", "kind/1", "--", "sh", "-c", "echo in; exec sleep 60"]);
    await first.saw(/in/);
    expect(await outcome(["--shared", "--try", "kind/1", "--", "true"])).toBe("0");
    expect(await outcome(["--try", "kind/1", "--", "true"])).toMatch(/^201 /);
  });

  it("is one of at most n, or takes several of n, and keeps to the n of others", async () => {
    const semaphore = (...args: string[]) => ["--semaphore", "3", ...args, "kind/2"];
    await using first = lock([...semaphore("--permits", "2"), "--", "sh", "-c", "echo in; exec sleep 60"]);
    await first.saw(/in/);
    await using second = lock([...semaphore(), "--", "sh", "-c", "echo in; exec sleep 60"]);
    await second.saw(/in/);
    expect(await outcome([...semaphore("--try"), "--", "true"])).toMatch(/^201 .* and 1 more$/);
    expect(await outcome(["--semaphore", "4", "kind/2", "--", "true"])).toMatch(
      /^201 holdfast: .*semaphore of 4.*semaphore of 3/,
    );
  });

  it("holds several locks or none, and tells the command all names and tokens", async () => {
    const names = ["several/1", "several/b c", "several/3"];
    const say = 'echo "$HOLDFAST_LOCK $HOLDFAST_TOKEN"; echo "$HOLDFAST_LOCKS"; echo "$HOLDFAST_TOKENS"; exec sleep 60';
    await using holder = lock([...names, "--", "sh", "-c", say]);
    const [, token] = await holder.saw(/^several\/1 (\d+)\nseveral\/1\nseveral\/b c\nseveral\/3\n\d+\n\d+\n\d+\n/);
    for (const name of names) expect(await outcome(["--try", "other", name, "--", "true"])).toMatch(/^201 /);
    expect(await outcome(["--try", "other", "--", "true"])).toBe("0");
    await using client = connect(server.grpc);
    const { holders } = await client.getLock("several/1");
    expect(holders).toMatchObject([{ token: BigInt(token!), lockCount: 3 }]);
  });

  it.each(["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"] as const)("passes %s on to the command", async (signal) => {
    const trap = `trap 'echo got; exit 3' ${signal.slice(3)}; echo in; while :; do sleep 0.05; done`;
    await using program = lock([`signal/${signal}`, "--", "sh", "-c", trap]);
    await program.saw(/in/);
    program.kill(signal);
    expect(await program.ended, program.lastWords).toEqual({ code: 3, signal: null });
    expect(program.stdout).toBe("in\ngot\n");
  });

  it.each(["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"] as const)("stops waiting on %s", async (signal) => {
    await using client = connect(server.grpc);
    const name = `signal/waiting/${signal}`;
    await using _held = await client.acquire(name);
    await using program = lock([name, "--", "true"]);
    for await (const { locks } of client.watchLocks({ name })) if (locks[0]?.waiterCount === 1) break;
    program.kill(signal);
    expect(await program.ended, program.lastWords).toEqual({ code: 128 + constants.signals[signal], signal: null });
    expect(await client.getLock(name)).toMatchObject({ waiterCount: 0 });
  });

  it("refuses permits of no semaphore", async () => {
    expect(await outcome(["--permits", "3", "x", "--", "true"])).toMatch(/^2 .*--semaphore/);
  });

  it("says that no server can be reached", async () => {
    await using etcd = await startEtcd();
    const gone = await startServer(["--etcd-endpoints", etcd.endpoint]);
    await gone[Symbol.asyncDispose]();
    expect(await outcome(["--wait", "300ms", "x", "--", "true"], gone.grpc)).toMatch(
      `202 holdfast: no server answers at ${gone.grpc}: `,
    );
  });

  it("names what is wrong with its arguments", async () => {
    expect(await outcome(["a//b", "--", "true"])).toMatch(/^2 holdfast: .*"a\/\/b".*empty segment/);
    expect(await outcome(["--wait", "5", "x", "--", "true"])).toMatch(
      /^2 holdfast: option '--wait <duration>' argument '5' is invalid. Give/,
    );
    expect(await outcome(["--wait", "5s", "--try", "x", "--", "true"])).toMatch(
      /^2 holdfast: option '--try' cannot be used with option '--wait/,
    );
    expect(await outcome(["x"])).toBe("2 holdfast: give the command to run, after --");
    expect(await outcome(["x", "--"])).toBe("2 holdfast: give the command to run, after --");
    expect(await outcome(["x", "true"])).toBe("2 holdfast: give the command to run, after --");
    expect(await outcome(["--", "true"])).toBe("2 holdfast: missing required argument 'name', before --");
    expect(await outcome(["--semaphore", "0", "x", "--", "true"])).toMatch(/^2 holdfast: .*from 1 to 4294967295/);
    expect(await outcome(["--semaphore", "2", "--permits", "3", "x", "--", "true"])).toMatch(/^2 holdfast: permits 3/);
    expect(await outcome(["--semaphore", "2", "--shared", "x", "--", "true"])).toMatch(
      /^2 holdfast: option '--shared' cannot be used with option '--semaphore/,
    );
    expect(await outcome(["x", "x", "--", "true"])).toMatch(/^2 holdfast: .*once/);
    expect(await outcome(["--ttl", "1s", "x", "--", "true"])).toMatch(
      /^2 holdfast: option '--ttl <duration>'.* from 2s /,
    );
    const problem = 'is invalid. "http://a:1" is not "host:port", such as 127.0.0.1:7400.';
    expect(await outcome(["--server", "http://a:1", "x", "--", "true"])).toBe(
      `2 holdfast: option '--server <list>' argument 'http://a:1' ${problem}`,
    );
    expect(await outcome(["x", "--", "true"], "http://a:1")).toBe(
      `2 holdfast: option '--server <list>' value 'http://a:1' from env 'HOLDFAST_SERVER' ${problem}`,
    );
    expect(await outcome(["x", "--", "true"], "")).toMatch(/^2 holdfast: .* from env 'HOLDFAST_SERVER'/);
    expect(await outcome(["--tls-ca", "package.json", "x", "--", "true"])).toMatch(
      /^2 holdfast: option '--tls-ca .* PEM/,
    );
  });
});

describe("a command whose lock is lost", () => {
  /** A server of its own, to be stopped in its tracks. */
  async function withServer(run: (own: RunningServer) => Promise<void>): Promise<void> {
    await using own = await startServer(flags());
    await run(own);
  }

  it("is asked to stop, and gone before its deadline, when nothing is heard of the server", async () => {
    await withServer(async (own) => {
      // Says when it is asked to stop, and goes on; so does the one that it has started.
      const inner = `trap "" TERM; while :; do read up idle </proc/uptime; echo tick $up; sleep 0.02; done`;
      const stubborn = `trap 'echo asked' TERM; sh -c '${inner}' & while :; do sleep 0.02; done`;
      await using program = lock(["lost/1", "--ttl", "12s", "--", "sh", "-c", stubborn], own.grpc);
      await program.saw(/tick/);
      // No later heartbeat than one sent by now can have been confirmed.
      own.program.kill("SIGSTOP");
      const deadlineS = uptimeS() + 12 * 0.99;
      await program.saw(/asked\n(tick [\d.]+\n)+/);
      expect((await program.ended).code, program.lastWords).toBe(200);
      expect(Number(/tick ([\d.]+)\n$/.exec(program.stdout)![1])).toBeLessThan(deadlineS);
      expect(program.stderr).toMatch(/holdfast: nothing was heard of the servers for so long .*\n$/);
    });
  });

  it("is left in peace when the server is heard of in time", async () => {
    await withServer(async (own) => {
      await using program = lock(
        ["lost/2", "--ttl", "16s", "--", "sh", "-c", "echo in; read line <&3 3</dev/null; exec sleep 17"],
        own.grpc,
      );
      await program.saw(/in/);
      own.program.kill("SIGSTOP");
      const { promise, resolve } = Promise.withResolvers<void>();
      setTimeout(resolve, 1_500);
      await promise;
      own.program.kill("SIGCONT");
      expect(await program.ended, program.lastWords).toEqual({ code: 0, signal: null });
    });
  });

  it("is killed when it could have been lost while holdfast stood still", async () => {
    await using program = lock(["lost/3", "--ttl", "2s", "--", "sh", "-c", "echo in; while :; do sleep 0.02; done"]);
    await program.saw(/in/);
    program.kill("SIGSTOP");
    await free("lost/3");
    program.kill("SIGCONT");
    expect((await program.ended).code, program.lastWords).toBe(200);
    expect(program.stderr).toMatch(/^holdfast: lost "lost\/3": /);
  });

  it("stands still while holdfast is suspended from the keyboard, and does not go on without its lock", async () => {
    const count = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done";
    await using program = lock(["lost/4", "--ttl", "2s", "--", "sh", "-c", count]);
    await program.saw(/3\n/);
    program.kill("SIGTSTP");
    await free("lost/4");
    const said = program.stdout;
    program.kill("SIGCONT");
    expect((await program.ended).code, program.lastWords).toBe(200);
    expect(program.stdout).toBe(said);
  });
});
