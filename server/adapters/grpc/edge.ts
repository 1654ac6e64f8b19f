import type { ServerRecord } from "../../core/records.ts";
import type { AdminEngine } from "../../engine/admin-engine.ts";
import type { LockEngine } from "../../engine/lock-engine.ts";
import type { Telemetry } from "../../ports/telemetry.ts";
import type { Access } from "./access.ts";
import type { GrpcLimits } from "./limits.ts";
import type { OpenCalls } from "./open-calls.ts";
import type { Pings } from "./pings.ts";
import type { StoreMonitor } from "./store-monitor.ts";
import type { Turn } from "./turn.ts";

/** Where what happened is written, for who runs the server: past tense, with fields, no payloads. */
export interface EdgeLog {
  event(level: "info" | "warn" | "error", name: string, fields?: Readonly<Record<string, string | number>>): void;
}

/** What the calls for people on call need. */
export interface AdminEdge {
  readonly engine: AdminEngine;
  readonly store: StoreMonitor;
  /** Who may change things. */
  readonly access: Access;
  /** Has the server send its clients elsewhere, and end when they are gone or the time is up. */
  readonly drain: (leaveWithinMs: number) => void;
  /** What to say of this server while it is not registered. */
  readonly self: () => ServerRecord;
  /** The longest that the event loop was late lately, in milliseconds. */
  readonly eventLoopDelayMs: () => number;
}

/** What all calls of one server share. */
export interface Edge {
  readonly engine: LockEngine;
  readonly admin: AdminEdge;
  readonly limits: GrpcLimits;
  readonly log: EdgeLog;
  readonly telemetry: Telemetry;
  readonly turn: Turn;
  readonly pings: Pings;
  readonly calls: OpenCalls;
}
