import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { printable } from "../../clients/cli/text.ts";
import { type Client, connect, type HeldLock } from "../../clients/typescript/src/index.ts";
import { lockNameProblem } from "../../server/core/lock-name.ts";
import { hostileTexts } from "../console/hostile-texts.ts";
import { startEtcd, type TestEtcd } from "../support/etcd.ts";
import { eventually } from "../support/eventually.ts";
import { type ServerProcess, startServer } from "../support/server.ts";
import { holdfast, root } from "./program.ts";

let etcd: TestEtcd;
let servers: ServerProcess[];
let client: Client;

beforeAll(async () => {
  etcd = await startEtcd();
  servers = await Promise.all([1, 2].map(() => startServer({ etcd: etcd.endpoint })));
  client = connect(address(0), { clientName: "a\u202eb", labels: { team: "\u001b[2Jnight" } });
});

afterAll(async () => {
  await client.close();
  for (const server of servers) await server[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
});

const address = (server: 0 | 1) => servers[server]!.grpcAddress;

/** What a command writes and exits with. */
async function run(...args: readonly string[]) {
  const to = args.includes("--server") ? [] : ["--server", address(0)];
  await using program = holdfast([...args, ...to]);
  const { code } = await program.ended;
  return { code, stdout: program.stdout, stderr: program.stderr, lines: program.stdout.trimEnd().split("\n") };
}

/** A command on a terminal: what it has written there, and what somebody types. */
class Terminal implements AsyncDisposable {
  screen = "";
  readonly #child: ChildProcess;
  readonly #ended: Promise<number>;

  constructor(...args: readonly string[]) {
    const words = [process.execPath, join(root, "clients/cli/main.ts"), ...args, "--server", address(0)];
    const command = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
    this.#child = spawn("script", ["-qfec", `stty rows 30 columns 100; exec ${command}`, "/dev/null"], {
      stdio: ["pipe", "pipe", "ignore"],
      env: { ...process.env, TERM: "xterm" },
    });
    this.#ended = once(this.#child, "close").then(([code]) => code);
    this.#child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.screen += text;
    });
  }

  shows(pattern: RegExp): Promise<void> {
    return eventually(() => pattern.test(this.screen), true, 60_000);
  }

  type(keys: string): void {
    this.#child.stdin!.write(keys);
  }

  /** Its exit code. */
  get ended(): Promise<number> {
    return this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }
}

/** A lock that is held, with its token. */
const hold = (name: string): Promise<HeldLock> => client.acquire(name, { purpose: "to \u0007ring" });

describe("holdfast sessions", () => {
  it("shows who is connected, and one of them with its claims", async () => {
    await using lock = await hold("sessions/a");
    const { lines } = await run("sessions", "--server", address(1));
    expect(lines[0]).toMatch(/^SESSION +CLIENT +LANGUAGE +FROM +AGE +TTL +LEFT +HELD +WAITING +SERVER$/);
    const row = lines.find((line) => line.startsWith(client.sessionId!));
    expect(row).toMatch(/ a\\u\{202e\}b@\S+ \(\d+\) +typescript 0\.1\.0 +127\.0\.0\.1:\d+ /);
    const one = await run("sessions", client.sessionId!);
    expect(one.stdout).toContain("label team");
    expect(one.stdout).toContain("\\u{1b}[2Jnight");
    expect(one.lines.at(-1)).toMatch(new RegExp(`^1 +held +sessions/a +${lock.token}$`));
    const json = (await run("sessions", "--json")).lines.map((line) => JSON.parse(line));
    expect(json.find(({ sessionId }) => sessionId === client.sessionId)).toMatchObject({ heldCount: 1 });
  });

  it("says that there is no such session", async () => {
    const { code, stderr } = await run("sessions", "nobody");
    expect(code).toBe(1);
    expect(stderr).toBe('holdfast: there is no session "nobody": it has ended, or never was\n');
  });
});

describe("holdfast status", () => {
  it("shows servers, etcd and the table", async () => {
    const { code, stdout } = await run("status");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^serving\n/);
    for (const server of [0, 1] as const) expect(stdout).toContain(address(server));
    expect(stdout).toMatch(/^etcd {4}commits in [\d.]+ ms$/m);
    expect(stdout).toMatch(new RegExp(`^\\S+ +${etcd.endpoint} +leader +3\\.\\d+\\.\\d+ +.* none$`, "m"));
    const json = JSON.parse((await run("status", "--json")).stdout);
    expect(json.servers).toHaveLength(2);
  });
});

describe("holdfast graph", () => {
  it("shows who waits for whom", async () => {
    await using lock = await hold("graph/a");
    await using other = connect(address(1), { clientName: "waiter" });
    const waiting = other.acquire("graph/a");
    await eventually(async () => (await run("graph", "graph/")).stdout.includes("waits for"), true);
    const { lines } = await run("graph", "graph/");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^ {10}waiter@\S+ \(\d+\) .*waits for graph\/a, held by a\\u\{202e\}b@/);
    await lock.release();
    await (await waiting).release();
  });
});

describe("holdfast events", () => {
  it("shows what happened on all servers, oldest first, and goes on", async () => {
    await using other = connect(address(1), { clientName: "elsewhere" });
    await (await hold("events/a")).release();
    await (await other.acquire("events/a")).release();
    const shown = async () =>
      (await run("events", "--lock", "events/a")).lines.map((line) => line.split(/ +/).slice(1, 4).join(" "));
    await eventually(async () => (await shown()).length, 4);
    expect((await shown()).map((line) => line.replace(/@.*/, ""))).toEqual([
      "granted events/a a\\u{202e}b",
      "released events/a a\\u{202e}b",
      "granted events/a elsewhere",
      "released events/a elsewhere",
    ]);
    await using following = holdfast(["events", "--follow", "--kind", "granted", "--json", "--server", address(0)]);
    await following.saw(/"events\/a"/);
    await (await other.acquire("events/later")).release();
    await following.saw(/"events\/later"/);
    const kinds = following.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).kind);
    expect(new Set(kinds)).toEqual(new Set(["EVENT_KIND_GRANTED"]));
  });
});

describe("holdfast release --force", () => {
  it("shows the holders and does nothing, as long as it is not told which and why", async () => {
    await using lock = await hold("release/a");
    const { code, stdout, stderr } = await run("release", "--force", "release/a");
    expect(code).toBe(2);
    expect(stdout).toContain(String(lock.token));
    expect(stderr).toContain("--token N --reason TEXT");
    expect((await run("release", "release/a")).stderr).toContain("released only by --force");
    const unasked = await run("release", "--force", "release/a", "--token", String(lock.token), "--reason", "x");
    expect([unasked.code, unasked.stderr.includes("give --yes if it is meant")]).toEqual([2, true]);
    expect(lock.held).toBe(true);
  });

  it("frees the lock with --yes, once, and its holder is told why", async () => {
    const lock = await hold("release/b");
    const args = ["release", "--force", "release/b", "--token", String(lock.token), "--yes", "--reason", "stuck"];
    expect(await run(...args, "--server", address(1))).toMatchObject({
      code: 0,
      stdout: "released release/b; its holder is told why\n",
    });
    await eventually(() => lock.loss?.message.includes("who says: stuck"), true);
    const again = await run(...args);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain("nobody holds it now");
  });

  it("on a terminal shows the holder and asks: anything but yes does nothing", async () => {
    const lock = await hold("release/c");
    const args = ["release", "--force", "release/c", "--token", String(lock.token), "--reason", "stuck"];
    {
      await using terminal = new Terminal(...args);
      await terminal.shows(/Release it by force\? \[y\/N\]/);
      expect(terminal.screen).toContain("release/c is held by a\\u{202e}b@");
      terminal.type("\r");
      expect(await terminal.ended).toBe(1);
      expect(terminal.screen).toContain("nothing was done");
    }
    expect(lock.held).toBe(true);
    await using terminal = new Terminal(...args);
    await terminal.shows(/\[y\/N\]/);
    terminal.type("y\r");
    expect(await terminal.ended).toBe(0);
    await eventually(() => lock.held, false);
  });
});

describe("holdfast close-session", () => {
  it("ends a session with all it holds", async () => {
    await using victim = connect(address(1), { clientName: "victim" });
    const lock = await victim.acquire("closed/a");
    const id = victim.sessionId!;
    const { code, stdout } = await run("close-session", id, "--reason", "left over", "--yes");
    expect([code, stdout]).toEqual([0, `closed session ${id} with 1 claim; its client is told why\n`]);
    await eventually(() => lock.loss?.reason, "closed-by-force");
    expect((await run("close-session", id, "--reason", "x", "--yes")).code).toBe(1);
  });
});

describe("holdfast top", () => {
  it("off a terminal shows one picture of locks, rates and times, and ends", async () => {
    await using _lock = await hold("top/a");
    const { code, lines } = await run("top", "top/");
    expect(code).toBe(0);
    expect(lines[0]).toMatch(
      /^holdfast {2}\d\d:\d\d:\d\dZ {2}2 servers, \d+ sessions?, \d+ locks?, \d+ held, \d+ waiting$/,
    );
    expect(lines[1]).toMatch(/^grants [\d.]+\/s {2}releases /);
    expect(lines.at(-1)).toMatch(/^top\/a +held +a\\u\{202e\}b@.* to \\u\{7\}ring$/);
    const json = JSON.parse((await run("top", "top/", "--json")).stdout);
    expect(json).toMatchObject({ serverCount: 2, top: [{ name: "top/a", state: "held" }] });
    await eventually(async () => JSON.parse((await run("top", "--json")).stdout).acquireMs.count > 0, true, 60_000);
  });

  it("on a terminal draws itself anew, within its width, until q, and leaves the terminal as it was", async () => {
    await using _lock = await hold("top/b");
    await using terminal = new Terminal("top", "--interval", "200ms");
    const frames = () => terminal.screen.split("\u001b[H").slice(1);
    await eventually(() => frames().length >= 3, true, 60_000);
    await terminal.shows(/top\/b/);
    for (const line of frames()[1]!.split("\r\n"))
      expect(stripVTControlCharacters(line).length).toBeLessThanOrEqual(100);
    terminal.type("q");
    expect(await terminal.ended).toBe(0);
    expect(terminal.screen.trimEnd().endsWith("\u001b[?25h\u001b[?1049l")).toBe(true);
  });
});

describe("holdfast doctor", () => {
  it("finds two servers over one etcd well, but for the members that are missing", async () => {
    const { code, stdout } = await run("doctor", "--server", `${address(0)},${address(1)}`);
    const bad = stdout.match(/^BAD .*$/gm) ?? [];
    // What a machine that does other things may make it say; its limits have tests of their own.
    expect(bad.filter((line) => !/^BAD {3}(event loop|commits|table) /.test(line))).toEqual([]);
    expect(code).toBe(bad.length > 0 ? 1 : 0);
    for (const about of [
      "reached",
      "latency",
      "acquire",
      "serving",
      "commits",
      "quota",
      "table",
      "event loop",
      "clock rate",
    ])
      expect(stdout.match(new RegExp(`^(ok  |WARN|BAD )  ${about} `, "mg"))).toHaveLength(2);
    expect(stdout).toMatch(/^WARN {2}members +etcd has one member\n +-> run three/m);
    // It leaves nothing behind.
    expect((await run("ls", "holdfast-doctor/")).stderr).toContain("nobody holds a lock with that prefix");
  });

  it("says why a server is not reached, and what to do", async () => {
    const closed = await run("doctor", "--server", "127.0.0.1:1");
    expect(closed.code).toBe(202);
    expect(closed.stdout).toMatch(/BAD {3}reached +127\.0\.0\.1:1: connect ECONNREFUSED.*\n +-> start the server/);
    const asTls = await run("doctor", "--tls");
    expect(asTls.stdout).toMatch(/is reached, but TLS fails: .*\n +-> the server may speak plain text/);
    const etcdInstead = await run("doctor", "--server", etcd.endpoint);
    expect(etcdInstead.code).not.toBe(0);
    expect((await run("doctor", "--server", "no port")).stderr).toContain('"no port" is not "host:port"');
  });

  it("exits with 1 when something is bad", async () => {
    await using alone = await startServer({ etcd: etcd.endpoint });
    alone.pause();
    const stopped = run("doctor", "--server", `${alone.grpcAddress},${address(0)}`, "--json");
    const findings = (await stopped).lines.map((line) => JSON.parse(line));
    expect((await stopped).code).toBe(1);
    expect(findings[0]).toMatchObject({ server: alone.grpcAddress, level: "bad", about: "reached" });
    alone.resume();
  });
});

describe("hostile texts", () => {
  it("through every command of the people on call are text, and are nothing else in the log", async () => {
    const texts = hostileTexts(200);
    const isName = (text: string) => lockNameProblem(text) === undefined;
    // A session has at most 16 labels, and a name at most 128 bytes.
    const labels = Object.fromEntries(
      texts
        .slice(0, 16)
        .map((text) => [Buffer.from(text).subarray(0, 40).toString().toWellFormed().slice(0, 20), text.slice(0, 60)]),
    );
    await using hostile = connect(address(0), { clientName: texts[16]!, labels });
    const locks: HeldLock[] = [];
    for (const text of texts)
      locks.push(
        await hostile.acquire(isName(text) ? `hostile/${text}` : `hostile/fine${texts.indexOf(text)}`, {
          purpose: text.slice(0, 80),
        }),
      );
    const commands = [
      ["sessions"],
      ["sessions", hostile.sessionId!],
      ["status"],
      ["graph"],
      ["events", "--last", "1000"],
      ["top"],
      ["ls"],
    ];
    for (const command of commands) {
      const { code, stdout } = await run(...command);
      expect(code).toBe(0);
      // Neither a control character, but for the ends of lines, nor anything that turns or hides.
      expect(stdout.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
      if (command[0] === "ls") for (const text of texts.filter(isName)) expect(stdout).toContain(printable(text));
    }
    const [first] = locks;
    const reason = texts.find((text) => text.includes("\u001b"))!;
    await run("release", "--force", first!.name, "--token", String(first!.token), "--reason", reason, "--yes");
    await eventually(() => first!.held, false);
    await servers[0]!.untilLogged(/claim.forced/);
    expect(servers[0]!.log.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  });

  it("in the reason of a forced end are text on the terminal of who is told it", async () => {
    await using victim = holdfast([
      "lock",
      "hostile/victim",
      "--server",
      address(0),
      "--",
      "sh",
      "-c",
      "echo in; sleep 60",
    ]);
    await victim.saw(/in/);
    const { holders } = await client.getLock("hostile/victim");
    const reason = "stuck \u001b[31m\u202e\u001b]0;title\u0007";
    const which = ["--token", String(holders[0]!.token), "--reason", reason, "--yes"];
    expect((await run("release", "--force", "hostile/victim", ...which)).code).toBe(0);
    expect((await victim.ended).code, victim.lastWords).toBe(200);
    expect(victim.stderr).toContain(`who says: ${printable(reason)}`);
    expect(victim.stderr.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  });
});

describe("holdfast drain", () => {
  it("sends a server's clients to the other and ends it", async () => {
    const leaving = await startServer({ etcd: etcd.endpoint });
    const known = await run("drain", "nowhere:1", "--yes");
    expect([known.code, known.stderr.includes("no server nowhere:1 answers")]).toEqual([2, true]);
    const { code, stdout } = await run("drain", leaving.grpcAddress, "--within", "20s", "--yes");
    expect([code, stdout]).toEqual([0, "draining: 0 sessions have 20 s to leave\n"]);
    expect(await leaving.exited).toBe(0);
  });
});
