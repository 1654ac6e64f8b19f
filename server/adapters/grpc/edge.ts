import type { LockEngine } from "../../engine/lock-engine.ts";
import type { GrpcLimits } from "./limits.ts";
import type { OpenCalls } from "./open-calls.ts";
import type { Pings } from "./pings.ts";
import type { Turn } from "./turn.ts";

/** Where what happened is written, for who runs the server: past tense, with fields, no payloads. */
export interface EdgeLog {
  event(level: "info" | "warn" | "error", name: string, fields?: Readonly<Record<string, string | number>>): void;
}

/** What all calls of one server share. */
export interface Edge {
  readonly engine: LockEngine;
  readonly limits: GrpcLimits;
  readonly log: EdgeLog;
  readonly turn: Turn;
  readonly pings: Pings;
  readonly calls: OpenCalls;
}
