import { type Command, InvalidArgumentError, Option } from "commander";
import type { StatisticsSample } from "../typescript/src/admin.ts";
import type { Client, LockView } from "../typescript/src/index.ts";
import { onCall, print, type ReachedServer, type ReachedServers, reachServers } from "./admin-connection.ts";
import { complain } from "./complain.ts";
import { addConnectionOptions, type ConnectionOptions, connectWith } from "./connection.ts";
import { parseDuration } from "./duration.ts";
import { setManual } from "./manual.ts";
import { Screen } from "./screen.ts";
import { summarize } from "./statistics.ts";
import { type TopState, topJson, topText } from "./top-view.ts";

interface TopOptions extends ConnectionOptions {
  readonly interval: number;
  readonly prefix: string;
  readonly sort: "waiters" | "age";
  readonly json?: true;
}

/** Over how many seconds rates and times are told. */
const RATE_SECONDS = 10;
const TIME_SECONDS = 60;
/** Locks that are asked for of each kind; of more the rest is not looked at. */
const MOST_LOCKS = 1_000;
/** How long a server has to send what it remembers, before the first picture. */
const FIRST_WITHIN_MS = 2_500;

/** Adds `holdfast top`. */
export function addTopCommand(program: Command): void {
  const command = addConnectionOptions(program.command("top"))
    .description("Show the busiest locks, rates and acquire times, live.")
    .argument("[prefix]", "only locks whose names begin so, byte for byte", "")
    .addOption(
      new Option("--interval <duration>", "how often to look again, from 200ms")
        .argParser(parseInterval)
        .default(1_000, "1s"),
    )
    .addOption(
      new Option("--sort <by>", "which locks come first: those with the most waiters, or held for longest")
        .choices(["waiters", "age"])
        .default("waiters"),
    )
    .option("--json", "write one picture as JSON, and end")
    .action((prefix: string, options: TopOptions) => onCall(options, () => top({ ...options, prefix })));
  setManual(command, {
    description: [
      `On a terminal it draws itself anew until q or Ctrl-C; elsewhere it shows one picture and ends. Rates are of the last ${RATE_SECONDS} seconds, times of the last ${TIME_SECONDS}, of all servers together; an acquire is timed by the server, from the command to the grant.`,
      `Of the locks the ${MOST_LOCKS} first of those with waiters and of those without are looked at.`,
    ],
    exits: ["ok", "failed", "usage", "unavailable"],
    examples: [
      ["holdfast top", "The locks with the most waiters first."],
      ["holdfast top orders/ --sort age", "Those held for longest first."],
    ],
    seeAlso: ["ls", "events", "graph"],
  });
}

function parseInterval(text: string): number {
  const ms = parseDuration(text);
  if (ms < 200) throw new InvalidArgumentError("Not less than 200ms: looking costs something too.");
  return ms;
}

async function top(options: TopOptions): Promise<void> {
  await using servers = await reachServers(options);
  await using client = connectWith(options);
  using counts = new Counts(servers.list);
  await counts.first;
  if (options.json || !process.stdout.isTTY) {
    const state = await look(servers, client, counts, options);
    print(options.json ? topJson(state) : topText(state, { rows: 40, columns: Number.POSITIVE_INFINITY }));
    for (const { address } of servers.silent) complain(`nobody answers at ${address}: what it counts is missing here`);
    return;
  }
  using screen = new Screen();
  while (!screen.ended.aborted) {
    const state = await look(servers, client, counts, options);
    screen.draw(topText(state, screen));
    await screen.pause(options.interval);
  }
}

async function look(
  servers: ReachedServers,
  client: Client,
  counts: Counts,
  { prefix, sort }: TopOptions,
): Promise<TopState> {
  const locks = [...(await someLocks(client, prefix, "contended")), ...(await someLocks(client, prefix, "held"))].sort(
    sort === "waiters" ? byWaiters : byAge,
  );
  const wallMs = Date.now();
  return {
    wallMs,
    serverCount: servers.list.length,
    silent: servers.silent.map(({ address }) => address),
    locks,
    latest: counts.latest,
    rates: summarize(counts.since(RATE_SECONDS), Math.min(RATE_SECONDS, Math.max(1, counts.seconds))),
    times: summarize(counts.since(TIME_SECONDS), TIME_SECONDS),
  };
}

async function someLocks(client: Client, prefix: string, state: "held" | "contended"): Promise<LockView[]> {
  const locks: LockView[] = [];
  for await (const lock of client.listLocks(prefix, { state })) {
    locks.push(lock);
    if (locks.length >= MOST_LOCKS) break;
  }
  return locks;
}

const sinceOf = ({ holders }: LockView) => holders[0]?.grantedAtMs ?? holders[0]?.claimedAtMs ?? Number.MAX_VALUE;
const byAge = (a: LockView, b: LockView) => sinceOf(a) - sinceOf(b);
const byWaiters = (a: LockView, b: LockView) => b.waiterCount - a.waiterCount || byAge(a, b);

/** What the servers count, as they tell it. */
class Counts implements Disposable {
  /** Resolves when each server has told what it remembers, or has had time enough. */
  readonly first: Promise<unknown>;
  readonly #samples: StatisticsSample[][] = [];
  readonly #ending = new AbortController();

  constructor(servers: readonly ReachedServer[]) {
    const told = servers.map((server) => this.#follow(server));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, FIRST_WITHIN_MS);
    });
    this.first = Promise.race([Promise.all(told), late]).finally(() => clearTimeout(timer));
  }

  /** The samples of the last seconds, of all servers. */
  since(seconds: number): StatisticsSample[] {
    return this.#samples.flatMap((samples) => samples.slice(-seconds));
  }

  /** The newest sample: what there is in the whole service. */
  get latest(): StatisticsSample | undefined {
    const newest = this.#samples.flatMap((samples) => samples.slice(-1));
    return newest.sort((a, b) => (b.at?.getTime() ?? 0) - (a.at?.getTime() ?? 0))[0];
  }

  /** How many seconds the server that remembers most tells of. */
  get seconds(): number {
    return Math.max(0, ...this.#samples.map(({ length }) => length));
  }

  [Symbol.dispose](): void {
    this.#ending.abort();
  }

  /** Resolves when it has told all it remembers, or will tell nothing. */
  #follow({ admin }: ReachedServer): Promise<void> {
    const samples: StatisticsSample[] = [];
    this.#samples.push(samples);
    return new Promise((resolve) => {
      const read = async () => {
        for await (const more of admin.watchStatistics(this.#ending.signal)) {
          samples.push(...more);
          if (samples.length > TIME_SECONDS) samples.splice(0, samples.length - TIME_SECONDS);
          const newest = samples.at(-1)?.at?.getTime() ?? 0;
          // What it remembers comes in several messages, the newest last. By its own clock, which may be another.
          if (more.length < TIME_SECONDS || newest > Date.now() - 2_000) resolve();
        }
      };
      // A server that goes takes its counts with it.
      read().then(resolve, () => resolve());
    });
  }
}
