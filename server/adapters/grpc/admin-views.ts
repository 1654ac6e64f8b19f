import type { ServerRecord, SessionRecord } from "../../core/records.ts";
import type { WaitGraphView } from "../../core/wait-view.ts";
import type { EngineState, SessionView } from "../../engine/admin-engine.ts";
import type { Distribution } from "../../engine/distribution.ts";
import type { HistoryEvent, HistoryKind } from "../../engine/history.ts";
import type { Sample } from "../../engine/statistics.ts";
import {
  type Event,
  EventKind,
  type GetWaitGraphResponse,
  type ServerStatus,
  type Session,
  type StatisticsSample,
  type StoreMember,
  type StoreStatus,
  type TableStatus,
  type TimeDistribution,
} from "../../gen/holdfast/v1/admin_service.ts";
import { Liveness, OnDisconnect, Reason } from "../../gen/holdfast/v1/lock_service.ts";
import { writeDuration, writeExactDuration } from "./duration.ts";
import { outcomes } from "./outcomes.ts";
import type { KnownMember, KnownStore } from "./store-monitor.ts";
import { toDate } from "./views.ts";

/** What people on call are shown, as the messages of the wire. */

export function toSession(view: SessionView): Session {
  const { record } = view;
  return {
    sessionId: view.id,
    client: record.client,
    peer: record.peer,
    identity: record.identity,
    labels: record.labels,
    openedAt: toDate(record.openedAtMs),
    ttl: writeDuration(record.ttlMs),
    validFor: view.validForMs === undefined ? undefined : writeDuration(view.validForMs),
    onDisconnect: onDisconnects[record.onDisconnect],
    liveness: livenesses[record.liveness],
    serverId: record.serverId,
    heldCount: view.heldCount,
    waitingCount: view.waitingCount,
  };
}

const onDisconnects = {
  keep: OnDisconnect.KEEP,
  release: OnDisconnect.RELEASE,
} as const satisfies Record<SessionRecord["onDisconnect"], OnDisconnect>;

const livenesses = {
  heartbeat: Liveness.HEARTBEAT,
  transport: Liveness.TRANSPORT,
} as const satisfies Record<SessionRecord["liveness"], Liveness>;

export function toServer(serverId: string, record: ServerRecord, sessionCount: number): ServerStatus {
  const { address, version, startedAtMs, draining } = record;
  return { serverId, address, version, startedAt: toDate(startedAtMs), draining, sessionCount };
}

export function toStore(known: KnownStore): StoreStatus {
  return {
    members: known.members.map(toMember),
    quotaBytes: BigInt(known.quotaBytes),
    clusterId: known.clusterId,
    answering: known.commitMs !== undefined,
    commitLatency: known.commitMs === undefined ? undefined : writeExactDuration(known.commitMs),
  };
}

function toMember({ id, name, alarms, isReachable, answer }: KnownMember): StoreMember {
  return {
    memberId: id,
    name,
    endpoint: answer?.endpoint ?? "",
    reachable: isReachable,
    leader: answer?.isLeader ?? false,
    version: answer?.version ?? "",
    databaseBytes: BigInt(answer?.databaseBytes ?? 0),
    databaseInUseBytes: BigInt(answer?.databaseInUseBytes ?? 0),
    alarms: [...alarms],
  };
}

export function toTable(state: EngineState): TableStatus {
  return {
    revision: BigInt(state.revision),
    lag: writeExactDuration(state.lagMs),
    lockCount: state.locks,
    heldCount: state.held,
    waitingCount: state.waiting,
    sessionCount: state.sessions,
    verifiedAgo: state.provenAgoMs === undefined ? undefined : writeExactDuration(state.provenAgoMs),
  };
}

export function toWaitGraph({ nodes, edges, omitted }: WaitGraphView): GetWaitGraphResponse {
  return {
    nodes: nodes.map((node) => ({
      nodeId: node.id,
      sessionId: node.sessionId,
      reentryId: node.reentryId,
      claimId: node.claimId,
      client: node.client,
      heldLocks: [...node.held],
      wantedLocks: [...node.wanted],
      deadlocked: node.deadlocked,
    })),
    edges: edges.map(({ from, to, lock, held }) => ({ fromNodeId: from, toNodeId: to, lockName: lock, held })),
    omittedNodes: omitted,
  };
}

export function toEvent(event: HistoryEvent): Event {
  const { seq, atMs, kind, locks, sessionId, claimId, token, reason, message, waitedMs, heldMs, client } = event;
  return {
    seq: BigInt(seq),
    at: toDate(atMs),
    kind: eventKinds[kind],
    lockNames: locks.map(({ name }) => name),
    sessionId,
    claimId,
    fencingToken: token,
    reason: reason === undefined ? Reason.UNSPECIFIED : outcomes[reason].reason,
    message,
    waited: waitedMs === undefined ? undefined : writeExactDuration(waitedMs),
    held: heldMs === undefined ? undefined : writeExactDuration(heldMs),
    client,
    actor: event.actor,
    purpose: event.purpose,
  };
}

const eventKinds = {
  waiting: EventKind.WAITING,
  granted: EventKind.GRANTED,
  denied: EventKind.DENIED,
  released: EventKind.RELEASED,
  lost: EventKind.LOST,
  forced: EventKind.FORCED,
  "session-opened": EventKind.SESSION_OPENED,
  "session-resumed": EventKind.SESSION_RESUMED,
  "session-ended": EventKind.SESSION_ENDED,
  deadlock: EventKind.DEADLOCK,
  server: EventKind.SERVER,
} as const satisfies Record<HistoryKind, EventKind>;

/** The kind of the domain that a kind of the wire stands for. */
export const kindsByNumber: ReadonlyMap<number, HistoryKind> = new Map(
  (Object.keys(eventKinds) as HistoryKind[]).map((kind) => [eventKinds[kind], kind]),
);

export function toSample(sample: Sample): StatisticsSample {
  return {
    at: toDate(sample.atMs),
    grants: sample.grants,
    denials: sample.denials,
    releases: sample.releases,
    losses: sample.losses,
    forced: sample.forced,
    deadlocks: sample.deadlocks,
    acquireTime: toDistribution(sample.acquireTime),
    holdTime: toDistribution(sample.holdTime),
    lockCount: sample.locks,
    heldCount: sample.held,
    waitingCount: sample.waiting,
    sessionCount: sample.sessions,
  };
}

function toDistribution({ count, totalMs, maxMs, indexes, counts }: Distribution): TimeDistribution {
  return {
    count,
    total: writeExactDuration(totalMs),
    max: writeExactDuration(maxMs),
    bucketIndexes: [...indexes],
    bucketCounts: [...counts],
  };
}
