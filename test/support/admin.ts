import { type ClientReadableStream, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import {
  AdminServiceClient,
  type CloseSessionRequest,
  type CloseSessionResponse,
  type DrainServerRequest,
  type DrainServerResponse,
  GetSessionRequest,
  type GetSessionResponse,
  GetStatusRequest,
  type GetStatusResponse,
  GetWaitGraphRequest,
  type GetWaitGraphResponse,
  ListEventsRequest,
  type ListEventsResponse,
  ListSessionsRequest,
  type ListSessionsResponse,
  type ReleaseLockRequest,
  type ReleaseLockResponse,
  type WatchStatisticsResponse,
} from "../../clients/typescript/src/gen/holdfast/v1/admin_service.ts";

type Unary<Request, Response> = (
  request: Request,
  metadata: Metadata,
  done: (error: ServiceError | null, response: Response) => void,
) => unknown;

type Given<Message extends { fromPartial(given: never): unknown }> = Parameters<Message["fromPartial"]>[0];

/** `AdminService` of one server, as a program with nothing but stubs has it. Rejects with a `ServiceError`. */
export class Admin implements Disposable {
  readonly #client: AdminServiceClient;
  readonly #metadata = new Metadata();

  constructor(address: string, { token, channel = credentials.createInsecure() } = {} as AdminStubOptions) {
    this.#client = new AdminServiceClient(address, channel, { "grpc.use_local_subchannel_pool": 1 });
    if (token !== undefined) this.#metadata.set("authorization", `Bearer ${token}`);
  }

  listSessions(request: Given<typeof ListSessionsRequest> = {}): Promise<ListSessionsResponse> {
    return this.#ask(this.#client.listSessions, ListSessionsRequest.fromPartial(request));
  }

  getSession(sessionId: string): Promise<GetSessionResponse> {
    return this.#ask(this.#client.getSession, GetSessionRequest.fromPartial({ sessionId }));
  }

  closeSession(request: CloseSessionRequest): Promise<CloseSessionResponse> {
    return this.#ask(this.#client.closeSession, request);
  }

  releaseLock(request: ReleaseLockRequest): Promise<ReleaseLockResponse> {
    return this.#ask(this.#client.releaseLock, request);
  }

  getStatus(): Promise<GetStatusResponse> {
    return this.#ask(this.#client.getStatus, GetStatusRequest.create());
  }

  drainServer(request: DrainServerRequest): Promise<DrainServerResponse> {
    return this.#ask(this.#client.drainServer, request);
  }

  listEvents(request: Given<typeof ListEventsRequest> = {}): Promise<ListEventsResponse> {
    return this.#ask(this.#client.listEvents, ListEventsRequest.fromPartial(request));
  }

  getWaitGraph(request: Given<typeof GetWaitGraphRequest> = {}): Promise<GetWaitGraphResponse> {
    return this.#ask(this.#client.getWaitGraph, GetWaitGraphRequest.fromPartial(request));
  }

  watchStatistics(): ClientReadableStream<WatchStatisticsResponse> {
    return this.#client.watchStatistics({}, this.#metadata);
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  #ask<Request, Response>(method: unknown, request: Request): Promise<Response> {
    const call = (method as Unary<Request, Response>).bind(this.#client);
    return new Promise((resolve, reject) => {
      call(request, this.#metadata, (error, response) => (error === null ? resolve(response) : reject(error)));
    });
  }
}

export interface AdminStubOptions {
  readonly token?: string;
  readonly channel?: ReturnType<typeof credentials.createInsecure>;
}
