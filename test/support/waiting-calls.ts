/**
 * A program whose calls wait for one lock by the thousand, on one session: `node --expose-gc waiting-calls.ts
 * <address> <calls>`. Prints what each call costs while it waits, and what is left when all were granted, as JSON.
 */
import { connect, type HeldLock } from "../../clients/typescript/src/index.ts";

const [address = "", calls = "0"] = process.argv.slice(2);
const count = Number(calls);

/** What is in use, when what is not has been collected. */
function usedBytes(): number {
  for (let i = 0; i < 4; i++) globalThis.gc!();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const client = connect(address, { ttlMs: 60_000 });
// What is made once is made before anything is measured.
for (let i = 0; i < 200; i++) await (await client.acquire("waiting/warm")).release();

/** Has them all wait, and lets them in one after the other. Resolves with what they took while they waited. */
async function round(): Promise<{ readonly waitingBytes: number; readonly outOfOrder: number }> {
  const first = await client.acquire("waiting");
  const beforeBytes = usedBytes();
  let placed = 0;
  const allPlaced = Promise.withResolvers<void>();
  const waiting: (Promise<HeldLock> | undefined)[] = Array.from({ length: count }, () => {
    let isPlaced = false;
    return client.acquire("waiting", {
      onWaiting() {
        if (!isPlaced && ++placed === count) allPlaced.resolve();
        isPlaced = true;
      },
    });
  });
  await allPlaced.promise;
  const waitingBytes = usedBytes() - beforeBytes;
  await first.release();
  let token = first.token;
  let outOfOrder = 0;
  for (let i = 0; i < count; i++) {
    const lock = await waiting[i]!;
    waiting[i] = undefined;
    if (lock.token <= token) outOfOrder++;
    token = lock.token;
    void lock.release();
  }
  // Comes after every release before it.
  await (await client.acquire("waiting")).release();
  return { waitingBytes, outOfOrder };
}

// The first round also makes what stays for good: tables that have grown, code that was compiled.
await round();
const beforeBytes = usedBytes();
const { waitingBytes, outOfOrder } = await round();
const leftBytes = usedBytes() - beforeBytes;
await client.close();
console.log(JSON.stringify({ perCallBytes: waitingBytes / count, leftBytes, outOfOrder }));
