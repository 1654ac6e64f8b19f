/**
 * Load at full speed through several servers, for as long as one likes: `node test/soak/main.ts [--minutes 60]
 * [--servers 3] [--clients 3] [--workers 40]`. Prints a table of locks per second, memory in MiB of every process, and
 * the size of etcd's database; fails if something grew after the first third of the time, if a claim was lost, or if
 * anything is left in etcd.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { credentials } from "@grpc/grpc-js";
import { MaintenanceClient, type StatusResponse } from "../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import { eventually } from "../support/eventually.ts";
import { Service } from "../support/service.ts";
import type { Soak, SoakNews } from "./locker.ts";
import { type Sample, tableOf, whatGrew } from "./samples.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    servers: { type: "string", default: "3" },
    clients: { type: "string", default: "3" },
    workers: { type: "string", default: "40" },
  },
});
const totalS = Number(values.minutes) * 60;
/** Enough for floors, and not too many. */
const SAMPLES = Math.min(120, Math.max(6, Math.floor(totalS / 5)));
/** What can happen to a claim here although all is well: two of the ways in which it is asked for end so. */
const IN_ORDER = new Set(["aborted"]);

process.exitCode = await soak();

async function soak(): Promise<number> {
  await using service = await Service.start({ servers: Number(values.servers), flags: ["--log-level", "warn"] });
  const addresses = service.servers.map(({ grpcAddress }) => grpcAddress);
  const news: SoakNews[] = [];
  const clients = Array.from({ length: Number(values.clients) }, (_, number) => {
    const task: Soak = { addresses, workers: Number(values.workers), number };
    const child = fork(new URL("./locker.ts", import.meta.url), [JSON.stringify(task)]);
    child.on("message", (each: SoakNews) => news.push(each));
    return child;
  });
  const samples = await takeSamples(service, clients, news);
  for (const child of clients) child.send("finish");
  const codes = await Promise.all(clients.map(async (child) => (await once(child, "exit"))[0]));
  await eventually(async () => [await service.etcd.countKeys(), await service.etcd.countLeases()], [0, 0], 60_000);

  const problems = whatGrew(samples);
  if (codes.some((code) => code !== 0)) problems.push(`client processes ended with ${codes.join()}`);
  const troubles = new Map<string, number>();
  for (const each of news)
    for (const [reason, count] of Object.entries(each.troubles))
      troubles.set(reason, (troubles.get(reason) ?? 0) + count);
  for (const [reason, count] of troubles) if (!IN_ORDER.has(reason)) problems.push(`${count} claims: ${reason}`);
  console.log(tableOf(samples, 24));
  const taken = news.reduce((sum, each) => sum + each.taken, 0);
  console.log(
    `${taken} locks taken in ${totalS.toFixed(0)} s through ${addresses.length} servers; nothing left in etcd`,
  );
  console.log(problems.length === 0 ? "memory and database are flat" : `FAILED: ${problems.join("; ")}`);
  return problems.length === 0 ? 0 : 1;
}

async function takeSamples(service: Service, clients: readonly ChildProcess[], news: readonly SoakNews[]) {
  const maintenance = new MaintenanceClient(service.etcd.endpoint, credentials.createInsecure());
  const samples: Sample[] = [];
  const startedMs = performance.now();
  const takenBy = (): number => news.reduce((sum, { taken }) => sum + taken, 0);
  let [takenBefore, atBefore] = [0, 0];
  for (let i = 1; i <= SAMPLES; i++) {
    await delay(startedMs + (i * totalS * 1000) / SAMPLES - performance.now());
    const atS = (performance.now() - startedMs) / 1000;
    const taken = takenBy();
    const { dbSize, dbSizeInUse } = await statusOf(maintenance);
    samples.push({
      atS,
      perSecond: (taken - takenBefore) / (atS - atBefore),
      memory: Object.fromEntries([
        ...service.servers.map(({ pid }, n) => [`server ${n + 1}`, residentBytes(pid)]),
        ...clients.map(({ pid }, n) => [`client ${n + 1}`, residentBytes(pid!)]),
        ["etcd", residentBytes(service.etcd.pid)],
      ]),
      database: Number(dbSize),
      databaseInUse: Number(dbSizeInUse),
    });
    [takenBefore, atBefore] = [taken, atS];
  }
  maintenance.close();
  return samples;
}

function statusOf(maintenance: MaintenanceClient): Promise<StatusResponse> {
  return new Promise((resolve, reject) => {
    maintenance.status({}, (error, response) => (error === null ? resolve(response) : reject(error)));
  });
}

/** Resident memory of a process. */
function residentBytes(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) * 1024;
}
