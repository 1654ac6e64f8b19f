import { isHostPort } from "./address.ts";
import type {
  ClaimView,
  Command,
  GrantedLock,
  HolderEnd,
  LockSpec,
  Mode,
  SessionClaim,
  SessionEvent,
} from "./frames.ts";
import type { Duration } from "./gen/google/protobuf/duration.ts";
import {
  ClaimState,
  Liveness,
  OnDisconnect,
  reasonToJSON,
  type SessionCommand,
  type Claim as WireClaim,
  type GrantedLock as WireGrantedLock,
  HolderEnd as WireHolderEnd,
  type LockSpec as WireLockSpec,
  Mode as WireMode,
  type Open as WireOpen,
  Reason as WireReason,
  type SessionClaim as WireSessionClaim,
  type SessionEvent as WireSessionEvent,
} from "./gen/holdfast/v1/lock_service.ts";
import { type Reason, reasonFromProtoName } from "./reason.ts";

/** The command as it goes over the wire. */
export function toWire(command: Command): SessionCommand {
  switch (command.kind) {
    case "open":
      return { command: { $case: "open", value: openToWire(command) } };
    case "resume": {
      const { sessionId, secret, attempt } = command;
      return { command: { $case: "open", value: { ...emptyOpen, resume: { sessionId, secret, attempt } } } };
    }
    case "heartbeat":
      return { command: { $case: "heartbeat", value: { seq: command.seq } } };
    case "acquire":
      return {
        command: {
          $case: "acquire",
          value: {
            claimId: command.claimId,
            locks: command.locks.map(specToWire),
            wait: command.waitMs === undefined ? undefined : durationFromMs(command.waitMs),
            reentryId: command.reentryId,
            purpose: command.purpose,
            value: asBuffer(command.value),
            traceparent: command.traceparent ?? "",
          },
        },
      };
    case "release":
      return { command: { $case: "release", value: { claimId: command.claimId } } };
    case "update":
      return { command: { $case: "update", value: { claimId: command.claimId, value: asBuffer(command.value) } } };
    case "close":
      return { command: { $case: "close", value: {} } };
    default:
      return command satisfies never;
  }
}

/** More bytes than a command takes in a frame: three for each UTF-16 unit of text, and its fields' overhead. */
export function sizeBound(command: Command): number {
  switch (command.kind) {
    case "acquire": {
      const names = command.locks.reduce((sum, { name }) => sum + 3 * name.length + 32, 0);
      return names + 3 * (command.purpose.length + command.reentryId.length) + command.value.length + 64;
    }
    case "update":
      return command.value.length + 32;
    default:
      return 32;
  }
}

/** The event; `undefined` if it is newer than this client, and to be skipped. */
export function fromWire({ event }: WireSessionEvent): SessionEvent | undefined {
  switch (event?.$case) {
    case "opened":
      return {
        kind: "opened",
        sessionId: event.value.sessionId,
        secret: event.value.resumeSecret,
        ttlMs: msFromDuration(event.value.ttl) ?? 0,
        validForMs: msFromDuration(event.value.validFor) ?? 0,
        heartbeatIntervalMs: msFromDuration(event.value.heartbeatInterval),
        claims: event.value.claims.map(sessionClaimFromWire),
        servers: event.value.servers.filter(isHostPort),
      };
    case "heartbeatAck":
      return { kind: "heartbeat-ack", seq: event.value.seq, validForMs: msFromDuration(event.value.validFor) ?? 0 };
    case "waiting":
      return { kind: "waiting", ...event.value, holders: event.value.holders.map(claimFromWire) };
    case "granted":
      return { kind: "granted", claimId: event.value.claimId, locks: event.value.locks.map(grantFromWire) };
    case "denied":
      return {
        kind: "denied",
        ...event.value,
        reason: reasonFromWire(event.value.reason),
        holders: event.value.holders.map(claimFromWire),
      };
    case "released":
      return { kind: "released", claimId: event.value.claimId };
    case "updated": {
      const { claimId, reason, message } = event.value;
      return { kind: "updated", claimId, reason: reason === 0 ? undefined : reasonFromWire(reason), message };
    }
    case "lost":
      return { kind: "lost", ...event.value, reason: reasonFromWire(event.value.reason) };
    case "draining":
      // Addresses alone: a server must not send its clients to another target that gRPC knows, such as a file.
      return {
        kind: "draining",
        leaveWithinMs: msFromDuration(event.value.leaveWithin) ?? 0,
        servers: event.value.servers.filter(isHostPort),
      };
    case "servers":
      return { kind: "servers", servers: event.value.servers.filter(isHostPort) };
    case "closed":
      return { kind: "closed", reason: reasonFromWire(event.value.reason), message: event.value.message };
    case undefined:
      return undefined;
    default:
      return event satisfies never;
  }
}

/** The claim as a lock's queue shows it. */
export function claimFromWire(claim: WireClaim): ClaimView {
  return {
    sessionId: claim.sessionId,
    claimId: claim.claimId,
    held: claim.state === ClaimState.HELD,
    mode: modeFromWire(claim.mode) ?? "exclusive",
    permits: claim.permits,
    token: claim.fencingToken,
    lockCount: claim.lockCount,
    reentryId: claim.reentryId,
    purpose: claim.purpose,
    value: claim.value,
    client: claim.client,
    claimedAtMs: claim.claimedAt?.getTime() ?? 0,
    grantedAtMs: claim.grantedAt?.getTime(),
  };
}

/** The mode; `undefined` if it is unspecified. */
export function modeFromWire(mode: WireMode): Mode | undefined {
  switch (mode) {
    case WireMode.EXCLUSIVE:
      return "exclusive";
    case WireMode.SHARED:
      return "shared";
    case WireMode.SEMAPHORE:
      return "semaphore";
    default:
      return undefined;
  }
}

/** The reason in this client's words; `unknown` if it has none. */
export function reasonFromWire(reason: WireReason): Reason {
  return Object.values(WireReason).includes(reason) ? reasonFromProtoName(reasonToJSON(reason)) : "unknown";
}

const modeToWire = {
  exclusive: WireMode.EXCLUSIVE,
  shared: WireMode.SHARED,
  semaphore: WireMode.SEMAPHORE,
} satisfies Record<Mode, WireMode>;

const onDisconnectToWire = { release: OnDisconnect.RELEASE, keep: OnDisconnect.KEEP };

const livenessToWire = { heartbeat: Liveness.HEARTBEAT, transport: Liveness.TRANSPORT };

const emptyOpen: WireOpen = {
  ttl: undefined,
  onDisconnect: OnDisconnect.UNSPECIFIED,
  liveness: Liveness.UNSPECIFIED,
  resume: undefined,
  client: undefined,
  labels: {},
};

function openToWire(open: Command & { kind: "open" }): WireOpen {
  return {
    ttl: durationFromMs(open.ttlMs),
    onDisconnect: onDisconnectToWire[open.onDisconnect],
    liveness: livenessToWire[open.liveness],
    resume: undefined,
    client: open.client,
    labels: { ...open.labels },
  };
}

function specToWire({ name, mode, permits, limit }: LockSpec): WireLockSpec {
  return { name, mode: modeToWire[mode], permits, limit };
}

function grantFromWire({ name, fencingToken, previous }: WireGrantedLock): GrantedLock {
  if (previous === undefined) return { name, token: fencingToken };
  return { name, token: fencingToken, previous: { token: previous.fencingToken, end: endFromWire(previous.end) } };
}

function endFromWire(end: WireHolderEnd): HolderEnd {
  switch (end) {
    case WireHolderEnd.RELEASED:
      return "released";
    case WireHolderEnd.EXPIRED:
      return "expired";
    case WireHolderEnd.CLOSED:
      return "closed";
    case WireHolderEnd.FORCED:
      return "forced";
    default:
      return "unknown";
  }
}

function sessionClaimFromWire({ claimId, state, locks }: WireSessionClaim): SessionClaim {
  return { claimId, held: state === ClaimState.HELD, locks: locks.map(grantFromWire) };
}

/** Milliseconds as the wire has them. */
export function durationFromMs(ms: number): Duration {
  // Rounded to microseconds, so that the fraction never rounds up to a second of nanoseconds.
  const micros = Math.round(ms * 1000);
  return { seconds: BigInt(Math.floor(micros / 1e6)), nanos: (micros % 1e6) * 1000 };
}

function msFromDuration(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/** The same bytes: the generated code wants Node's own type. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
