import type { AdminOptions } from "../../server/adapters/grpc/server.ts";
import type { AdminEngine, EngineState } from "../../server/engine/admin-engine.ts";
import type { StoreStatus } from "../../server/ports/store-status.ts";

/** The state of a server that has nothing. */
const emptyState: EngineState = {
  problem: "",
  draining: false,
  servers: [],
  ownSessionCount: 0,
  revision: 1,
  lagMs: 0,
  provenAgoMs: 0,
  locks: 0,
  held: 0,
  waiting: 0,
  sessions: 0,
};

/** What people on call are told by a server that has nothing, but for what a test says. */
export function fakeAdmin(
  engine: Partial<AdminEngine> = {},
  options: Partial<Omit<AdminOptions, "engine">> = {},
): AdminOptions {
  const nothing: StoreStatus = { clusterId: 0n, quotaBytes: 0, members: [] };
  return {
    engine: {
      serverId: "server-1",
      listSessions: (_, done) => done({ kind: "ok", value: { sessions: [], more: false } }),
      getSession: (_, done) => done({ kind: "failed", reason: "not-found", message: "there is none" }),
      waitGraph: (_prefix, _maxNodes, done) => done({ kind: "ok", value: { nodes: [], edges: [], omitted: 0 } }),
      releaseLock: (_, done) => done({ kind: "failed", reason: "wrong-token", message: "nobody holds it" }),
      closeSession: (_, done) => done({ kind: "failed", reason: "not-found", message: "there is none" }),
      state: () => emptyState,
      checkStore: (done) => done(undefined),
      listEvents: () => ({ events: [], oldestSeq: 0, newestSeq: 0 }),
      watchStatistics: () => ({ take: () => [], close: () => undefined }),
      ...engine,
    },
    token: undefined,
    drain: () => undefined,
    self: () => ({ address: "127.0.0.1:1", version: "0.0.0", startedAtMs: 0, draining: false }),
    eventLoopDelayMs: () => 0,
    storeStatus: async () => nothing,
    ...options,
  };
}
