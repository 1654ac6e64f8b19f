import { readFileSync } from "node:fs";
import {
  getChannelzHandlers,
  getChannelzServiceDefinition,
  type Server,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { HealthService } from "../../gen/grpc/health/v1/health.ts";
import { ServerReflectionService } from "../../gen/grpc/reflection/v1/reflection.ts";
import { ServerReflectionService as ServerReflectionAlphaService } from "../../gen/grpc/reflection/v1alpha/reflection.ts";
import {
  AdminServiceService,
  CloseSessionRequest,
  DrainServerRequest,
  GetSessionRequest,
  GetStatusRequest,
  GetWaitGraphRequest,
  ListEventsRequest,
  ListSessionsRequest,
  ReleaseLockRequest,
  WatchStatisticsRequest,
} from "../../gen/holdfast/v1/admin_service.ts";
import {
  CheckTokenRequest,
  GetLockRequest,
  HoldRequest,
  ListLocksRequest,
  LockServiceService,
  SessionRequest,
  WatchLocksRequest,
} from "../../gen/holdfast/v1/lock_service.ts";
import { getSession, getStatus, getWaitGraph, listEvents, listSessions } from "./admin.ts";
import { closeSession, drainServer, releaseLock } from "./admin-changes.ts";
import { Descriptors } from "./descriptors.ts";
import type { Edge } from "./edge.ts";
import type { Health } from "./health.ts";
import { type EncodedHold, handleHold } from "./hold.ts";
import { checkToken, getLock, listLocks } from "./reads.ts";
import { receive } from "./received.ts";
import { type ReflectionCall, reflect } from "./reflection.ts";
import { handleChange, handleRead } from "./reply.ts";
import { type EncodedSession, handleSession } from "./session.ts";
import { type EncodedWatch, handleWatchLocks } from "./watch.ts";
import { type EncodedStatistics, handleWatchStatistics } from "./watch-statistics.ts";

/** Registers everything that the server exposes; nothing is registered elsewhere. */
export function registerServices(server: Server, edge: Edge, health: Health): void {
  const services: (readonly [ServiceDefinition, UntypedServiceImplementation])[] = [
    [lockService, lockHandlers(edge)],
    [adminService, adminHandlers(edge)],
    [HealthService, health.service],
    [getChannelzServiceDefinition(), getChannelzHandlers()],
    [ServerReflectionService, { serverReflectionInfo: (call: ReflectionCall) => reflect(call, names, descriptors) }],
    [
      ServerReflectionAlphaService,
      { serverReflectionInfo: (call: ReflectionCall) => reflect(call, names, descriptors) },
    ],
  ];
  const names = services.map(([definition]) => nameOf(definition)).sort();
  const descriptors = new Descriptors(readFileSync(descriptorFile), names);
  for (const [definition, implementation] of services) server.addService(definition, implementation);
}

const nameOf = (definition: ServiceDefinition): string => Object.values(definition)[0]!.path.split("/")[1]!;

/** Written by `npm run generate`, from the same protos as the stubs. */
const descriptorFile = new URL("../../gen/descriptors.binpb", import.meta.url);

/** `LockService` with requests read strictly, and responses that its handlers have encoded. */
const lockService = {
  session: { ...LockServiceService.session, ...encoded(receive(SessionRequest, "SessionRequest")) },
  hold: { ...LockServiceService.hold, ...encoded(receive(HoldRequest, "HoldRequest")) },
  getLock: { ...LockServiceService.getLock, ...encoded(receive(GetLockRequest, "GetLockRequest")) },
  listLocks: { ...LockServiceService.listLocks, ...encoded(receive(ListLocksRequest, "ListLocksRequest")) },
  watchLocks: { ...LockServiceService.watchLocks, ...encoded(receive(WatchLocksRequest, "WatchLocksRequest")) },
  checkToken: { ...LockServiceService.checkToken, ...encoded(receive(CheckTokenRequest, "CheckTokenRequest")) },
} satisfies Record<keyof typeof LockServiceService, unknown>;

/** `AdminService` likewise. */
const adminService = {
  listSessions: {
    ...AdminServiceService.listSessions,
    ...encoded(receive(ListSessionsRequest, "ListSessionsRequest")),
  },
  getSession: { ...AdminServiceService.getSession, ...encoded(receive(GetSessionRequest, "GetSessionRequest")) },
  closeSession: {
    ...AdminServiceService.closeSession,
    ...encoded(receive(CloseSessionRequest, "CloseSessionRequest")),
  },
  releaseLock: { ...AdminServiceService.releaseLock, ...encoded(receive(ReleaseLockRequest, "ReleaseLockRequest")) },
  drainServer: { ...AdminServiceService.drainServer, ...encoded(receive(DrainServerRequest, "DrainServerRequest")) },
  getStatus: { ...AdminServiceService.getStatus, ...encoded(receive(GetStatusRequest, "GetStatusRequest")) },
  listEvents: { ...AdminServiceService.listEvents, ...encoded(receive(ListEventsRequest, "ListEventsRequest")) },
  getWaitGraph: {
    ...AdminServiceService.getWaitGraph,
    ...encoded(receive(GetWaitGraphRequest, "GetWaitGraphRequest")),
  },
  watchStatistics: {
    ...AdminServiceService.watchStatistics,
    ...encoded(receive(WatchStatisticsRequest, "WatchStatisticsRequest")),
  },
} satisfies Record<keyof typeof AdminServiceService, unknown>;

function encoded<Request>(requestDeserialize: (bytes: Buffer) => Request) {
  return { requestDeserialize, responseSerialize: (bytes: Buffer): Buffer => bytes };
}

function lockHandlers(edge: Edge): UntypedServiceImplementation {
  return {
    session: (call: EncodedSession) => handleSession(edge, call),
    hold: (call: EncodedHold) => handleHold(edge, call),
    getLock: handleRead(edge, getLock),
    listLocks: handleRead(edge, listLocks),
    watchLocks: (call: EncodedWatch) => handleWatchLocks(edge, call),
    checkToken: handleRead(edge, checkToken),
  } satisfies Record<keyof typeof lockService, unknown>;
}

function adminHandlers(edge: Edge): UntypedServiceImplementation {
  return {
    listSessions: handleRead(edge, listSessions),
    getSession: handleRead(edge, getSession),
    closeSession: handleChange(edge, closeSession),
    releaseLock: handleChange(edge, releaseLock),
    getStatus: handleRead(edge, getStatus),
    drainServer: handleChange(edge, drainServer),
    listEvents: handleRead(edge, listEvents),
    getWaitGraph: handleRead(edge, getWaitGraph),
    watchStatistics: (call: EncodedStatistics) => handleWatchStatistics(edge, call),
  } satisfies Record<keyof typeof adminService, unknown>;
}
