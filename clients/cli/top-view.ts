import type { StatisticsSample } from "../typescript/src/admin.ts";
import type { LockView } from "../typescript/src/index.ts";
import { measured } from "./admin-texts.ts";
import type { Summary, Times } from "./statistics.ts";
import { counted, cut, printable, table } from "./text.ts";
import { lockCells, lockJson } from "./views.ts";

/** What `holdfast top` shows at a moment. */
export interface TopState {
  readonly wallMs: number;
  readonly serverCount: number;
  /** Addresses of servers that do not answer. */
  readonly silent: readonly string[];
  /** The first ones first. */
  readonly locks: readonly LockView[];
  /** What there is in the whole service; `undefined`: no server has counted a second yet. */
  readonly latest: StatisticsSample | undefined;
  readonly rates: Summary;
  readonly times: Summary;
}

/** The picture for people, as many lines as there are rows. */
export function topText(
  state: TopState,
  { rows, columns }: { readonly rows: number; readonly columns: number },
): string {
  const { latest, rates, times, serverCount, silent, wallMs } = state;
  const per = (count: number) => `${(count / rates.seconds).toFixed(1)}/s`;
  const servers = `${counted(serverCount, "server")}${silent.length === 0 ? "" : `, ${silent.length} silent`}`;
  const head = [
    `holdfast  ${new Date(wallMs).toISOString().slice(11, 19)}Z  ${servers}, ${counted(latest?.sessionCount ?? 0, "session")}, ` +
      `${counted(latest?.lockCount ?? 0, "lock")}, ${latest?.heldCount ?? 0} held, ${latest?.waitingCount ?? 0} waiting`,
    `grants ${per(rates.grants)}  releases ${per(rates.releases)}  denials ${per(rates.denials)}  ` +
      `losses ${per(rates.losses)}  forced ${rates.forced}  deadlocks ${rates.deadlocks}`,
    `acquire  ${timesText(times.acquireTime)}`,
    `hold     ${timesText(times.holdTime)}`,
    "",
  ];
  const shown = state.locks.slice(0, Math.max(0, rows - head.length - 2));
  const hidden = state.locks.length - shown.length;
  const list =
    shown.length === 0
      ? ["nobody holds a lock"]
      : table(
          ["LOCK", "STATE", "HOLDER", "SINCE", "WAITING", "TOKEN", "PURPOSE"],
          shown.map((lock) => [printable(lock.name), ...lockCells(lock, wallMs)]),
        ).split("\n");
  const lines = [...head, ...list, ...(hidden > 0 ? [`and ${hidden} more`] : [])];
  return lines.map((line) => cut(line, columns)).join("\n");
}

function timesText({ count, average, p50, p90, p99, max }: Times): string {
  if (average === undefined) return "none in the last minute";
  const parts = { average, p50, p90, p99, max };
  return `${Object.entries(parts)
    .map(([name, ms]) => `${name} ${measured(ms!)}`)
    .join("  ")}  of ${count}`;
}

/** The same for programs, on a line. Times are in milliseconds. */
export function topJson({ wallMs, serverCount, silent, locks, latest, rates, times }: TopState): string {
  const { acquireTime, holdTime } = times;
  return JSON.stringify({
    at: new Date(wallMs).toISOString(),
    serverCount,
    silent,
    sessions: latest?.sessionCount ?? 0,
    locks: latest?.lockCount ?? 0,
    held: latest?.heldCount ?? 0,
    waiting: latest?.waitingCount ?? 0,
    rates: ratesOf(rates),
    acquireMs: acquireTime,
    holdMs: holdTime,
    top: locks.map((lock) => JSON.parse(lockJson(lock))),
  });
}

const ratesOf = ({ seconds, grants, denials, releases, losses, forced, deadlocks }: Summary) => ({
  overSeconds: seconds,
  grants,
  denials,
  releases,
  losses,
  forced,
  deadlocks,
});
