/** A process of the soak: takes and gives back locks as fast as it can, in all ways, until it is told to finish. */
import { type Client, connect, HoldfastError, semaphore, shared } from "../../clients/typescript/src/index.ts";

/** What main.ts starts it with. */
export interface Soak {
  readonly addresses: readonly string[];
  /** How many work at a time, over one session. */
  readonly workers: number;
  readonly number: number;
}

/** What it tells main.ts, once a second. */
export interface SoakNews {
  /** Locks taken since it last told. */
  readonly taken: number;
  /** Claims that were refused or lost, by reason: nothing goes wrong, so only a few kinds are in order. */
  readonly troubles: Readonly<Record<string, number>>;
}

const { addresses, workers, number }: Soak = JSON.parse(process.argv[2]!);
const client = connect(addresses, { clientName: `soak-${number}` });
let isOver = false;
let taken = 0;
let troubles: Record<string, number> = {};

function tell(): void {
  process.send!({ taken, troubles } satisfies SoakNews);
  taken = 0;
  troubles = {};
}

/** Locks that come and go by name, one that all want, sharers, permits, several at once, and cancelled waits. */
async function work(own: number): Promise<void> {
  for (let round = 0; !isOver; round++) {
    try {
      await once(round % 10, `soak/${number}/${own}/${round % 1000}`);
      taken++;
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      troubles[error.reason] = (troubles[error.reason] ?? 0) + 1;
    }
  }
}

async function once(kind: number, own: string): Promise<unknown> {
  if (kind === 0) return client.withLock("soak/hot", () => undefined);
  if (kind === 1) return client.withLock(shared("soak/shared"), () => undefined);
  if (kind === 2) return client.withLock(semaphore("soak/permits", { limit: 20 }), () => undefined);
  if (kind === 3) return client.withLock([own, `${own}/too`], (lock) => lock.update("both"));
  if (kind === 4) return client.acquire("soak/hot", { signal: AbortSignal.timeout(1) }).then((lock) => lock.release());
  if (kind === 5) return withAnother((other) => other.withLock(own, () => undefined));
  // Long after it is given back its time to wait is not over.
  return client.withLock(own, { waitMs: 3_600_000 }, () => undefined);
}

/** Sessions come and go, too. */
async function withAnother(use: (client: Client) => Promise<unknown>): Promise<void> {
  if (Math.random() > 0.02) return;
  await using other = connect(addresses);
  await use(other);
}

const telling = setInterval(tell, 1000);
process.on("message", () => {
  isOver = true;
});
process.on("disconnect", () => process.exit());
await Promise.all(Array.from({ length: workers }, (_, i) => work(i)));
clearInterval(telling);
tell();
await client.close();
process.disconnect();
