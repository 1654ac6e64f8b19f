import { lockNameProblem } from "../../core/lock-name.ts";
import type { SessionDetails, SessionPage } from "../../engine/admin-engine.ts";
import type { HistoryKind, HistoryPage } from "../../engine/history.ts";
import {
  type GetSessionRequest,
  GetSessionResponse,
  type GetStatusRequest,
  GetStatusResponse,
  type GetWaitGraphRequest,
  GetWaitGraphResponse,
  type ListEventsRequest,
  ListEventsResponse,
  type ListSessionsRequest,
  ListSessionsResponse,
} from "../../gen/holdfast/v1/admin_service.ts";
import { kindsByNumber, toEvent, toServer, toSession, toStore, toTable, toWaitGraph } from "./admin-views.ts";
import { writeExactDuration } from "./duration.ts";
import { encode } from "./encode.ts";
import { toSessionClaim } from "./events.ts";
import { readPageToken, writePageToken } from "./page-token.ts";
import { countOf, PAGE_BYTES } from "./reads.ts";
import type { Read } from "./reply.ts";

const DEFAULT_NODES = 200;
const MAX_NODES = 1_000;

/** A page of sessions. */
export const listSessions: Read<ListSessionsRequest> = ({ admin }, { pageSize, pageToken }, reply) => {
  const after = pageToken === "" ? "" : readPageToken(pageToken, SESSIONS);
  if (after === undefined) return reply.fail("invalid", "page_token is not the next_page_token of a page of sessions");
  admin.engine.listSessions({ after, pageSize: countOf(pageSize) }, (answer) => reply.answer(answer, "", encodePage));
};

const SESSIONS = "sessions";

/** As many sessions of the page as fit. */
function encodePage(page: SessionPage): Uint8Array {
  const parts: Uint8Array[] = [];
  let size = 0;
  for (const view of page.sessions) {
    const bytes = encode(ListSessionsResponse, { sessions: [toSession(view)], nextPageToken: "" });
    if (parts.length > 0 && size + bytes.length > PAGE_BYTES) break;
    parts.push(bytes);
    size += bytes.length;
  }
  const last = page.sessions[parts.length - 1];
  if (last !== undefined && (page.more || parts.length < page.sessions.length))
    parts.push(encode(ListSessionsResponse, { sessions: [], nextPageToken: writePageToken(last.id, SESSIONS) }));
  return Buffer.concat(parts);
}

/** One session and its claims. */
export const getSession: Read<GetSessionRequest> = ({ admin }, { sessionId }, reply) => {
  if (sessionId === "") return reply.fail("invalid", "session_id is empty");
  admin.engine.getSession(sessionId, (answer) => reply.answer(answer, "", encodeDetails));
};

const encodeDetails = ({ session, claims }: SessionDetails): Uint8Array =>
  encode(GetSessionResponse, { session: toSession(session), claims: claims.map(toSessionClaim) });

/** What happened lately, as this server saw it. */
export const listEvents: Read<ListEventsRequest> = ({ admin }, request, reply) => {
  const { lockName: lock, sessionId, after, before, maxEvents } = request;
  const wrong = lock === "" ? undefined : lockNameProblem(lock);
  if (wrong !== undefined) return reply.fail("invalid", `lock_name ${wrong}`);
  const kinds = new Set<HistoryKind>();
  for (const number of request.kinds) {
    const kind = kindsByNumber.get(number);
    if (kind === undefined) return reply.fail("invalid", `kind ${number} is unknown to this server`);
    kinds.add(kind);
  }
  const query = { lock, sessionId, kinds, after: Number(after), before: Number(before), limit: countOf(maxEvents) };
  const value = admin.engine.listEvents(query);
  reply.answer({ kind: "ok", value }, "", (page) => encodeEvents(page, admin.engine.serverId));
};

/** As many events of the page as fit: the next page is asked for with the last one's seq. */
function encodeEvents({ events, oldestSeq, newestSeq }: HistoryPage, serverId: string): Uint8Array {
  const bounds = { serverId, oldestSeq: BigInt(oldestSeq), newestSeq: BigInt(newestSeq) };
  const parts = [encode(ListEventsResponse, { ...bounds, events: [] })];
  let size = 0;
  for (const event of events) {
    const bytes = encode(ListEventsResponse, { ...NO_BOUNDS, events: [toEvent(event)] });
    if (size > 0 && size + bytes.length > PAGE_BYTES) break;
    parts.push(bytes);
    size += bytes.length;
  }
  return Buffer.concat(parts);
}

const NO_BOUNDS = { serverId: "", oldestSeq: 0n, newestSeq: 0n };

/** Who waits for whom. */
export const getWaitGraph: Read<GetWaitGraphRequest> = ({ admin }, { prefix, maxNodes }, reply) => {
  const limit = maxNodes === 0 ? DEFAULT_NODES : Math.min(maxNodes, MAX_NODES);
  admin.engine.waitGraph(prefix, limit, (answer) =>
    reply.answer(answer, "", (graph) => encode(GetWaitGraphResponse, toWaitGraph(graph))),
  );
};

/** How the service is, as this server sees it. */
export const getStatus: Read<GetStatusRequest> = (edge, _, reply) => {
  void edge.admin.store.ask().then((store) =>
    reply.answer({ kind: "ok", value: store }, "", () => {
      const { engine, self, eventLoopDelayMs } = edge.admin;
      const state = engine.state();
      const others = state.servers.filter(({ id }) => id !== engine.serverId);
      const { record = self() } = state.servers.find(({ id }) => id === engine.serverId) ?? {};
      const { draining, ownSessionCount: sessionCount } = state;
      const own = { id: engine.serverId, record: { ...record, draining }, sessionCount };
      return encode(GetStatusResponse, {
        serverId: engine.serverId,
        servers: [...others, own]
          .sort((a, b) => (a.id < b.id ? -1 : 1))
          .map(({ id, record, sessionCount }) => toServer(id, record, sessionCount)),
        store: store && toStore(store),
        table: toTable(state),
        problem: state.problem,
        answeredAt: new Date(),
        uptime: writeExactDuration(performance.now()),
        eventLoopDelay: writeExactDuration(eventLoopDelayMs()),
      });
    }),
  );
};
