/**
 * A process with many buyers, started by main.ts: each takes the lock of the stock, looks what is left, and buys a
 * piece if there is one. All of them share one client, and so one session and one stream.
 */
import { connect, type HeldLock } from "../clients/typescript/src/index.ts";
import type { Step, StepAnswer } from "./stock.ts";

/** What main.ts starts it with. */
export interface Order {
  readonly server: string;
  readonly store: string;
  readonly ttlMs: number;
  readonly buyers: readonly number[];
  /**
   * What happens to the first of them who may buy: the process is killed, or stopped until its lock was lost, and the
   * buyer goes on as if nothing had been.
   */
  readonly trouble: "kill" | "pause" | undefined;
}

/** What it tells main.ts. */
export type BuyerNews =
  /** It has its session, and waits for the word to begin. */
  | { readonly kind: "ready" }
  | { readonly kind: "granted"; readonly waitedMs: number }
  /** A buyer has the lock, and waits for the trouble. */
  | { readonly kind: "in-trouble"; readonly token: string }
  | { readonly kind: "served"; readonly buyer: number; readonly bought: boolean }
  /** The lock was lost while a buyer had it. */
  | { readonly kind: "lost" }
  /** The client said so before the buyer wrote; the store refused the write all the same. */
  | { readonly kind: "refused"; readonly hadBeenTold: boolean };

const LOCK = "demo/stock";

const order: Order = JSON.parse(process.argv[2]!);
const client = connect(order.server, { ttlMs: order.ttlMs });
let isInTrouble = false;

const tell = (news: BuyerNews) => process.send!(news);

async function take(step: Step): Promise<StepAnswer> {
  const response = await fetch(order.store, { method: "POST", body: JSON.stringify(step) });
  return (await response.json()) as StepAnswer;
}

/** Comes until served. */
async function shop(buyer: number): Promise<void> {
  while (!(await visit(buyer))) {
    // Refused: again, at the end of the queue.
  }
}

async function visit(buyer: number): Promise<boolean> {
  const startMs = performance.now();
  const lock = await client.acquire(LOCK, { purpose: `buyer ${buyer}` });
  tell({ kind: "granted", waitedMs: performance.now() - startMs });
  const done = await buy(buyer, lock);
  if ((await lock.release()) === "lost") tell({ kind: "lost" });
  return done;
}

/** Buys a piece, if one is left. `false`: the store refused. */
async function buy(buyer: number, lock: HeldLock): Promise<boolean> {
  const token = String(lock.token);
  const entered = await take({ step: "enter", token, buyer });
  if (entered.kind === "stale") return false;
  const { left, hasBought } = entered;
  const mayBuy = left > 0 && !hasBought;
  if (order.trouble !== undefined && !isInTrouble && mayBuy) await meetTrouble(token);
  if (mayBuy) {
    const { aborted: hadBeenTold } = lock.signal;
    const written = await take({ step: "write", token, buyer, left: left - 1 });
    if (written.kind === "stale") {
      tell({ kind: "refused", hadBeenTold });
      return false;
    }
  }
  await take({ step: "leave", token, buyer });
  tell({ kind: "served", buyer, bought: mayBuy || hasBought });
  return true;
}

/** Says so, and waits to be killed; or to be told, after a pause that it did not notice, to go on. */
async function meetTrouble(token: string): Promise<void> {
  isInTrouble = true;
  const goOn = new Promise((resolve) => process.once("message", resolve));
  tell({ kind: "in-trouble", token });
  await goOn;
}

/** How many of them wait at a time: so few that every process has its turn while there is something to sell. */
const AT_ONCE = 30;

process.on("disconnect", () => process.exit());
await client.ready();
const begin = new Promise((resolve) => process.once("message", resolve));
tell({ kind: "ready" });
await begin;
const queue = order.buyers.values();
const shopInTurn = async () => {
  for (const buyer of queue) await shop(buyer);
};
await Promise.all(Array.from({ length: AT_ONCE }, shopInTurn));
await client.close();
process.disconnect();
