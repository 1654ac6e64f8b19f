import type { Leftovers } from "./leftovers.ts";
import type { SalePlan } from "./sale.ts";
import type { Books } from "./stock.ts";

/** What the demo saw. */
export interface Result extends SalePlan {
  readonly books: Books;
  readonly served: ReadonlyMap<number, boolean>;
  readonly boughtIn: ReadonlyMap<string, number>;
  readonly waitedMs: readonly number[];
  readonly killed: number;
  readonly paused: number;
  readonly lost: number;
  readonly refused: number;
  readonly refusedAndTold: number;
  readonly leftovers: Leftovers;
  readonly serverCode: number | null;
  readonly tookMs: number;
}

/** A table of what happened. */
export function report(result: Result): string {
  const { books, served, waitedMs, leftovers } = result;
  const bought = boughtBy(served);
  const sorted = waitedMs.toSorted((a, b) => a - b);
  const average = waitedMs.reduce((sum, ms) => sum + ms, 0) / waitedMs.length;
  const rows: readonly (readonly [string, string])[] = [
    ["sold", `${books.sold} of ${result.stock}, to ${books.buyers} buyers; ${books.left} left`],
    ["below zero", times(books.timesNegative)],
    ["two inside", times(books.twoInside)],
    ["served", `${served.size} buyers: ${bought} bought, ${served.size - bought} came too late`],
    ["bought in", [...result.boughtIn].map(([language, count]) => `${language} ${count}`).join(", ")],
    ["grants", String(waitedMs.length)],
    ["killed", `${result.killed} processes, with kill -9, while they held the lock`],
    ["paused", `${result.paused} processes, while they held the lock, until another had it`],
    ["losses", `${result.killed + result.lost} locks; ${result.lost} holders lived to be told`],
    ["stale writes", `${books.staleRefused} refused; ${result.refusedAndTold} writers had been told before they wrote`],
    ["acquire", `average ${ms(average)}, p50 ${ms(quantile(sorted, 0.5))}, p99 ${ms(quantile(sorted, 0.99))}`],
    ["left in etcd", `${leftovers.keys} keys, ${leftovers.leases} leases`],
    ["took", `${(result.tookMs / 1_000).toFixed(1)} s`],
  ];
  return ["", ...rows.map(([name, value]) => `${name.padEnd(14)}${value}`), ""].join("\n");
}

/** What is not as it must be, one line each. */
export function problemsOf(result: Result): string[] {
  const { books, stock, buyers, kills, pauses, served, leftovers } = result;
  const musts: readonly (readonly [boolean, string])[] = [
    [books.sold === stock && books.left === 0, `${books.sold} were sold and ${books.left} left, of ${stock}`],
    [books.buyers === books.sold, `${books.sold} were sold to ${books.buyers} buyers`],
    [books.timesNegative === 0, "more was sold than there was"],
    [books.twoInside === 0, "two were inside at once"],
    [served.size === buyers, `${served.size} of ${buyers} buyers were served`],
    [boughtBy(served) === books.sold, `${boughtBy(served)} buyers believe that they bought`],
    [result.killed === kills && result.paused === pauses, "not everybody who was to be got into trouble"],
    [result.lost === pauses, `${result.lost} holders were told that their lock was lost, of ${pauses}`],
    [books.staleRefused === pauses, `${books.staleRefused} stale writes were refused, of ${pauses}`],
    [result.refusedAndTold === pauses, `${result.refusedAndTold} stale writers had been told, of ${pauses}`],
    [leftovers.keys === 0 && leftovers.leases === 0, "something is left in etcd"],
    [result.serverCode === 0, `the server ended with exit code ${result.serverCode}`],
  ];
  return musts.filter(([holds]) => !holds).map(([, problem]) => problem);
}

const boughtBy = (served: ReadonlyMap<number, boolean>) => [...served.values()].filter((bought) => bought).length;
const times = (count: number) => (count === 0 ? "never" : `${count} times`);
const ms = (value: number) => `${Math.round(value)} ms`;

/** The smallest of the values, in order, that so large a part of them does not exceed. */
const quantile = (sorted: readonly number[], part: number) => sorted[Math.ceil(sorted.length * part) - 1] ?? 0;
