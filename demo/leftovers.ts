/** What is in an etcd. */
export interface Leftovers {
  readonly keys: number;
  readonly leases: number;
}

/** By it a server notices that etcd was restored from a backup: it is there for as long as the data. */
const STAYS = "holdfast/store";

/** The longest that a lease outlives its session: for 1.02 x TTL + 2 s, rounded up, etcd takes half a second more. */
const longestMs = (ttlMs: number) => 1.02 * ttlMs + 3_500;

/**
 * Counts what is left of ours in an etcd that nobody else uses, by etcd's own HTTP gateway and none of our code. Asks
 * again for a few seconds: leases are revoked in the background, and at the latest expire.
 */
export async function countLeftovers(etcd: string, ttlMs: number): Promise<Leftovers> {
  for (const untilMs = performance.now() + longestMs(ttlMs); ; ) {
    const all = { key: base64("\0"), range_end: base64("\0"), keys_only: true };
    const { kvs = [] } = await ask(etcd, "kv/range", all);
    const keys = kvs.filter(({ key }) => Buffer.from(key, "base64").toString() !== STAYS);
    const { leases = [] } = await ask(etcd, "lease/leases", {});
    const left = { keys: keys.length, leases: leases.length };
    if ((left.keys === 0 && left.leases === 0) || performance.now() > untilMs) return left;
  }
}

interface Answer {
  readonly kvs?: readonly { readonly key: string }[];
  readonly leases?: readonly unknown[];
}

async function ask(etcd: string, method: string, request: object): Promise<Answer> {
  const response = await fetch(`http://${etcd}/v3/${method}`, { method: "POST", body: JSON.stringify(request) });
  if (!response.ok) throw new Error(`etcd answered ${response.status} to ${method}`);
  return (await response.json()) as Answer;
}

const base64 = (text: string) => Buffer.from(text).toString("base64");
