import type { NotedClaim, NotedSession } from "../../server/core/session-host.ts";
import type { EngineNote } from "../../server/ports/telemetry.ts";
import { exclusive } from "./key-history.ts";
import { session as sessionValue } from "./store-calls.ts";

export interface NotedFields {
  readonly locks?: readonly string[];
  readonly waitedMs?: number;
  readonly enteredMs?: number;
  readonly handOffMs?: number;
  readonly traceparent?: string;
  readonly heldMs?: number;
  readonly message?: string;
  readonly sessionId?: string;
  readonly purpose?: string;
}

type NoteOf<Kind extends EngineNote["kind"]> = Extract<EngineNote, { kind: Kind }>;

const value = sessionValue();
if (value.kind !== "session") throw new Error("it is no session");
const { record } = value;

const about = ({ locks = ["a"], sessionId = "session1", purpose = "", traceparent }: NotedFields) => ({
  session: { id: sessionId, record } satisfies NotedSession,
  claim: { id: 1n, request: { locks: locks.map(exclusive), reentryId: "", purpose, traceparent } } satisfies NotedClaim,
});

/** Notes as the engine tells them. */
export const noted = {
  granted: (fields: NotedFields = {}): NoteOf<"claim.granted"> => ({
    kind: "claim.granted",
    ...about(fields),
    token: 7n,
    mode: "exclusive",
    waitedMs: fields.waitedMs ?? 0,
    enteredMs: fields.enteredMs ?? 0,
    handOffMs: fields.handOffMs,
    reentered: false,
  }),
  denied: (reason: NoteOf<"claim.denied">["reason"], fields: NotedFields = {}): NoteOf<"claim.denied"> => ({
    kind: "claim.denied",
    ...about(fields),
    reason,
    message: fields.message ?? "",
    waitedMs: fields.waitedMs ?? 0,
  }),
  released: (fields: NotedFields = {}): NoteOf<"claim.released"> => ({
    kind: "claim.released",
    ...about(fields),
    token: fields.heldMs === undefined ? 0n : 7n,
    heldMs: fields.heldMs,
    waitedMs: fields.waitedMs,
  }),
  lost: (fields: NotedFields = {}): NoteOf<"claim.lost"> => ({
    kind: "claim.lost",
    ...about(fields),
    actor: "",
    token: 7n,
    reason: "session-expired",
    message: fields.message ?? "",
    heldMs: fields.heldMs,
  }),
};
