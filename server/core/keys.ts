/**
 * The keys of DESIGN section 5, below the configured prefix. A lock name cannot contain "//" and session
 * ids contain no "/", so a key reads both ways.
 */

/** A key, taken apart. */
export type ParsedKey =
  | { readonly kind: "session"; readonly sessionId: string }
  | { readonly kind: "claim"; readonly lock: string; readonly sessionId: string; readonly claimId: bigint }
  | { readonly kind: "server"; readonly serverId: string };

export const sessionKey = (sessionId: string): string => `session/${sessionId}`;

export const serverKey = (serverId: string): string => `server/${serverId}`;

/** The claim id is written as 16 lower-case hexadecimal digits, so that keys of one session and lock are in order. */
export const claimKey = (lock: string, sessionId: string, claimId: bigint): string =>
  `${claimsOf(lock)}${sessionId}/${claimId.toString(16).padStart(16, "0")}`;

/** The prefix of the keys of all claims on a lock, and of no other lock's. */
export const claimsOf = (lock: string): string => `claim/${lock}//`;

/** Where etcd was in its history when a server last looked. No key of the table: nothing is decided by it. */
export const STORE_KEY = "store";

/** Takes a key apart; `undefined` if it is none of ours. */
export function parseKey(key: string): ParsedKey | undefined {
  if (key.startsWith("session/")) {
    const sessionId = key.slice(8);
    return sessionId !== "" && !sessionId.includes("/") ? { kind: "session", sessionId } : undefined;
  }
  if (key.startsWith("server/")) {
    const serverId = key.slice(7);
    return serverId !== "" && !serverId.includes("/") ? { kind: "server", serverId } : undefined;
  }
  const end = key.indexOf("//");
  if (!key.startsWith("claim/") || end < 7) return undefined;
  const slash = key.indexOf("/", end + 2);
  const digits = key.slice(slash + 1);
  if (slash <= end + 2 || !/^[0-9a-f]{16}$/.test(digits)) return undefined;
  return {
    kind: "claim",
    lock: key.slice(6, end),
    sessionId: key.slice(end + 2, slash),
    claimId: BigInt(`0x${digits}`),
  };
}
