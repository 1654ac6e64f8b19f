/**
 * A client process of the fault runs: takes locks, touches what they guard, gives them back, and writes down when it
 * asked for what and what it was told. A line is on the disk before anything follows from it, so that one who is killed
 * has told everything.
 */
import { openSync, writeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { type Client, connect, type HeldLock, HoldfastError } from "../../clients/typescript/src/index.ts";
import { monotonicMs } from "../support/monotonic.ts";
import { Random } from "../support/random.ts";
import {
  type ClientLine,
  type ClientOrder,
  type ClientTask,
  claimValue,
  type LockSpec,
  type Touch,
  type TouchAnswer,
} from "./client-log.ts";

const LOOK_EVERY_MS = 50;

const task: ClientTask = JSON.parse(process.argv[2]!);
const random = new Random(task.seed);
const log = openSync(task.logFile, "a");
const held = new Map<number, HeldLock>();
const answers = new Map<number, (answer: TouchAnswer) => void>();
let ops = 0;
let isFinishing = false;

type Told = ClientLine extends infer Line ? (Line extends ClientLine ? Omit<Line, "atMs" | "op"> : never) : never;

const nowMs = (): number => monotonicMs() - task.clockAheadMs;

function tell(op: number, line: Told, atMs = nowMs()): void {
  writeSync(log, `${JSON.stringify({ atMs, op, ...line })}\n`);
}

/** Looks at what is held; the time is taken before, so that it was believed then if it is believed at all. */
function look(op: number, lock: HeldLock): void {
  const atMs = nowMs();
  if (lock.held) tell(op, { kind: "believes", untilMs: atMs + lock.remainingMs }, atMs);
}

async function touch(op: number, lock: string, token: number, what: "read" | "write", value: number) {
  tell(op, { kind: "touches", what, value });
  const answer = await new Promise<TouchAnswer>((resolve) => {
    answers.set(op, resolve);
    process.send!({ op, lock, token, what, value } satisfies Touch);
  });
  answers.delete(op);
  tell(op, { kind: "touched", accepted: answer.accepted, value: answer.value });
  return answer;
}

interface Wish {
  readonly locks: readonly LockSpec[];
  readonly waitMs?: number;
  readonly cancelAfterMs?: number;
}

/** Has a claim granted, or not. */
async function take(client: Client, wish: Wish): Promise<{ op: number; lock: HeldLock } | undefined> {
  const op = ++ops;
  const { locks, waitMs, cancelAfterMs } = wish;
  const controller = new AbortController();
  const cancel = (): void => {
    tell(op, { kind: "cancels" });
    controller.abort();
  };
  const timer = cancelAfterMs === undefined ? undefined : setTimeout(cancel, cancelAfterMs);
  tell(op, { kind: "asks", locks, waitMs: waitMs ?? null });
  try {
    const options = { signal: controller.signal, value: claimValue(task.name, op) };
    const lock = await client.acquire(locks, waitMs === undefined ? options : { ...options, waitMs });
    tell(op, { kind: "granted", sessionId: client.sessionId ?? "", token: Number(lock.token) });
    held.set(op, lock);
    // Also if it is lost by now: this process may have been stopped since.
    lock.onLost(({ reason }) => {
      if (held.delete(op)) tell(op, { kind: "lost", reason });
    });
    look(op, lock);
    return { op, lock };
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    tell(op, { kind: "refused", reason: error.reason });
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

/** `leave`: how the claim is given back. */
async function giveBack(op: number, lock: HeldLock, how: "release" | "close", leave: () => Promise<unknown>) {
  look(op, lock);
  const wasHeld = held.delete(op);
  tell(op, { kind: "releases", how });
  const outcome = await leave();
  tell(op, { kind: "released", outcome: how === "close" && wasHeld ? "released" : (outcome as "released" | "lost") });
}

const exclusive = (name: string): LockSpec => ({ name, mode: "exclusive", permits: 0, limit: 0 });

function wish(): Wish {
  const fate = random.next();
  const hot = exclusive(`hot/${1 + random.below(5)}`);
  if (fate < 0.4) return { locks: [hot] };
  if (fate < 0.55) return { locks: [hot], waitMs: 0 };
  if (fate < 0.65) return { locks: [hot], waitMs: 50 + random.below(1500) };
  if (fate < 0.75) return { locks: [hot], cancelAfterMs: random.below(300) };
  if (fate < 0.82) return { locks: [{ ...exclusive("shared/1"), mode: "shared" }] };
  if (fate < 0.86) return { locks: [exclusive("shared/1")] };
  if (fate < 0.93) return { locks: [{ name: "permits/1", mode: "semaphore", permits: 1 + random.below(2), limit: 3 }] };
  return { locks: ["hot/2", "hot/1"].map(exclusive) };
}

/** Uses what the lock guards, without looking whether it is still held: that is what the token is for. */
async function work(op: number, lock: HeldLock, locks: readonly LockSpec[]): Promise<void> {
  const pauseMs = random.happens(0.03) ? random.below(500) : random.below(30);
  const [first] = locks;
  if (first?.mode !== "exclusive" || !first.name.startsWith("hot/")) return void (await delay(pauseMs));
  const token = Number(lock.token);
  const { accepted, value } = await touch(op, first.name, token, "read", 0);
  await delay(pauseMs);
  if (accepted) await touch(op, first.name, token, "write", value + 1);
}

/** One of several that share a client. */
async function share(client: Client): Promise<void> {
  while (!isFinishing) {
    const wanted = wish();
    const taken = await take(client, wanted);
    if (taken !== undefined) {
      await work(taken.op, taken.lock, wanted.locks);
      await giveBack(taken.op, taken.lock, "release", () => taken.lock.release());
    }
    await delay(random.below(40));
  }
}

/** One with a client of its own, who sometimes leaves by closing it. */
async function come(): Promise<void> {
  while (!isFinishing) {
    const client = connect(task.addresses, task.options);
    const wanted = wish();
    const taken = await take(client, wanted);
    if (taken !== undefined) {
      await work(taken.op, taken.lock, wanted.locks);
      if (random.happens(0.5)) await giveBack(taken.op, taken.lock, "release", () => taken.lock.release());
      else await giveBack(taken.op, taken.lock, "close", () => client.close());
    }
    await client.close();
    await delay(random.below(200));
  }
}

/** Holds one lock all the time, and takes it again if it was lost. */
async function keep(client: Client, name: string): Promise<void> {
  while (!isFinishing) {
    const taken = await take(client, { locks: [exclusive(name)] });
    if (taken === undefined) continue;
    const lost = new Promise((resolve) => taken.lock.onLost(resolve));
    await Promise.race([lost, finishing.promise]);
    await giveBack(taken.op, taken.lock, "release", () => taken.lock.release());
  }
}

/** Takes a lock of its own and gives it back. */
async function probe(client: Client, name: string): Promise<void> {
  while (!isFinishing) {
    const taken = await take(client, { locks: [exclusive(name)] });
    if (taken !== undefined) await giveBack(taken.op, taken.lock, "release", () => taken.lock.release());
    await delay(5);
  }
}

const finishing = Promise.withResolvers<void>();

process.on("message", (order: ClientOrder) => {
  if (order.kind === "answer") answers.get(order.answer.op)?.(order.answer);
  else if (order.kind === "block") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, order.forMs);
  else {
    isFinishing = true;
    finishing.resolve();
  }
});

const client = connect(task.addresses, task.options);
const looking = setInterval(() => {
  for (const [op, lock] of held) look(op, lock);
}, LOOK_EVERY_MS);
const { load } = task;
const works =
  load.kind === "mixed"
    ? [come(), ...Array.from({ length: load.workers }, () => share(client))]
    : [
        keep(client, `${load.name}/kept`),
        ...Array.from({ length: load.workers }, (_, i) => probe(client, `${load.name}/${i}`)),
      ];
await Promise.all(works);
await client.close();
clearInterval(looking);
// From here on nothing is to keep it running.
process.disconnect();
