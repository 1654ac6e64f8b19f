import type { ClaimView } from "../core/frames.ts";
import type { ServerTable } from "../core/server-table.ts";
import { viewWaits, type WaitGraphView } from "../core/wait-view.ts";
import type { Store } from "../ports/store.ts";
import type {
  AdminEngine,
  CloseSession,
  EngineState,
  ForcedAnswer,
  ReleaseLock,
  ServerView,
  SessionDetails,
  SessionPage,
  SessionQuery,
  SessionView,
} from "./admin-engine.ts";
import { ForcedEnds, type ForcedEndsHost } from "./forced-ends.ts";
import type { History, HistoryPage, HistoryQuery } from "./history.ts";
import type { Answer } from "./lock-engine.ts";
import type { Statistics, StatisticsWatch } from "./statistics.ts";
import { WRITE_WITHOUT_EFFECT } from "./write-proof.ts";

/** What it needs of the engine. */
export interface AdministrationHost extends ForcedEndsHost {
  readonly serverId: string;
  readonly servers: ServerTable;
  readonly isDraining: boolean;
  /** Answers with what is read from a table no older than this call, or says that the store does not answer. */
  whenCurrent<Value>(done: (answer: Answer<Value>) => void, read: () => Answer<Value>): void;
  health(): { readonly problem: string };
  counts(): { locks: number; held: number; waiting: number; sessions: number; ownSessions: number; revision: number };
  readonly lagMs: number;
  readonly provenAtMs: number;
}

/** Answers the people on call: from the table, from what is remembered, and from the store's own word. */
export class Administration implements AdminEngine {
  private readonly host: AdministrationHost;
  private readonly store: Store;
  private readonly history: History;
  private readonly statistics: Statistics;
  private readonly forcedEnds: ForcedEnds;

  constructor(host: AdministrationHost, store: Store, history: History, statistics: Statistics) {
    this.host = host;
    this.store = store;
    this.history = history;
    this.statistics = statistics;
    this.forcedEnds = new ForcedEnds(host);
  }

  get serverId(): string {
    return this.host.serverId;
  }

  listSessions({ after, pageSize }: SessionQuery, done: (answer: Answer<SessionPage>) => void): void {
    this.host.whenCurrent(done, () => {
      const ids: string[] = [];
      for (const id of this.host.table.sessions.keys()) {
        if (id > after) ids.push(id);
        if (ids.length >= 4 * pageSize + 1000) keepFirst(ids, pageSize + 1);
      }
      keepFirst(ids, pageSize + 1);
      const sessions = ids.slice(0, pageSize).map((id) => this.view(id) as SessionView);
      return { kind: "ok", value: { sessions, more: ids.length > pageSize } };
    });
  }

  getSession(sessionId: string, done: (answer: Answer<SessionDetails>) => void): void {
    this.host.whenCurrent(done, () => {
      const session = this.view(sessionId);
      if (session === undefined) return noSession(sessionId);
      const claims = this.host.table.claimsOfSession(sessionId).map((claim) => ({
        claimId: claim.id,
        held: claim.held,
        locks: claim.seats.map(({ spec }) => ({ name: spec.name, token: claim.held ? claim.token : 0n })),
      }));
      return { kind: "ok", value: { session, claims } };
    });
  }

  waitGraph(prefix: string, maxNodes: number, done: (answer: Answer<WaitGraphView>) => void): void {
    this.host.whenCurrent(done, () => ({ kind: "ok", value: viewWaits(this.host.table, prefix, maxNodes) }));
  }

  releaseLock(request: ReleaseLock, done: (answer: ForcedAnswer<ClaimView>) => void): void {
    this.whenKnown(done, () => this.forcedEnds.releaseLock(request, done));
  }

  closeSession(request: CloseSession, done: (answer: ForcedAnswer<number>) => void): void {
    this.whenKnown(done, () => this.forcedEnds.closeSession(request, done));
  }

  /** Acts on a table that is current; an old one could show a holder who has gone, or hide one who is there. */
  private whenKnown(done: (answer: ForcedAnswer<never>) => void, act: () => void): void {
    this.host.barrier((current) => {
      if (current) return act();
      const message = "the store does not answer, so nothing was done: try again later";
      done({ kind: "failed", reason: "store-unavailable", message });
    });
  }

  state(): EngineState {
    const { host } = this;
    const { ownSessions, ...counts } = host.counts();
    const agoMs = host.nowMs() - host.provenAtMs;
    return {
      ...counts,
      problem: host.health().problem,
      draining: host.isDraining,
      servers: this.servers(),
      ownSessionCount: ownSessions,
      lagMs: host.lagMs,
      provenAgoMs: agoMs === Number.POSITIVE_INFINITY ? undefined : agoMs,
    };
  }

  checkStore(done: (tookMs: number | undefined) => void): void {
    const sentAtMs = this.host.nowMs();
    this.store.commit([WRITE_WITHOUT_EFFECT], ({ kind }) =>
      done(kind === "decided" ? this.host.nowMs() - sentAtMs : undefined),
    );
  }

  listEvents(query: HistoryQuery): HistoryPage {
    return this.history.list(query);
  }

  watchStatistics(ready: () => void): StatisticsWatch {
    return this.statistics.watch(ready);
  }

  private view(id: string): SessionView | undefined {
    const { table } = this.host;
    const session = table.sessions.get(id);
    if (session === undefined) return undefined;
    const { held, waiting } = table.countClaims(id);
    const own = this.host.ownSession(id);
    // Its deadline here is later than its client's, by what clocks may differ.
    const leftMs = own && own.deadlineMs - 50 - own.record.ttlMs * 0.01 - this.host.nowMs();
    const validForMs = leftMs === undefined ? undefined : Math.max(0, leftMs);
    return { id, record: session.record, validForMs, heldCount: held, waitingCount: waiting };
  }

  private servers(): ServerView[] {
    const counts = new Map<string, number>();
    for (const { record } of this.host.table.sessions.values())
      counts.set(record.serverId, (counts.get(record.serverId) ?? 0) + 1);
    return this.host.servers.list().map(({ id, record }) => ({ id, record, sessionCount: counts.get(id) ?? 0 }));
  }
}

const noSession = (id: string): Answer<never> => ({
  kind: "failed",
  reason: "not-found",
  message: `there is no session "${id}": it has ended, or never was`,
});

function keepFirst(ids: string[], count: number): void {
  ids.sort();
  if (ids.length > count) ids.length = count;
}
