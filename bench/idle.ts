/**
 * Opens sessions over a number of connections and keeps them alive with heartbeats until its standard input ends.
 * If claims are asked for, it makes them at the first line of input. Prints a line when the sessions are open, one
 * when the claims have their places, and one at the end that says how many sessions were lost. `make bench` looks at
 * the server's memory and CPU meanwhile; by hand, with Enter and Ctrl-D:
 *
 *     node bench/idle.ts --address 127.0.0.1:7400 --sessions 10000 --connections 100
 *     node bench/idle.ts --address 127.0.0.1:7400 --sessions 1000 --claims 100
 *
 * Of two neighbouring sessions both claim the same locks, so that half of the claims are held and half wait.
 */
import { once } from "node:events";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { connections } from "./load/connections.ts";
import { StubSession } from "./load/stub-session.ts";

const { values } = parseArgs({
  options: {
    address: { type: "string", default: "127.0.0.1:7400" },
    sessions: { type: "string", default: "1000" },
    connections: { type: "string", default: "100" },
    /** Of each session. */
    claims: { type: "string", default: "0" },
    "ttl-seconds": { type: "string", default: "10" },
  },
});

/** So many sessions are opened at a time: quick, without a burst of leases that only etcd's disk would feel. */
const OPENERS = 128;
/** Heartbeats are spread over the interval and over the connections, as those of independent clients are. */
const SLICES = 300;

const ttlSeconds = Number(values["ttl-seconds"]);
const stubs = connections(values.address, Number(values.connections));
const sessions: StubSession[] = [];
const total = Number(values.sessions);

const input = createInterface({ input: process.stdin });
const ended = once(input, "close");
const heartbeats = beat();

await Promise.all(Array.from({ length: OPENERS }, (_, opener) => open(opener)));
say({ opened: sessions.length });
if (Number(values.claims) > 0) {
  await Promise.race([once(input, "line"), ended]);
  const places = sessions.flatMap(claim);
  await Promise.all(places);
  say({ claimed: places.length });
}
await ended;

clearInterval(heartbeats);
const problems = sessions.map(({ problem }) => problem).filter((problem) => problem !== undefined);
await Promise.all(sessions.filter(({ problem }) => problem === undefined).map((session) => session.close()));
for (const stub of stubs) stub.close();
say({ lost: problems.length, problem: problems[0]?.message });

async function open(opener: number): Promise<void> {
  for (let i = opener; i < total; i += OPENERS) {
    sessions.push(await StubSession.open(stubs[i % stubs.length]!, { liveness: "heartbeat", ttlSeconds }));
  }
}

/** Resolves when the claims have their places. */
function claim(session: StubSession, i: number): readonly Promise<void>[] {
  const names = Array.from({ length: Number(values.claims) }, (_, k) => `bench/claims/${i >> 1}/${k}`);
  return names.map((name) => session.claim(name).queued);
}

/** A heartbeat from each session each third of its TTL. */
function beat(): NodeJS.Timeout {
  let slice = 0;
  return setInterval(
    () => {
      const from = Math.floor((slice * sessions.length) / SLICES);
      const to = Math.floor(((slice + 1) * sessions.length) / SLICES);
      for (const session of sessions.slice(from, to)) session.heartbeat();
      slice = (slice + 1) % SLICES;
    },
    (ttlSeconds * 1000) / 3 / SLICES,
  );
}

function say(line: object): void {
  console.log(JSON.stringify(line));
}
