import {
  type handleBidiStreamingCall,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import {
  type AuthenticateRequest,
  type AuthenticateResponse,
  AuthService,
  KVService,
  type LeaseGrantRequest,
  type LeaseGrantResponse,
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  type LeaseRevokeRequest,
  type LeaseRevokeResponse,
  LeaseService,
  MaintenanceService,
  type RangeRequest,
  RangeResponse,
  type StatusRequest,
  StatusResponse,
  type TxnRequest,
  type TxnResponse,
  type WatchRequest,
  type WatchResponse,
  WatchService,
} from "../../server/gen/etcd/api/etcdserverpb/rpc.ts";

/** What a fake etcd does, where a test wants it done: it is empty otherwise, at revision 1, and 3.7.3. */
export interface FakeEtcdHandlers {
  status?: handleUnaryCall<StatusRequest, StatusResponse>;
  range?: handleUnaryCall<RangeRequest, RangeResponse>;
  authenticate?: handleUnaryCall<AuthenticateRequest, AuthenticateResponse>;
  txn?: handleUnaryCall<TxnRequest, TxnResponse>;
  watch?: handleBidiStreamingCall<WatchRequest, WatchResponse>;
  leaseGrant?: handleUnaryCall<LeaseGrantRequest, LeaseGrantResponse>;
  leaseRevoke?: handleUnaryCall<LeaseRevokeRequest, LeaseRevokeResponse>;
  leaseKeepAlive?: handleBidiStreamingCall<LeaseKeepAliveRequest, LeaseKeepAliveResponse>;
}

export const fakeHeader = (revision: number) => ({
  clusterId: 1n,
  memberId: 1n,
  revision: BigInt(revision),
  raftTerm: 1n,
});

const isCurrent: handleUnaryCall<StatusRequest, StatusResponse> = (_, done) =>
  done(null, StatusResponse.create({ header: fakeHeader(1), version: "3.7.3" }));

const isEmpty: handleUnaryCall<RangeRequest, RangeResponse> = (_, done) =>
  done(null, RangeResponse.create({ header: fakeHeader(1) }));

/** A gRPC server that says what etcd says only on its worst days. */
export async function startFakeEtcd(handlers: FakeEtcdHandlers): Promise<AsyncDisposable & { endpoint: string }> {
  const server = new Server();
  const add = (service: ServiceDefinition, given: UntypedServiceImplementation) => server.addService(service, given);
  const { status = isCurrent, range = isEmpty, txn } = handlers;
  add(MaintenanceService, { status });
  add(KVService, txn === undefined ? { range } : { range, txn });
  if (handlers.authenticate !== undefined) add(AuthService, { authenticate: handlers.authenticate });
  if (handlers.watch !== undefined) add(WatchService, { watch: handlers.watch });
  const { leaseGrant, leaseRevoke, leaseKeepAlive } = handlers;
  const leaseHandlers = Object.entries({ leaseGrant, leaseRevoke, leaseKeepAlive });
  add(LeaseService, Object.fromEntries(leaseHandlers.flatMap(([name, handler]) => (handler ? [[name, handler]] : []))));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return {
    endpoint: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => server.forceShutdown(),
  };
}
