import { setTimeout as delay } from "node:timers/promises";
import type { HoldfastServer } from "../process/holdfast-server.ts";
import { cpuSeconds } from "../process/usage.ts";
import type { Figures } from "../report/book.ts";
import type { Scale } from "../scale.ts";
import type { Bench, Cell, Suite } from "./suite.ts";
import { pairsLoad } from "./uncontended.ts";

/** Lock and unlock at the same time. */
export const WATCHED_IN_FLIGHT = 64;
/** Says that it is a page of the console that asks. */
const PAGE_HEADER = { "x-holdfast-console": "1" };
/** How often /metrics is read. */
const SCRAPE_EVERY_MS = 1_000;
/** What a page of the console follows that shows the overview, and one that shows the locks. */
const PAGES = [
  { status: {}, statistics: {}, hottest: {} },
  { status: {}, locks: { prefix: "" } },
];

/** Who watches a server at work: nobody, and it keeps no metrics; Prometheus; Prometheus and two pages of the console. */
export const watchers = ["nobody", "metrics", "console"] as const;
type Watcher = (typeof watchers)[number];

/** What it costs to be watched. The differences are small: more rounds than elsewhere, each with a server of its own. */
export const watched: Suite = {
  name: "watched",
  groups: (scale) => [{ rounds: 3 * scale.rounds, cells: watchers.map((watcher) => cell(watcher, scale)) }],
};

function cell(watcher: Watcher, scale: Scale): Cell {
  return { row: `watched/${watcher}`, measure: (bench) => measure(bench, watcher, scale) };
}

async function measure({ startServer }: Bench, watcher: Watcher, scale: Scale): Promise<Figures> {
  await using server = await startServer(watcher === "nobody" ? ["--metrics", "off"] : []);
  const load = () => pairsLoad(server.address, scale, { way: "stub", inFlight: WATCHED_IN_FLIGHT, kind: "exclusive" });
  // Code that runs for the first time is slow.
  await load();
  using _ = watch(server, watcher);
  const cpuBefore = cpuSeconds(server.pid);
  const { perSecond } = await load();
  const cpu = cpuSeconds(server.pid) - cpuBefore;
  // The load's own warming up is work as well, and as fast.
  const pairs = perSecond! * (scale.warmupSeconds + scale.seconds);
  return { perSecond: perSecond!, cpuMicros: (cpu / pairs) * 1e6 };
}

/** Watches until it is disposed of. */
function watch({ httpAddress }: HoldfastServer, watcher: Watcher): Disposable {
  const ending = new AbortController();
  const { signal } = ending;
  const url = `http://${httpAddress}`;
  if (watcher !== "nobody") void scrape(`${url}/metrics`, signal).catch(ifNotAborted(signal));
  if (watcher === "console") for (const page of PAGES) void follow(url, page, signal).catch(ifNotAborted(signal));
  return { [Symbol.dispose]: () => ending.abort() };
}

async function scrape(url: string, signal: AbortSignal): Promise<never> {
  for (;;) {
    const response = await fetch(url, { signal });
    if (!response.ok) throw new Error(`${url} answered ${response.status}`);
    await response.text();
    await delay(SCRAPE_EVERY_MS, undefined, { signal });
  }
}

async function follow(url: string, page: object, signal: AbortSignal): Promise<void> {
  const watching = encodeURIComponent(JSON.stringify(page));
  const response = await fetch(`${url}/api/live?watch=${watching}`, { headers: PAGE_HEADER, signal });
  if (!response.ok) throw new Error(`the console answered ${response.status}`);
  for await (const _ of response.body!);
}

/** What nobody waits for must not go unseen either: the process ends with it. */
const ifNotAborted = (signal: AbortSignal) => (error: unknown) => {
  if (!signal.aborted) throw error;
};
