import { isFree } from "../../server/adapters/etcd/embedded.ts";

/** Each of up to three processes in which vitest runs tests side by side has ports of its own, below those of `freePort`. */
const EACH = 2_900;
const worker = Number(process.env.VITEST_POOL_ID ?? 1);
if (worker > 3) throw new Error("there are ports for three workers");
const first = 1_100 + (worker - 1) * EACH;
let next = Math.floor(Math.random() * EACH);

/**
 * A port of 127.0.0.1 that nobody listens on, for what listens there later, or there again after a restart: until
 * then no other test gets it, nor does any connection.
 */
export async function reservePort(): Promise<number> {
  for (;;) {
    const port = first + (next++ % EACH);
    if (await isFree(port)) return port;
  }
}
