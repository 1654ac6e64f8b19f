import { lockNameProblem, utf8Length } from "../../core/lock-name.ts";
import {
  type CloseSessionRequest,
  CloseSessionResponse,
  type DrainServerRequest,
  DrainServerResponse,
  type ReleaseLockRequest,
  ReleaseLockResponse,
} from "../../gen/holdfast/v1/admin_service.ts";
import { readDuration } from "./duration.ts";
import { encode } from "./encode.ts";
import type { Change } from "./reply.ts";
import { NO_BYTES, toClaim } from "./views.ts";

const MAX_JUSTIFICATION = 256;
const DEFAULT_LEAVE_MS = 30_000;
/** The longest that a server may be told to wait for its clients. */
const MAX_LEAVE_MS = 3_600_000;

/** Frees a lock by force. */
export const releaseLock: Change<ReleaseLockRequest> = ({ admin }, request, reply, actor) => {
  const { name, fencingToken: token, justification } = request;
  const wrong = lockNameProblem(name);
  if (wrong !== undefined) return reply.fail("invalid", `name ${wrong}`);
  if (token === 0n) return reply.fail("invalid", "fencing_token is zero, which no grant has: GetLock shows it");
  const unjustified = justificationProblem(justification);
  if (unjustified !== undefined) return reply.fail("invalid", unjustified);
  admin.engine.releaseLock({ name, token, justification, actor }, (answer) => {
    if (answer.kind === "ok")
      return reply.answer(answer, name, (claim) =>
        encode(ReleaseLockResponse, { claim: { ...toClaim(claim), value: NO_BYTES } }),
      );
    const { reason, message, holders = [], holderCount = 0 } = answer;
    if (reason !== "wrong-token") return reply.fail(reason, message, name);
    reply.fail(reason, message, name, {
      kind: "denied",
      claimId: 0n,
      reason,
      message,
      lock: name,
      holders,
      holderCount,
    });
  });
};

/** Closes somebody's session. */
export const closeSession: Change<CloseSessionRequest> = ({ admin }, { sessionId, justification }, reply, actor) => {
  if (sessionId === "") return reply.fail("invalid", "session_id is empty");
  const unjustified = justificationProblem(justification);
  if (unjustified !== undefined) return reply.fail("invalid", unjustified);
  admin.engine.closeSession({ sessionId, justification, actor }, (answer) =>
    reply.answer(answer, "", (releasedClaims) => encode(CloseSessionResponse, { releasedClaims })),
  );
};

/** Has this server send its clients elsewhere, and end. */
export const drainServer: Change<DrainServerRequest> = ({ admin, log }, { serverId, leaveWithin }, reply, actor) => {
  const { engine, drain } = admin;
  const leaveWithinMs = leaveWithin === undefined ? DEFAULT_LEAVE_MS : readDuration(leaveWithin);
  if (leaveWithinMs === undefined || leaveWithinMs < 0 || leaveWithinMs > MAX_LEAVE_MS)
    return reply.fail("invalid", `leave_within is not from 0 s to ${MAX_LEAVE_MS / 1_000} s`);
  if (serverId === "") return reply.fail("invalid", "server_id is empty: GetStatus shows it");
  const { servers, ownSessionCount } = engine.state();
  if (serverId !== engine.serverId) {
    const meant = servers.find(({ id }) => id === serverId)?.record.address;
    const where = meant ? `call ${meant}` : "no such server is registered, or it tells no address";
    return reply.fail("wrong-server", `this is server ${engine.serverId}, not ${serverId}: ${where}`);
  }
  log.event("warn", "server.drain_asked", { actor, leaveWithinMs, sessions: ownSessionCount });
  reply.answer({ kind: "ok", value: ownSessionCount }, "", (sessionCount) =>
    encode(DrainServerResponse, { sessionCount }),
  );
  // The answer first: draining closes connections over which nothing goes on.
  setImmediate(() => drain(leaveWithinMs));
};

function justificationProblem(justification: string): string | undefined {
  if (justification.trim() === "") return "justification is empty: say why, for who is hit and for the log";
  if (utf8Length(justification) > MAX_JUSTIFICATION)
    return `justification is longer than ${MAX_JUSTIFICATION} bytes of UTF-8`;
  return undefined;
}
