import type { LockTable } from "../core/lock-table.ts";
import { viewClaim } from "../core/views.ts";
import type { TokenView } from "./lock-engine.ts";

/**
 * How the grant with a token stands. It answers for the life of the claim and not for its grant: a token is
 * told only with its grant, and after an early hand-off another server sees the claim as waiting for a moment
 * longer (DESIGN 4.9). A claim that its client has given up has ended, whatever etcd still has.
 */
export function findToken(table: LockTable, name: string, token: bigint): TokenView {
  if (token > BigInt(table.revision) * 128n + 127n) return { state: "not-issued", claim: undefined };
  const revision = Number(token / 128n);
  for (let seat = table.queues.get(name)?.first; seat !== undefined; seat = seat.next) {
    if (seat.claim.createRevision > revision) break;
    if (seat.claim.token === token) return { state: "live", claim: viewClaim(seat, table, false) };
  }
  return { state: "ended", claim: undefined };
}
