import { SweepClaims } from "../core/claim-operations.ts";
import type { SessionHost } from "../core/session-host.ts";

/** How many keys a sweep deletes at a time. */
const SWEEP_KEYS = 40;

/** Deletes the claim keys that an ended session leaves behind, and then revokes its lease, which frees nothing any more. */
export function sweep(
  host: Pick<SessionHost, "table" | "revokeLease" | "submit" | "after">,
  session: { readonly id: string; readonly lease: bigint },
): void {
  const garbage = host.table.garbageOfSession(session.id);
  if (garbage.length === 0) return host.revokeLease(session.lease);
  let left = Math.ceil(garbage.length / SWEEP_KEYS);
  for (let at = 0; at < garbage.length; at += SWEEP_KEYS) {
    const part: SweepClaims = new SweepClaims(session.id, garbage.slice(at, at + SWEEP_KEYS), (known) => {
      if (!known) host.after(200, () => host.submit(part));
      else if (--left === 0) host.revokeLease(session.lease);
    });
    host.submit(part);
  }
}
