/**
 * A process with many buyers, in TypeScript: each takes the lock of the stock, looks what is left, and buys a piece if
 * there is one. All of them share one client, and so one session and one stream. demo/main.ts starts it, beside those in
 * Go and Java, and talks with it by lines of JSON.
 */
import { createInterface } from "node:readline";
import { connect, type HeldLock } from "../../clients/typescript/src/index.ts";

const [order] = process.argv.slice(2).map((text) => JSON.parse(text));
const client = connect(order.server, { ttlMs: order.ttlMs });
const lines = createInterface(process.stdin)[Symbol.asyncIterator]();
let isInTrouble = false;

const tell = (news: object) => process.stdout.write(`${JSON.stringify(news)}\n`);

/** The next word of whoever started it; without one it has nobody to work for. */
async function hear(): Promise<void> {
  if ((await lines.next()).done) process.exit();
}

async function store(step: string, token: bigint, buyer: number, left?: number) {
  const body = JSON.stringify({ step, token: String(token), buyer, left });
  const answer = await (await fetch(order.store, { method: "POST", body })).json();
  return answer as { kind: "done"; left: number; hasBought: boolean } | { kind: "stale" };
}

/** Takes the lock, and buys. `false`: the store refused, since the lock was another's by then. */
async function visit(buyer: number): Promise<boolean> {
  const startMs = performance.now();
  const lock = await client.acquire("demo/stock", { purpose: `buyer ${buyer}` });
  tell({ kind: "granted", waitedMs: performance.now() - startMs });
  const done = await buy(buyer, lock);
  if ((await lock.release()) === "lost") tell({ kind: "lost" });
  return done;
}

async function buy(buyer: number, lock: HeldLock): Promise<boolean> {
  const entered = await store("enter", lock.token, buyer);
  if (entered.kind === "stale") return false;
  const mayBuy = entered.left > 0 && !entered.hasBought;
  if (mayBuy) {
    if (order.trouble && !isInTrouble) await meetTrouble(lock.token);
    const hadBeenTold = lock.signal.aborted;
    // As if nothing had been: what holds is that the store refuses an old token.
    const written = await store("write", lock.token, buyer, entered.left - 1);
    if (written.kind === "stale") {
      tell({ kind: "refused", hadBeenTold });
      return false;
    }
  }
  await store("leave", lock.token, buyer);
  tell({ kind: "served", buyer, bought: mayBuy || entered.hasBought });
  return true;
}

/** Says that it has the lock, and waits to be killed; or, after a pause that it does not notice, to go on. */
async function meetTrouble(token: bigint): Promise<void> {
  isInTrouble = true;
  tell({ kind: "in-trouble", token: String(token) });
  await hear();
}

await client.ready();
tell({ kind: "ready" });
await hear();
const queue: Iterable<number> = order.buyers.values();
async function serve(): Promise<void> {
  for (const buyer of queue) while (!(await visit(buyer))); // refused: again, at the end of the queue
}
await Promise.all(Array.from({ length: order.atOnce }, serve));
await client.close();
process.exit();
