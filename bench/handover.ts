/**
 * Kills a process that holds a lock, and takes the time until the next in the queue is granted it. Prints all times
 * as one line of JSON. `make bench` runs it; by hand:
 *
 *     node bench/handover.ts --address 127.0.0.1:7400 --times 20
 *     node bench/handover.ts --address 127.0.0.1:7400 --times 3 --keep --ttl-seconds 2
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { parseArgs } from "node:util";
import { connections } from "./load/connections.ts";
import { StubSession } from "./load/stub-session.ts";

const { values } = parseArgs({
  options: {
    address: { type: "string", default: "127.0.0.1:7400" },
    times: { type: "string", default: "20" },
    /** The holder's session outlives its stream until its TTL. Otherwise it ends with the stream. */
    keep: { type: "boolean", default: false },
    "ttl-seconds": { type: "string", default: "15" },
    /** Be the victim: take this lock and hold it. */
    hold: { type: "string" },
  },
});

const [stub] = connections(values.address, 1);
const ttlSeconds = Number(values["ttl-seconds"]);

if (values.hold === undefined) {
  const ms: number[] = [];
  for (let i = 0; i < Number(values.times); i++) ms.push(await handover(`bench/handover/${process.pid}/${i}`));
  stub!.close();
  console.log(JSON.stringify({ ms }));
} else {
  const session = await StubSession.open(stub!, { liveness: "heartbeat", ttlSeconds, keep: values.keep });
  setInterval(() => session.heartbeat(), (ttlSeconds * 1000) / 3);
  await session.acquire(values.hold);
  console.log("held");
}

async function handover(name: string): Promise<number> {
  const victim = await holderOf(name);
  const session = await StubSession.open(stub!, { liveness: "transport" });
  const { queued, granted } = session.claim(name);
  await queued;
  const fromMs = performance.now();
  victim.kill("SIGKILL");
  await granted;
  const tookMs = performance.now() - fromMs;
  await session.close();
  return tookMs;
}

/** A process of this program that holds the lock. */
async function holderOf(name: string): Promise<ChildProcess> {
  const flags = ["--hold", name, "--address", values.address, "--ttl-seconds", values["ttl-seconds"]];
  if (values.keep) flags.push("--keep");
  const child = spawn(process.execPath, [import.meta.filename, ...flags], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout!, "data");
  return child;
}
