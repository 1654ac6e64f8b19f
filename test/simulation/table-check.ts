import type { Entry } from "../../server/core/entry.ts";
import { parseKey } from "../../server/core/keys.ts";
import type { LockTable } from "../../server/core/lock-table.ts";
import type { ServerTable } from "../../server/core/server-table.ts";
import { trueHolders } from "./reference.ts";
import type { Moment } from "./truth.ts";

/** In what a table differs from what etcd's keys meant at its revision, what it knows as given up left out. */
export function compareTable(table: LockTable, moment: Moment): string | undefined {
  let { claims, held } = moment;
  const isGivenUp = claims.map((claim) => table.claim(claim.sessionId, claim.claimId)?.stage === "given-up");
  if (isGivenUp.includes(true)) {
    claims = claims.filter((_, i) => !isGivenUp[i]);
    held = trueHolders(claims);
  }
  const wanted = new Map<string, string[]>();
  for (const claim of claims)
    for (const { name } of claim.locks) {
      const line = `${claim.id} ${claim.token} ${held.has(claim)}`;
      const queue = wanted.get(name);
      if (queue === undefined) wanted.set(name, [line]);
      else queue.push(line);
    }
  for (const [name, queue] of table.queues) {
    const there: string[] = [];
    for (let seat = queue.first; seat !== undefined; seat = seat.next)
      there.push(`${seat.claim.sessionId}/${seat.key.slice(-16)} ${seat.claim.token} ${seat.claim.held}`);
    const expected = (wanted.get(name) ?? []).join(", ");
    if (there.join(", ") !== expected) return `${name} is [${there.join(", ")}], and should be [${expected}]`;
    wanted.delete(name);
  }
  const missing = [...wanted.keys()][0];
  return missing === undefined ? undefined : `${missing} is missing`;
}

/** In what a table of servers differs from the keys that there are. */
export function compareServers(table: ServerTable, entries: Iterable<Entry>): string | undefined {
  const show = (id: string, about: { modRevision: number; lease: bigint; record: { draining: boolean } }) =>
    `${id}@${about.modRevision} ${about.lease} ${about.record.draining}`;
  const wanted: string[] = [];
  for (const entry of entries) {
    const parsed = parseKey(entry.key);
    if (entry.kind === "server" && parsed?.kind === "server") wanted.push(show(parsed.serverId, entry));
  }
  const there = table.list().map((server) => show(server.id, server));
  wanted.sort();
  there.sort();
  return there.join() === wanted.join() ? undefined : `knows [${there.join(", ")}] instead of [${wanted.join(", ")}]`;
}
