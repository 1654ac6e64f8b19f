import { setTimeout as delay } from "node:timers/promises";
import { Generator } from "../process/generator.ts";
import { cpuSeconds, residentBytes, settledBytes } from "../process/usage.ts";
import type { Figures } from "../report/book.ts";
import type { Bench, Suite } from "./suite.ts";

/** Heartbeats come every third of it. */
const TTL_SECONDS = 10;

/** Sessions that do nothing but live: what one costs the server. */
export const idle: Suite = {
  name: "idle",
  groups: (scale) =>
    scale.idleSessions.map((sessions) => ({
      rounds: 1,
      cells: [{ row: `idle/${sessions}`, measure: (bench) => measure(bench, sessions) }],
    })),
};

async function measure({ scale, etcd, startServer }: Bench, sessions: number): Promise<Figures> {
  await using server = await startServer();
  await warmUp(server.address);
  const before = await settledBytes(server.pid, scale.patienceMs);
  const load = idleSessions(server.address, sessions, scale.connections);
  await load.line();
  const after = await settledBytes(server.pid, scale.patienceMs);
  const [usedFrom, etcdUsedFrom, fromMs] = [cpuSeconds(server.pid), cpuSeconds(etcd.pid), performance.now()];
  await delay(scale.idleSeconds * 1000);
  const seconds = (performance.now() - fromMs) / 1000;
  const figures = {
    sessionBytes: (after - before) / sessions,
    residentBytes: after,
    cpuPercent: (100 * (cpuSeconds(server.pid) - usedFrom)) / seconds,
    etcdCpuPercent: (100 * (cpuSeconds(etcd.pid) - etcdUsedFrom)) / seconds,
    etcdResidentBytes: residentBytes(etcd.pid),
  };
  return { ...figures, lost: await lostOf(load) };
}

/** Ends a load of sessions; how many it had lost by then, which only a starved machine explains. */
export async function lostOf(load: Generator): Promise<number> {
  const { lost, problem } = await load.end<{ lost: number; problem?: string }>();
  if (lost > 0) console.log(`\n         ${lost} sessions were lost, the first with: ${problem}`);
  return lost;
}

/** So that what a server loads and compiles once is not counted as memory of sessions. */
export async function warmUp(address: string): Promise<void> {
  const load = Generator.node("idle.ts", "--address", address, "--sessions", "100", "--claims", "10");
  await load.line();
  load.tell("claim");
  await load.line();
  await load.end();
}

function idleSessions(address: string, sessions: number, connections: number): Generator {
  return Generator.node(
    "idle.ts",
    ...["--address", address],
    ...["--sessions", `${sessions}`],
    ...["--connections", `${connections}`],
    ...["--ttl-seconds", `${TTL_SECONDS}`],
  );
}
