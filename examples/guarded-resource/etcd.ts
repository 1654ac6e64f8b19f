import type { Etcd3 } from "etcd3";
import type { Client, HeldLock } from "../../clients/typescript/src/index.ts";

/**
 * Writes a key in the etcd that Holdfast itself uses, if this grant is still live: the transaction compares the
 * creation of the claim's own key, which is in its fencing token (create revision x 128 + ordinal), and that its
 * session is there. Nobody else can be entitled while both are, so the write is refused from the very moment at
 * which the lock is lost, not only once the next holder has written. Returns whether it was written.
 *
 * It reaches below the service, into keys that docs/DESIGN.md section 5 describes; `prefix` is the server's.
 */
export async function guardedPut(etcd: Etcd3, prefix: string, claim: LiveClaim, write: [key: string, value: string]) {
  const { lock, sessionId, claimId, token } = claim;
  const { succeeded } = await etcd
    .if(
      `${prefix}claim/${lock}//${sessionId}/${claimId.toString(16).padStart(16, "0")}`,
      "Create",
      "==",
      `${token / 128n}`,
    )
    .and(`${prefix}session/${sessionId}`, "Create", "!=", 0)
    .then(etcd.put(write[0]).value(write[1]))
    .commit();
  return succeeded;
}

export interface LiveClaim {
  readonly lock: string;
  readonly sessionId: string;
  readonly claimId: bigint;
  readonly token: bigint;
}

/** What names the grant in etcd. Throws if it is over already. */
export async function claimOf(client: Client, { name, token }: HeldLock): Promise<LiveClaim> {
  const { claim } = await client.checkToken(name, token);
  if (claim === undefined) throw new Error(`the grant of "${name}" with token ${token} is over`);
  return { lock: name, sessionId: claim.sessionId, claimId: claim.claimId, token };
}
