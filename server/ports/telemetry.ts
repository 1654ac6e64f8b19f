import type { NotedClaim, NotedSession, SessionNote } from "../core/session-host.ts";

/** What happened, for those who measure and log. Nothing is decided by it, and it must not throw. */
export interface Telemetry {
  note(note: EngineNote): void;
}

export type EngineNote =
  | SessionNote
  /** An administrator ended a claim through this server. `known`: it is certain that it has ended. */
  | {
      readonly kind: "claim.forced";
      readonly session: NotedSession;
      readonly claim: NotedClaim;
      readonly token: bigint;
      readonly actor: string;
      readonly justification: string;
      readonly known: boolean;
    }
  /** Likewise a session, with all its live claims. */
  | {
      readonly kind: "session.forced";
      readonly session: NotedSession;
      readonly claims: number;
      readonly actor: string;
      readonly justification: string;
      readonly known: boolean;
    }
  /** A transaction was answered, or was not. */
  | {
      readonly kind: "store.committed";
      readonly operations: number;
      readonly tookMs: number;
      readonly outcome: "decided" | "no-space" | "lease-not-found" | "unknown";
    }
  /** The table was read anew after a gap in the watch, or because it disagreed with the store. */
  | { readonly kind: "table.resynced"; readonly revision: number; readonly why: "gap" | "disagreement" }
  /** This server is told of to the others; again, after its key or lease was lost. */
  | { readonly kind: "server.registered"; readonly address: string; readonly again: boolean }
  /** This server takes no more sessions, and has told those that it has to go elsewhere. */
  | { readonly kind: "server.draining"; readonly leaveWithinMs: number; readonly sessions: number }
  /** A client's heartbeat came after more than half of its TTL: it, or the network, is close to losing everything. */
  | { readonly kind: "heartbeat.late"; readonly session: NotedSession; readonly sinceMs: number }
  /** A client was told that the other servers are others now. */
  | { readonly kind: "servers.told"; readonly session: NotedSession; readonly servers: string }
  /** A stream was cut off because its client did not read: so many events were not sent. */
  | { readonly kind: "stream.cut-off"; readonly droppedEvents: number }
  /** A lease was renewed, or not. */
  | { readonly kind: "lease.renewed"; readonly outcome: "renewed" | "gone" | "unavailable"; readonly tookMs: number }
  /** The event loop stood still: deadlines are judged only after the sockets have been read. */
  | { readonly kind: "engine.paused"; readonly forMs: number }
  /** The server stops serving: somebody must act. */
  | { readonly kind: "engine.failed"; readonly problem: string };
