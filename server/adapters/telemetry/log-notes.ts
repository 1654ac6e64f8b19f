import type { EngineNote, Telemetry } from "../../ports/telemetry.ts";
import type { Log, LogFields, LogLevel } from "./log.ts";

/** How often an event that asks for attention is written while it goes on and on. */
const REPEAT_AFTER_MS = 1_000;

/**
 * Writes what the engine tells to a log. Events of level `warn` come at most once a second each; the next one says
 * how many were left out.
 */
export function logNotes(log: Log, nowMs: () => number): Telemetry {
  const warned = new Map<string, { atMs: number; leftOut: number }>();
  return {
    note(note) {
      const { kind } = note;
      const level = levelOf(note);
      if (!log.has(level)) return;
      // Each act of an administrator is told, however many there are.
      if (level !== "warn" || kind === "claim.forced" || kind === "session.forced")
        return log.event(level, kind, fieldsOf(note));
      const last = warned.get(kind);
      if (last !== undefined && nowMs() - last.atMs < REPEAT_AFTER_MS) {
        last.leftOut++;
        return;
      }
      warned.set(kind, { atMs: nowMs(), leftOut: 0 });
      log.event(level, kind, { ...fieldsOf(note), leftOut: last?.leftOut || undefined });
    },
  };
}

/** What a note says, with names and ids in the place of what it points to. */
function fieldsOf(note: EngineNote): LogFields {
  const { kind: _, ...told } = "actor" in note ? { ...note, actor: note.actor || undefined } : note;
  const { session, claim, ...fields } = told as typeof told & Partial<Extract<EngineNote, { kind: "claim.granted" }>>;
  if (session === undefined) return fields as LogFields;
  const about = claim && { lock: claim.request.locks.map(({ name }) => name).join(" "), claim: claim.id };
  // Of a traced acquire: where the rest of its story is.
  const trace = claim?.request.traceparent?.slice(3, 35);
  return { ...about, session: session.id, trace, ...(fields as LogFields) };
}

function levelOf(note: EngineNote): LogLevel {
  switch (note.kind) {
    case "session.opened":
    case "session.ended":
      return "info";
    case "server.registered":
      return note.again ? "warn" : "info";
    case "claim.waiting":
    case "claim.granted":
    case "claim.denied":
    case "claim.released":
    case "claim.lost":
    case "servers.told":
      return "debug";
    case "deadlock.found":
    case "server.draining":
      return "info";
    case "claim.forced":
    case "session.forced":
      return "warn";
    case "heartbeat.late":
      return "warn";
    case "stream.cut-off":
      // The stream itself tells it, with its peer.
      return "debug";
    case "store.committed":
      return note.outcome === "decided" ? "debug" : "warn";
    case "lease.renewed":
      return note.outcome === "unavailable" ? "warn" : "debug";
    case "table.resynced":
    case "engine.paused":
      return "warn";
    case "engine.failed":
      return "error";
    default:
      return note satisfies never;
  }
}
