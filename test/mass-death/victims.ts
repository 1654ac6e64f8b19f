/** A process with many sessions, each of which holds a lock: made to be killed. Says on its IPC channel how far it is. */
import { StubSession, stubOf } from "../support/stub-session.ts";

export interface VictimTask {
  readonly addresses: readonly string[];
  readonly sessions: number;
  readonly ttlMs: number;
  readonly keep: boolean;
}

/** So many sessions share a connection, as those of one program do. */
const PER_CONNECTION = 500;
/** So many are opened at a time. */
const AT_A_TIME = 200;

const task = JSON.parse(process.argv[2]!) as VictimTask;
const stubs = Array.from({ length: Math.ceil(task.sessions / PER_CONNECTION) }, (_, i) =>
  stubOf(task.addresses[i % task.addresses.length]!),
);
const sessions: StubSession[] = [];

async function open(i: number): Promise<void> {
  const { addresses, ttlMs, keep } = task;
  const stub = stubs[Math.floor(i / PER_CONNECTION)]!;
  const address = addresses[Math.floor(i / PER_CONNECTION) % addresses.length]!;
  let session: StubSession | undefined;
  // Where thousands are opened at once on a machine that is busy, etcd may be late for one.
  while (session === undefined)
    session = await StubSession.open(address, { ttlMs, keep, heartbeat: true, stub }).catch(() => undefined);
  // All beat together, below: then all die together.
  session.stopBeating();
  await session.take(`dead/${i}`);
  sessions.push(session);
}

async function beatTogether(): Promise<void> {
  // One that has died before its time has died all the same.
  await Promise.all(sessions.map((session) => session.acked(session.beat()).catch(() => undefined)));
}

// Those that were opened first must not die before their time.
const beating = setInterval(() => void beatTogether(), task.ttlMs / 3);
for (let i = 0; i < task.sessions; i += AT_A_TIME) {
  await Promise.all(Array.from({ length: Math.min(AT_A_TIME, task.sessions - i) }, (_, k) => open(i + k)));
}
process.send!({ what: "ready" });
process.on("message", async () => {
  clearInterval(beating);
  await beatTogether();
  process.send!({ what: "beaten" });
});
