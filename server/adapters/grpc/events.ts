import type { GrantedLock, HolderEnd, SessionClaim, SessionEvent } from "../../core/frames.ts";
import {
  ClaimState,
  type Closed,
  type Denied,
  type Draining,
  type Granted,
  type Lost,
  type Opened,
  type Updated,
  type Waiting,
  type GrantedLock as WireGrantedLock,
  HolderEnd as WireHolderEnd,
  Reason as WireReason,
  type SessionClaim as WireSessionClaim,
} from "../../gen/holdfast/v1/lock_service.ts";
import { writeDuration } from "./duration.ts";
import { outcomes } from "./outcomes.ts";
import { toClaim } from "./views.ts";

/** The events of the domain as the messages of the wire. */
type Event<Kind extends SessionEvent["kind"]> = Extract<SessionEvent, { kind: Kind }>;

export function toOpened(event: Event<"opened">): Opened {
  const { heartbeatIntervalMs } = event;
  return {
    sessionId: event.sessionId,
    resumeSecret: event.secret,
    ttl: writeDuration(event.ttlMs),
    heartbeatInterval: heartbeatIntervalMs === undefined ? undefined : writeDuration(heartbeatIntervalMs),
    validFor: writeDuration(event.validForMs),
    claims: event.claims.map(toSessionClaim),
    servers: [...event.servers],
  };
}

/** A claim as the list of its session's claims has it. */
export function toSessionClaim({ claimId, held, locks }: SessionClaim): WireSessionClaim {
  return { claimId, state: held ? ClaimState.HELD : ClaimState.WAITING, locks: locks.map(toGrantedLock) };
}

const toGrantedLock = ({ name, token, previous }: GrantedLock): WireGrantedLock => ({
  name,
  fencingToken: token,
  previous: previous && { fencingToken: previous.token, end: holderEnds[previous.end] },
});

const holderEnds = {
  unknown: WireHolderEnd.UNSPECIFIED,
  released: WireHolderEnd.RELEASED,
  expired: WireHolderEnd.EXPIRED,
  closed: WireHolderEnd.CLOSED,
  forced: WireHolderEnd.FORCED,
} as const satisfies Record<HolderEnd, WireHolderEnd>;

export function toWaiting({ claimId, lock, position, holders, holderCount }: Event<"waiting">): Waiting {
  return { claimId, lock, position, holders: holders.map(toClaim), holderCount };
}

export function toGranted({ claimId, locks }: Event<"granted">): Granted {
  return { claimId, locks: locks.map(toGrantedLock) };
}

export function toDenied(event: Event<"denied">): Denied {
  const { claimId, message, lock, holders, holderCount } = event;
  return { claimId, reason: outcomes[event.reason].reason, message, lock, holders: holders.map(toClaim), holderCount };
}

export function toUpdated({ claimId, reason, message }: Event<"updated">): Updated {
  return { claimId, reason: reason === undefined ? WireReason.UNSPECIFIED : outcomes[reason].reason, message };
}

export function toLost({ claimId, reason, message }: Event<"lost">): Lost {
  return { claimId, reason: outcomes[reason].reason, message };
}

export function toDraining({ leaveWithinMs, servers }: Event<"draining">): Draining {
  return { leaveWithin: writeDuration(leaveWithinMs), servers: [...servers] };
}

export function toClosed({ reason, message }: Event<"closed">): Closed {
  return { reason: outcomes[reason].reason, message };
}
