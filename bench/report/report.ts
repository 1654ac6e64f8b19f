import { FEW_PERMITS, type Kind, kindNames } from "../load/kinds.ts";
import type { Scale } from "../scale.ts";
import { KEEP_TTL_SECONDS } from "../suites/handover.ts";
import { KINDS_IN_FLIGHT } from "../suites/kinds.ts";
import { WATCHED_IN_FLIGHT, watchers } from "../suites/watched.ts";
import type { Book } from "./book.ts";
import { shown, table } from "./table.ts";
import { targets } from "./targets.ts";

const systems: readonly (readonly [string, string])[] = [
  ["puts", "raw etcd put (single operations)"],
  ["mutex", "Go `concurrency.Mutex`, session reused"],
  ["v3lock", "etcd `v3lock`, lease reused"],
  ["etcd3", "npm `etcd3` `lock()`"],
  ["client", "Holdfast, TypeScript client"],
  ["stub", "Holdfast, bare stubs"],
  ["stub-shared", "Holdfast, bare stubs, 16 sessions"],
];

export interface Circumstances {
  readonly machine: readonly (readonly [string, string])[];
  readonly scale: Scale;
  readonly takenAt: Date;
  readonly tookSeconds: number;
  /** What did not run, and why. */
  readonly failures: readonly string[];
}

/** The whole report, in Markdown. What was not measured is left out. */
export function report(book: Book, circumstances: Circumstances): string {
  const { scale } = circumstances;
  const sections = [
    heading(circumstances),
    section("Against the targets", targetTable(book)),
    section("Uncontended: lock and unlock, pairs per second", rates(book, scale)),
    section("Uncontended: lock p50 / p99, unlock p50 / p99, in milliseconds", latencies(book, scale)),
    section(`Kinds of claims, ${KINDS_IN_FLIGHT} in flight: pairs per second, and against exclusive`, kindRates(book)),
    section(`What watching costs, ${WATCHED_IN_FLIGHT} in flight, by bare stubs`, watching(book)),
    section(`One hot lock, ${shown(scale.waiters)} waiters: hand-offs per second`, hotLock(book)),
    section(`Idle sessions over ${scale.connections} connections, TTL 10 s, for ${scale.idleSeconds} s`, idle(book)),
    section("Claims in the lock table, half of them waiting", claims(book)),
    section("The holder is killed with -9: until the next one is granted, in milliseconds", handover(book)),
  ];
  return `${sections.filter((text) => text !== "").join("\n\n")}\n`;
}

function heading({ machine, scale, takenAt, tookSeconds, failures }: Circumstances): string {
  const quickly = scale.name === "quick" ? ["**A quick run: it shows that the bench works, and nothing else.**"] : [];
  return [
    "# Results of `make bench`",
    ...quickly,
    ...failures.map((failure) => `**Did not run:** ${failure}`),
    `Taken ${takenAt.toISOString().slice(0, 16).replace("T", " ")} UTC in ${Math.ceil(tookSeconds)} s, on one machine \
that client, server and etcd share. Each rate and latency is the median of ${scale.rounds} of ${scale.seconds} s, for \
which all systems took turns on the same etcd. Absolute numbers move from machine to machine and from hour to hour: \
the ratios are what counts.`,
    `Uncontended, 64 in flight share one session (for Go also one connection). On the hot lock each waiter has a \
session of its own, unless it says otherwise; the Holdfast client has a connection for each, the others for 64.`,
    table(["", ""], machine),
  ].join("\n\n");
}

const section = (title: string, body: string): string => (body === "" ? "" : `## ${title}\n\n${body}`);

function targetTable(book: Book): string {
  const rows = targets.map((target) =>
    [target.what, target.target, verdict("client"), verdict("stub")].map((cell) =>
      typeof cell === "string" ? cell : cell(target),
    ),
  );
  return tableOf(["what", "target", "through the client", "by bare stubs"], rows, 2);

  function verdict(way: "client" | "stub") {
    return (target: (typeof targets)[number]) => {
      const reached = target.reached(book, way);
      return reached === undefined ? "" : `${reached.value}, ${reached.isMet ? "met" : "**not met**"}`;
    };
  }
}

function rates(book: Book, { inFlight }: Scale): string {
  return bySystem(
    inFlight.map((n) => `${n} in flight`),
    (system) => inFlight.map((n) => number(book.median(`uncontended/${n}/${system}`, "perSecond"))),
  );
}

function latencies(book: Book, { inFlight }: Scale): string {
  return bySystem(
    inFlight.map((n) => `${n} in flight`),
    (system) =>
      inFlight.map((n) => {
        const figure = (name: string) => number(book.median(`uncontended/${n}/${system}`, name));
        if (system === "puts" && figure("putP50Ms") !== "") return `${figure("putP50Ms")} / ${figure("putP99Ms")}`;
        if (figure("lockP50Ms") === "") return "";
        return `${figure("lockP50Ms")} / ${figure("lockP99Ms")}, ${figure("unlockP50Ms")} / ${figure("unlockP99Ms")}`;
      }),
  );
}

const kindWords: Readonly<Record<Kind, string>> = {
  exclusive: "exclusive, each a lock of its own",
  shared: "shared, all one lock",
  "shared-and-writers": "shared, all one lock, one in 16 exclusive",
  semaphore: "a permit each, all one semaphore with enough",
  "semaphore-few": `a permit each, all one semaphore of ${FEW_PERMITS}`,
  "two-locks": "two locks of its own at once",
};

function kindRates(book: Book): string {
  const rows = kindNames.map((kind) => [
    kindWords[kind],
    ...(["client", "stub"] as const).flatMap((way) => {
      const [rate, plain] = [kind, "exclusive"].map((one) => book.median(`kinds/${one}/${way}`, "perSecond"));
      return rate === undefined || plain === undefined ? ["", ""] : [shown(rate), `${shown(rate / plain)} x`];
    }),
  ]);
  return tableOf(["claims", "TypeScript client", "", "bare stubs", ""], rows);
}

const watcherWords: Readonly<Record<(typeof watchers)[number], string>> = {
  nobody: "nobody watches, `--metrics off`",
  metrics: "metrics, read each second",
  console: "the same, and two pages of the console",
};

function watching(book: Book): string {
  const rows = watchers.map((watcher) => [
    watcherWords[watcher],
    ...["perSecond", "cpuMicros"].flatMap((figure) => {
      const [value, bare] = [watcher, "nobody"].map((one) => book.median(`watched/${one}`, figure));
      return value === undefined || bare === undefined ? ["", ""] : [shown(value), `${shown(value / bare)} x`];
    }),
  ]);
  return tableOf(["who watches", "pairs per second", "", "server CPU for a pair, µs", ""], rows);
}

function hotLock(book: Book): string {
  return bySystem(["drain", "order of the drain", "loop"], (system) => {
    const orders = book.values(`hot/drain/${system}`, "fifo");
    return [
      number(book.median(`hot/drain/${system}`, "perSecond")),
      orders.length === 0 ? "" : orders.every((fifo) => fifo === 1) ? "FIFO" : "not FIFO",
      number(book.median(`hot/loop/${system}`, "perSecond")),
    ];
  });
}

function idle(book: Book): string {
  const rows = numbered(book, "idle").map((sessions) => {
    const figure = (name: string, per = 1) => number((book.median(`idle/${sessions}`, name) ?? 0) / per);
    return [
      shown(sessions),
      figure("sessionBytes", 1024),
      figure("residentBytes", 1024 ** 2),
      figure("cpuPercent"),
      figure("etcdResidentBytes", 1024 ** 2),
      figure("etcdCpuPercent"),
      figure("lost"),
    ];
  });
  const head = ["sessions", "KiB each", "server MiB", "server CPU %", "etcd MiB", "etcd CPU %", "lost sessions"];
  return tableOf(head, rows);
}

function claims(book: Book): string {
  const figure = (name: string, per = 1) => number((book.median("claims", name) ?? Number.NaN) / per);
  if (figure("claims") === "") return "";
  return table(
    ["claims", "bytes each", "server MiB", "others' pairs/s beside them", "and without them", "lost sessions"],
    [
      [
        figure("claims"),
        figure("claimBytes"),
        figure("residentBytes", 1024 ** 2),
        figure("besidePerSecond"),
        figure("alonePerSecond"),
        figure("lost"),
      ],
    ],
  );
}

function handover(book: Book): string {
  const rows = ["release", "keep"].map((mode) => [
    mode === "release" ? "`RELEASE`" : `\`KEEP\`, TTL ${KEEP_TTL_SECONDS} s`,
    number(book.median(`handover/${mode}`, "medianMs")),
    number(book.median(`handover/${mode}`, "maxMs")),
  ]);
  return tableOf(["session", "median", "longest"], rows);
}

/** A line for each system that has figures. */
function bySystem(head: readonly string[], cells: (system: string) => readonly string[]): string {
  return tableOf(
    ["system", ...head],
    systems.map(([system, name]) => [name, ...cells(system)]),
  );
}

/** Without the rows that have nothing to say; empty if none has. The first `labels` cells only say what it is about. */
function tableOf(head: readonly string[], rows: readonly (readonly string[])[], labels = 1): string {
  const telling = rows.filter((row) => row.slice(labels).some((cell) => cell !== ""));
  return telling.length === 0 ? "" : table(head, telling);
}

/** The numbers n for which there are rows "<kind>/n". */
function numbered(book: Book, kind: string): readonly number[] {
  return book
    .rows()
    .filter((row) => row.startsWith(`${kind}/`))
    .map((row) => Number(row.slice(kind.length + 1)));
}

const number = (value: number | undefined): string => (value === undefined || Number.isNaN(value) ? "" : shown(value));
