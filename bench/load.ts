/**
 * Puts a load on Holdfast (or on etcd, by npm's `etcd3`) and prints what it reached as one line of JSON. A process of
 * its own, so that client and server do not share an event loop. `make bench` runs it; by hand:
 *
 *     node bench/load.ts pairs --address 127.0.0.1:7400 --way stub --in-flight 64 --sessions 1 --seconds 2
 *     node bench/load.ts pairs --address 127.0.0.1:7400 --kind shared --in-flight 64
 *     node bench/load.ts drain --address 127.0.0.1:7400 --way client --waiters 1000 --sessions 1000
 *     node bench/load.ts loop  --address 127.0.0.1:7400 --way stub --waiters 1000 --sessions 16 --seconds 2
 *     node bench/load.ts pairs --address 127.0.0.1:2379 --way etcd3 --in-flight 8
 */
import { parseArgs } from "node:util";
import { connections } from "./load/connections.ts";
import { drain, loop } from "./load/hot-lock.ts";
import { kindNames, kinds } from "./load/kinds.ts";
import { type Locker, openLockers, type Way } from "./load/locker.ts";
import { pairs } from "./load/pairs.ts";
import type { LoadResult } from "./load/result.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    address: { type: "string", default: "127.0.0.1:7400" },
    way: { type: "string", default: "client" },
    kind: { type: "string", default: "exclusive" },
    "in-flight": { type: "string", default: "1" },
    sessions: { type: "string", default: "1" },
    waiters: { type: "string", default: "1000" },
    warmup: { type: "string", default: "1" },
    seconds: { type: "string", default: "2" },
  },
});

const kind = positionals[0];
const way = oneOf<Way>(values.way, ["client", "stub", "etcd3"]);
const common = { warmupSeconds: Number(values.warmup), seconds: Number(values.seconds) };

const result = await run();
console.log(JSON.stringify(result));

async function run(): Promise<LoadResult> {
  if (kind === "pairs") {
    const load = {
      ...common,
      inFlight: Number(values["in-flight"]),
      asking: kinds[oneOf(values.kind, kindNames)],
    };
    return using(Number(values.sessions), (lockers) => pairs(lockers, load));
  }
  const load = { ...common, waiters: Number(values.waiters) };
  const [looker] = connections(values.address, 1);
  const hot = oneOf(kind, ["drain", "loop"]) === "drain" ? drain : loop;
  try {
    // The first holder has a session of its own.
    return await using(Number(values.sessions) + 1, (lockers) => hot(lockers, looker!, load));
  } finally {
    looker!.close();
  }
}

async function using(sessions: number, fn: (lockers: readonly Locker[]) => Promise<LoadResult>): Promise<LoadResult> {
  const lockers = await openLockers(way, values.address, sessions);
  try {
    return await fn(lockers);
  } finally {
    await Promise.all(lockers.map((locker) => locker.close()));
  }
}

function oneOf<T extends string>(value: string | undefined, known: readonly T[]): T {
  const found = known.find((word) => word === value);
  if (found === undefined) throw new Error(`"${value}" is none of ${known.join(", ")}`);
  return found;
}
