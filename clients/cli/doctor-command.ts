import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { Command } from "commander";
import type { Admin, GetStatusResponse } from "../typescript/src/admin.ts";
import { HoldfastError } from "../typescript/src/index.ts";
import { adminOf, onCall, print } from "./admin-connection.ts";
import type { JsonOptions } from "./admin-look-commands.ts";
import { measured, msOf } from "./admin-texts.ts";
import { addConnectionOptions, type ConnectionOptions, connectWith } from "./connection.ts";
import { type Finding, judgeAcquire, judgeClock, judgeLatency, judgeStatus } from "./doctor-checks.ts";
import { exitCode } from "./exit-code.ts";
import { setManual } from "./manual.ts";
import { whyUnreachable } from "./reachability.ts";
import { printable } from "./text.ts";

/** How long clocks are watched: the longer, the better is their rate known. */
const WATCH_CLOCK_MS = 3_000;
const ASKED_TIMES = 20;
const ACQUIRED_TIMES = 5;

/** Adds `holdfast doctor`. */
export function addDoctorCommand(program: Command): void {
  const command = addConnectionOptions(program.command("doctor"))
    .description("Check that everything is well, and say what to do if not.")
    .option("--json", "write JSON, for programs: a finding a line")
    .action((options: JsonOptions) => onCall(options, () => examine(options)));
  setManual(command, {
    description: [
      "Checks, for each server named: whether it is reached, with TLS if asked for; whether it serves; how fast it answers; the rate of its clock beside this machine's; how late its event loop and its table are; and of its etcd: members, leader, versions, alarms, size against quota, how fast it commits. Last it acquires and releases locks of its own, named holdfast-doctor/....",
      "etcd's clocks cannot be read from here: run doctor on each machine that holds locks, and see to the clocks of etcd's.",
    ],
    exits: ["ok", "failed", "usage", "unavailable"],
    examples: [
      ["holdfast doctor", "The server on this machine."],
      ["holdfast doctor --server a:7400,b:7400 --tls-ca ca.pem", "Two servers, one after the other."],
    ],
    seeAlso: ["status", "events"],
  });
}

/** Exits 1 if something is bad, 202 if no server is reached; what should be looked at is no failure. */
async function examine(options: JsonOptions): Promise<void> {
  let reached = 0;
  let isBad = false;
  const tell = (server: string, finding: Finding): void => {
    isBad ||= finding.level === "bad";
    print(options.json ? JSON.stringify({ server, ...finding }) : lineOf(finding));
  };
  for (const server of options.server) {
    if (!options.json) print(`${reached > 0 || server !== options.server[0] ? "\n" : ""}${printable(server)}`);
    if (await examineServer(server, options, (finding) => tell(server, finding))) reached++;
  }
  if (reached === 0) process.exitCode = exitCode.unavailable;
  else if (isBad) process.exitCode = exitCode.failed;
}

function lineOf({ level, about, text, advice }: Finding): string {
  const mark = { ok: "ok  ", warn: "WARN", bad: "BAD " }[level];
  const line = `${mark}  ${about.padEnd(10)}  ${text}`;
  return advice === undefined ? line : `${line}\n${" ".repeat(18)}-> ${advice}`;
}

/** Returns whether it was reached. */
async function examineServer(
  server: string,
  options: ConnectionOptions,
  tell: (finding: Finding) => void,
): Promise<boolean> {
  const one = { ...options, server: [server] };
  await using admin = adminOf(one);
  let tookMs: number;
  try {
    ({ tookMs } = await timedStatus(admin));
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    const { text, advice } =
      error.reason === "unreachable"
        ? await whyUnreachable(server, options)
        : { text: error.message, advice: "see the server's log" };
    tell({ level: "bad", about: "reached", text: printable(text), advice });
    return false;
  }
  const how = options.tls || options.tlsCa ? "with TLS" : "in plain text";
  tell({ level: "ok", about: "reached", text: `answers ${how}, the first time in ${measured(tookMs)}` });
  const startedMs = performance.now();
  const before = await quickStatus(admin);
  tell(judgeLatency(await askOften(admin)));
  await tryToAcquire(one, tell);
  await pause(Math.max(0, WATCH_CLOCK_MS - (performance.now() - startedMs)));
  const second = await quickStatus(admin);
  for (const finding of judgeStatus(second.status)) tell(finding);
  for (const finding of judgeClocks(before, second)) tell(finding);
  return true;
}

interface Timed {
  readonly status: GetStatusResponse;
  readonly tookMs: number;
  /** When it was answered, in the middle between asking and hearing. */
  readonly atMs: number;
  readonly wallMs: number;
}

async function timedStatus(admin: Admin): Promise<Timed> {
  const askedMs = performance.now();
  const status = await admin.getStatus();
  const tookMs = performance.now() - askedMs;
  return { status, tookMs, atMs: askedMs + tookMs / 2, wallMs: Date.now() - tookMs / 2 };
}

/** The quickest of some answers in a row: what a server knows of etcd is good for a second, so that it need not ask. */
async function quickStatus(admin: Admin): Promise<Timed> {
  let best = await timedStatus(admin);
  for (let i = 0; i < 4; i++) {
    const next = await timedStatus(admin);
    if (next.tookMs < best.tookMs) best = next;
  }
  return best;
}

function judgeClocks(first: Timed, second: Timed): Finding[] {
  const thereMs = (msOf(second.status.uptime) ?? 0) - (msOf(first.status.uptime) ?? 0);
  if (thereMs <= 0)
    return [
      { level: "bad", about: "clock rate", text: "the server was started anew meanwhile", advice: "see its log" },
    ];
  const errorMs = (first.tookMs + second.tookMs) / 2;
  const aheadMs = (second.status.answeredAt?.getTime() ?? second.wallMs) - second.wallMs;
  return judgeClock({ hereMs: second.atMs - first.atMs, thereMs, errorMs, aheadMs });
}

/** How long answers take that need nothing but the server, sorted. */
async function askOften(admin: Admin): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < ASKED_TIMES; i++) {
    const askedMs = performance.now();
    await admin.listEvents({ maxEvents: 1 });
    times.push(performance.now() - askedMs);
  }
  return times.sort((a, b) => a - b);
}

async function tryToAcquire(options: ConnectionOptions, tell: (finding: Finding) => void): Promise<void> {
  await using client = connectWith(options);
  const name = `holdfast-doctor/${randomUUID()}`;
  const times: number[] = [];
  try {
    for (let i = 0; i < ACQUIRED_TIMES; i++) {
      const askedMs = performance.now();
      await using _lock = await client.acquire(name, { waitMs: 5_000, purpose: "to see whether it works" });
      times.push(performance.now() - askedMs);
    }
    // The first one opens the session.
    tell(judgeAcquire(times.slice(1).sort((a, b) => a - b)));
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    const advice = "nobody else gets a lock either: see what is said of etcd below";
    tell({ level: "bad", about: "acquire", text: `no lock can be acquired: ${printable(error.message)}`, advice });
  }
}
