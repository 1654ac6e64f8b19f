/** A process with claims that wait for the locks of the victims. Says when they wait, and when each was granted. */
import { StubSession } from "../support/stub-session.ts";

export interface WaitersTask {
  readonly addresses: readonly string[];
  /** How many locks. */
  readonly sessions: number;
}

/** `atMs`: on the clock of `monotonicMs`. */
export type WaitersSaid = { readonly what: "waiting" } | { readonly what: "granted"; readonly atMs: readonly number[] };

/** Claims of one session, of which it may have 1,000. */
const PER_SESSION = 900;

const { addresses, sessions: count } = JSON.parse(process.argv[2]!) as WaitersTask;
const say = (said: WaitersSaid) => process.send!(said);

const grants: Promise<{ readonly atMs: number }>[] = [];
for (let from = 0, i = 0; from < count; from += PER_SESSION, i++) {
  const session = await StubSession.open(addresses[i % addresses.length]!, { ttlMs: 60_000, keep: true });
  const claims = Array.from({ length: Math.min(PER_SESSION, count - from) }, (_, k) =>
    session.acquire(`dead/${from + k}`),
  );
  await Promise.all(claims.map((claim) => claim.waits()));
  grants.push(...claims.map(({ granted }) => granted));
}
say({ what: "waiting" });
say({ what: "granted", atMs: (await Promise.all(grants)).map(({ atMs }) => atMs) });
