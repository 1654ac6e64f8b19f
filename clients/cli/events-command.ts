import { setTimeout as pause } from "node:timers/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { Event, EventKind } from "../typescript/src/admin.ts";
import { complainOfSilent, onCall, print, type ReachedServer, reachServers } from "./admin-connection.ts";
import { type JsonOptions, jsonManual } from "./admin-look-commands.ts";
import { eventLine } from "./admin-texts.ts";
import { complain } from "./complain.ts";
import { addConnectionOptions } from "./connection.ts";
import { setManual } from "./manual.ts";

interface EventsOptions extends JsonOptions {
  readonly lock?: string;
  readonly session?: string;
  readonly kind?: readonly EventKind[];
  readonly last: number;
  readonly follow?: true;
}

/** How often a server is asked for what is new. */
const FOLLOW_EVERY_MS = 500;
const MOST = 1_000;

const kindNames = Object.keys(EventKind).filter((name) => !/^\d+$|UNSPECIFIED|UNRECOGNIZED/.test(name));
const wordOf = (name: string) => name.toLowerCase().replaceAll("_", "-");

/** Adds `holdfast events`. */
export function addEventsCommand(program: Command): void {
  const command = addConnectionOptions(program.command("events"))
    .description("Show what happened lately to locks and sessions.")
    .option("--lock <name>", "only what is about this lock")
    .option("--session <id>", "only what is about this session")
    .addOption(
      new Option("--kind <list>", `only these, with commas: ${kindNames.map(wordOf).join(", ")}`).argParser(parseKinds),
    )
    .addOption(new Option("--last <n>", "so many at most, up to 1000").argParser(parseLast).default(100))
    .option("--follow", "go on with what happens then, until Ctrl-C")
    .option("--json", "write JSON, for programs: an event a line")
    .action((options: EventsOptions) => onCall(options, () => showEvents(options)));
  setManual(command, {
    description: [
      "Shows events, oldest first: those that the servers named and all others that these tell of still remember, in the order of their clocks. Each server remembers some ten thousand events of its own sessions, and rare ones (losses, deadlocks, releases by force) for longer.",
      jsonManual,
    ],
    exits: ["ok", "failed", "usage", "unavailable"],
    examples: [
      ["holdfast events --lock orders/42", "The recent history of a lock."],
      ["holdfast events --kind lost,forced,deadlock --follow", "What somebody should know of."],
    ],
    seeAlso: ["get", "sessions", "top"],
  });
}

function parseKinds(text: string): readonly EventKind[] {
  return text.split(",").map((word) => {
    const name = kindNames.find((one) => wordOf(one) === word.trim());
    if (name === undefined) throw new InvalidArgumentError(`It is none of ${kindNames.map(wordOf).join(", ")}.`);
    return EventKind[name as keyof typeof EventKind];
  });
}

function parseLast(text: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > MOST) throw new InvalidArgumentError(`Give a whole number from 1 to ${MOST}.`);
  return number;
}

async function showEvents(options: EventsOptions): Promise<void> {
  await using servers = await reachServers(options);
  complainOfSilent(servers);
  let readers = servers.list.map((server) => new Reader(server, options));
  const first = await Promise.all(readers.map((reader) => reader.read()));
  const events = first.flat().sort(byTime).slice(-options.last);
  for (const event of events) print(lineOf(event, options));
  if (events.length === 0 && !options.follow) complain("nothing of that kind is remembered");
  while (options.follow) {
    await pause(FOLLOW_EVERY_MS);
    const news = await Promise.allSettled(readers.map((reader) => reader.read()));
    const events = news.flatMap((each) => (each.status === "fulfilled" ? each.value : []));
    for (const event of events.sort(byTime)) print(lineOf(event, options));
    const failures = news.filter((each) => each.status === "rejected");
    if (failures.length === readers.length) throw failures[0]!.reason;
    for (const [at, { status }] of news.entries())
      if (status === "rejected")
        complain(`nobody answers at ${readers[at]!.address}: its events are missing from here`);
    readers = readers.filter((_, at) => news[at]!.status === "fulfilled");
  }
}

const byTime = (a: Event, b: Event) => (a.at?.getTime() ?? 0) - (b.at?.getTime() ?? 0) || Number(a.seq - b.seq);

const lineOf = (event: Event, { json }: EventsOptions) =>
  json ? JSON.stringify(Event.toJSON(event)) : eventLine(event);

/** Reads one server's events, each once. */
class Reader {
  readonly #server: ReachedServer;
  readonly #query: { lockName: string; sessionId: string; kinds: EventKind[] };
  readonly #last: number;
  #after = 0n;

  constructor(server: ReachedServer, { lock = "", session = "", kind = [], last }: EventsOptions) {
    this.#server = server;
    this.#query = { lockName: lock, sessionId: session, kinds: [...kind] };
    this.#last = last;
  }

  get address(): string {
    return this.#server.address;
  }

  /** What is new since it was last asked: at first the last ones, then all. */
  async read(): Promise<Event[]> {
    const events: Event[] = [];
    let newest = this.#after;
    const most = this.#after === 0n ? this.#last : MOST;
    for (let before = 0n; ; ) {
      const page = await this.#server.admin.listEvents({ ...this.#query, after: this.#after, before, maxEvents: most });
      if (before === 0n) newest = page.newestSeq;
      events.push(...page.events);
      const oldest = page.events.at(-1);
      // A page may end early, where it would grow too large for an answer.
      if (oldest === undefined || (this.#after === 0n && events.length >= this.#last)) break;
      before = oldest.seq;
    }
    this.#after = newest;
    return events;
  }
}
