/**
 * A job that really runs: 1,000 buyers in processes of several languages (examples/stock-sale) buy from a stock of 300, one
 * lock around each look and write. Some processes are killed while one of their buyers holds the lock, some are stopped until it was lost and
 * then go on as if nothing had been. It starts an etcd and a server of its own, on free ports, and fails if a single
 * thing is not as it must be.
 *
 * Run: `make demo`.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEmbeddedEtcd } from "../server/adapters/etcd/embedded.ts";
import { buildBuyers } from "./buyers.ts";
import { countLeftovers } from "./leftovers.ts";
import { buildEtcd, startServer } from "./processes.ts";
import { problemsOf, report } from "./report.ts";
import { Sale } from "./sale.ts";

const plan = {
  stock: 300,
  buyers: 1_000,
  processes: 9,
  /** How many processes are killed, and how many paused, while they hold the lock. */
  kills: 3,
  pauses: 3,
  /** Short: each of those costs about as long. Not shorter: a busy machine keeps programs waiting for seconds. */
  ttlMs: 6_000,
};

async function main(): Promise<number> {
  const startMs = performance.now();
  await using parts = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), "holdfast-demo-"));
  parts.defer(() => rm(dataDir, { recursive: true }));
  const etcd = parts.use(await startEmbeddedEtcd({ binary: await buildEtcd(), dataDir }));
  const programs = await buildBuyers();
  const server = parts.use(await startServer(etcd.endpoint));
  const languages = programs.map(({ language }) => language).join(", ");
  console.log(`${plan.buyers} buyers in ${plan.processes} processes (${languages}) want a piece of ${plan.stock}`);

  const sale = parts.use(new Sale(plan, server.address, programs));
  const progress = setInterval(() => console.log(`  ${sale.served.size} of ${plan.buyers} buyers served`), 2_000);
  parts.defer(() => clearInterval(progress));
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => reject(new Error(signal)));
  });
  const books = await Promise.race([sale.run(), interrupted]);

  const serverCode = await server.stop();
  const leftovers = await countLeftovers(etcd.endpoint, plan.ttlMs);
  const result = { ...plan, ...sale, books, serverCode, leftovers, tookMs: performance.now() - startMs };
  console.log(report(result));
  const problems = problemsOf(result);
  for (const problem of problems) console.error(`WRONG: ${problem}`);
  return problems.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`the demo failed: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
