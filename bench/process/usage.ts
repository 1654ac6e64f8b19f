import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { median } from "../report/statistics.ts";

/** How much memory a process has resident, in bytes. Linux only. */
export function residentBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  if (kib === undefined) throw new Error(`process ${pid} has no VmRSS`);
  return Number(kib) * 1024;
}

/** How much CPU time a process has used, in seconds, by all its threads. Linux only. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The program's name may contain spaces; fields are counted from behind it. 14 and 15 are utime and stime, in
  // ticks, of which Linux has 100 a second on every machine that Node runs on.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Resident memory once it stands still: changes by less than 1 % in 3 s, or `patienceMs` have passed. */
export async function settledBytes(pid: number, patienceMs: number): Promise<number> {
  const recent: number[] = [];
  for (const untilMs = performance.now() + patienceMs; performance.now() < untilMs; await delay(250)) {
    recent.push(residentBytes(pid));
    if (recent.length > 12) recent.shift();
    if (recent.length === 12 && Math.max(...recent) < 1.01 * Math.min(...recent)) break;
  }
  return median(recent);
}
