import { createHash, timingSafeEqual } from "node:crypto";
import type { EdgeLog } from "./edge.ts";

/** Somebody who calls, as far as the transport and the call tell. */
export interface Caller {
  /** The network address, as "address:port". */
  readonly peer: string;
  /** The value of `authorization`, if it came with one. */
  readonly authorization: string | undefined;
  /** Whether it is known to come from another machine although its address is of this one: through a proxy. */
  readonly isProxied?: boolean;
}

export type Permission =
  /** `actor` names the caller in logs and to others. */
  { readonly kind: "granted"; readonly actor: string } | { readonly kind: "refused"; readonly message: string };

/**
 * Who may do what: the one place where identities and permissions are to plug in. For now everybody may look, and
 * whoever is on this machine or has the administration token may change things.
 *
 * Who comes through a proxy on this machine counts as being on it, unless that shows, as it does in HTTP: such a proxy
 * must let nobody else through to CloseSession, ReleaseLock and DrainServer.
 */
export class Access {
  readonly #tokenHash: Buffer | undefined;
  /** When a refusal was last written, and how many were not since then. */
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #leftOut = 0;

  /** `adminToken`: what lets callers from elsewhere change things; `undefined`: nothing does. */
  constructor(adminToken: string | undefined) {
    this.#tokenHash = adminToken === undefined ? undefined : hashOf(adminToken);
  }

  /** Writes to the log that somebody was refused, at most once a second: whoever tries may try often. */
  tellRefused(log: EdgeLog, method: string, { peer }: Caller): void {
    const nowMs = performance.now();
    if (nowMs - this.#toldAtMs < 1_000) {
      this.#leftOut++;
      return;
    }
    log.event("warn", "change.refused", { method, peer, leftOut: this.#leftOut });
    this.#toldAtMs = nowMs;
    this.#leftOut = 0;
  }

  /** Whether a token can let callers from elsewhere change things. */
  get takesToken(): boolean {
    return this.#tokenHash !== undefined;
  }

  /** Whether the caller may end what others hold, or drain the server. */
  mayChange({ peer, authorization, isProxied = false }: Caller): Permission {
    if (!isProxied && isOfThisMachine(peer)) return { kind: "granted", actor: peer };
    if (this.#tokenHash === undefined) return { kind: "refused", message: NO_TOKEN_HERE };
    const token = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    if (token === undefined) return { kind: "refused", message: TOKEN_WANTED };
    // Hashes have one length, whatever was sent, so that comparing them tells nothing by its time.
    if (!timingSafeEqual(hashOf(token), this.#tokenHash)) return { kind: "refused", message: WRONG_TOKEN };
    return { kind: "granted", actor: peer };
  }
}

const NO_TOKEN_HERE =
  "from another machine this server can only be looked at: call it from its own machine, " +
  "or start it with --admin-token-file";
const TOKEN_WANTED =
  'from another machine this needs the server\'s administration token, as "authorization: Bearer <token>": ' +
  "give the command line --admin-token-file";
const WRONG_TOKEN = "the token sent is not this server's administration token";

const hashOf = (text: string): Buffer => createHash("sha256").update(text).digest();

/** Whether an address is a loopback one. The port behind it is always there, so it ends at the last colon. */
function isOfThisMachine(peer: string): boolean {
  const address = peer.slice(0, peer.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1");
  return /^((::ffff:)?127(\.\d{1,3}){3}|::1)$/i.test(address);
}
