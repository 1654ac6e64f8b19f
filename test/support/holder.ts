/** The process behind `ClientProcess`: takes a lock, holds it, and tells what it sees. */
import { connect, type HeldLock } from "../../clients/typescript/src/index.ts";
import type { HolderNews, HolderOrder, HolderTask } from "./client-process.ts";
import { monotonicMs } from "./monotonic.ts";

const LOOK_EVERY_MS = 20;

const { addresses, lock: target, options }: HolderTask = JSON.parse(process.argv[2]!);
const tell = (news: HolderNews) => process.send!(news);

const client = connect(addresses, options);
const lock = await client.acquire(target);
tell({ kind: "granted", token: String(lock.token), atMs: monotonicMs() });
// Also if it is lost by now: whoever started this may have stopped it since it told of the grant.
lock.onLost(({ reason }) => tell({ kind: "lost", reason, atMs: monotonicMs() }));
setInterval(() => look(lock), LOOK_EVERY_MS);

process.on("message", (order: HolderOrder) => {
  if (order.kind === "block") block(order.forMs);
  else tell({ kind: "writes", token: String(lock.token) });
});
// It goes when the test does, however that went.
process.on("disconnect", () => process.exit());

function look(lock: HeldLock): void {
  // First: what is true later was true then.
  const atMs = monotonicMs();
  const { held, remainingMs } = lock;
  tell({ kind: "looked", held, deadlineMs: atMs + remainingMs, atMs });
}

function block(forMs: number): void {
  const untilMs = monotonicMs() + forMs;
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  let lastHeldMs = Number.NEGATIVE_INFINITY;
  while (monotonicMs() < untilMs) {
    const atMs = monotonicMs();
    if (lock.held) lastHeldMs = atMs;
    Atomics.wait(sleeper, 0, 0, 5);
  }
  tell({ kind: "unblocked", lastHeldMs, atMs: monotonicMs() });
}
