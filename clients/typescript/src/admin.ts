/**
 * For the people on call, and the programs that help them: sees what a Holdfast service does, and frees what is stuck.
 * Start with `connectAdmin`. Answers are the messages of `holdfast/v1/admin_service.proto`, which documents every
 * field; 64-bit numbers are `bigint`, times `Date`.
 *
 * @packageDocumentation
 */
import {
  type ClientReadableStream,
  type ClientUnaryCall,
  Metadata,
  type MetadataValue,
  type ServiceError,
} from "@grpc/grpc-js";
import { closeChannel, connectAdminTo } from "./channel.ts";
import { callError } from "./connection-problem.ts";
import { decodeError } from "./decode-error.ts";
import {
  type AdminServiceClient,
  type CloseSessionResponse,
  type DrainServerResponse,
  type GetSessionResponse,
  type GetStatusResponse,
  type GetWaitGraphResponse,
  ListEventsRequest,
  type ListEventsResponse,
  type ListSessionsResponse,
  type ReleaseLockResponse,
  type Session,
  type StatisticsSample,
  type WatchStatisticsResponse,
} from "./gen/holdfast/v1/admin_service.ts";
import { HoldfastError } from "./holdfast-error.ts";
import { type ConnectOptions, settingsFrom } from "./options.ts";
import { durationFromMs } from "./wire.ts";

export {
  Event,
  EventKind,
  GetSessionResponse,
  GetStatusResponse,
  GetWaitGraphResponse,
  ListEventsResponse,
  ServerStatus,
  Session,
  StatisticsSample,
  StoreMember,
  TimeDistribution,
  WaitNode,
} from "./gen/holdfast/v1/admin_service.ts";
export { SessionClaim } from "./gen/holdfast/v1/lock_service.ts";

/** How to reach the servers, and to be allowed to change things. */
export interface AdminOptions extends Pick<ConnectOptions, "tls" | "callTimeoutMs"> {
  /** The servers' administration token. Without one only a server on this machine lets itself be changed. */
  readonly token?: string;
}

/** Which events; what is left out is any. */
export type EventQuery = Parameters<typeof ListEventsRequest.fromPartial>[0];

/** How long an end by force may take: the server itself gives up after about 15 s. */
const CHANGE_TIMEOUT_MS = 20_000;

/**
 * Connects to a service. Nothing is sent before the first call, which goes to the first of `addresses` that answers; so
 * do those after it, and what they say of "this server" is about that one.
 *
 * Throws `HoldfastError` with reason `invalid` if an address or an option cannot be used at all.
 */
export function connectAdmin(addresses: string | readonly string[], options: AdminOptions = {}): Admin {
  return new Admin(addresses, options);
}

type Answered<Response> = (error: ServiceError | null, response: Response) => void;

type Method<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: { deadline: number },
  done: Answered<Response>,
) => ClientUnaryCall;

/** `AdminService` of a service. Every call rejects with a `HoldfastError`. */
export class Admin implements AsyncDisposable {
  readonly #clients: readonly AdminServiceClient[];
  readonly #metadata = new Metadata();
  readonly #callTimeoutMs: number;
  readonly #usesTls: boolean;
  #current = 0;

  constructor(addresses: string | readonly string[], { token, ...options }: AdminOptions) {
    const settings = settingsFrom(addresses, options);
    this.#callTimeoutMs = settings.callTimeoutMs;
    this.#usesTls = settings.tls !== undefined;
    try {
      if (token !== undefined) this.#metadata.set("authorization", `Bearer ${token}` satisfies MetadataValue);
      this.#clients = settings.addresses.map((address) => connectAdminTo(address, settings));
    } catch (cause) {
      throw new HoldfastError("invalid", `cannot connect like this: ${(cause as Error).message}`, { cause });
    }
  }

  /** Live sessions of the whole service, in order of their ids; a page is asked for as it is needed. */
  async *listSessions(): AsyncGenerator<Session, void, undefined> {
    let pageToken = "";
    do {
      const page = await this.#ask<object, ListSessionsResponse>("listSessions", { pageSize: 0, pageToken });
      yield* page.sessions;
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  }

  /** One live session and its claims. Rejects with `not-found`. */
  getSession(sessionId: string): Promise<GetSessionResponse> {
    return this.#ask("getSession", { sessionId });
  }

  /** How the service is, as the server that answers sees it. */
  getStatus(): Promise<GetStatusResponse> {
    return this.#ask("getStatus", {});
  }

  /** What the server that answers saw happen lately, newest first. */
  listEvents(query: EventQuery = {}): Promise<ListEventsResponse> {
    return this.#ask("listEvents", ListEventsRequest.fromPartial(query));
  }

  /** Who waits for whom on the locks whose names begin with `prefix`. `maxNodes` 0: 200. */
  getWaitGraph(prefix = "", maxNodes = 0): Promise<GetWaitGraphResponse> {
    return this.#ask("getWaitGraph", { prefix, maxNodes });
  }

  /** What the server that answers counted: first each second that it remembers, then each new one, until aborted. */
  async *watchStatistics(signal?: AbortSignal): AsyncGenerator<readonly StatisticsSample[], void, undefined> {
    // It tells which server to ask.
    await this.getStatus();
    const call: ClientReadableStream<WatchStatisticsResponse> = this.#client.watchStatistics({}, this.#metadata);
    const cancel = () => call.cancel();
    signal?.addEventListener("abort", cancel);
    if (signal?.aborted) cancel();
    call.on("error", () => undefined);
    try {
      for await (const { samples } of call as AsyncIterable<WatchStatisticsResponse>) yield samples;
    } catch (error) {
      if (!signal?.aborted) throw decodeError(error as ServiceError);
    } finally {
      signal?.removeEventListener("abort", cancel);
      cancel();
    }
  }

  /**
   * Frees a lock by force, by ending the claim that holds it with this token, on all its locks. Its client is told
   * why, and may go on working until it hears of it. Rejects with `wrong-token`, and with the holders, if nobody holds
   * the lock with that token, so that a repeated call ends so; with `store-unavailable` or `unreachable` if nobody
   * knows what became of it.
   */
  releaseLock(name: string, fencingToken: bigint, justification: string): Promise<ReleaseLockResponse> {
    return this.#change("releaseLock", { name, fencingToken, justification });
  }

  /** Closes somebody's session, with all its claims; likewise. Rejects with `not-found` if there is none. */
  closeSession(sessionId: string, justification: string): Promise<CloseSessionResponse> {
    return this.#change("closeSession", { sessionId, justification });
  }

  /**
   * Has a server send its clients to others and end within `leaveWithinMs` (default 30 s). It must be the one that
   * answers: rejects with `wrong-server` otherwise, and the message gives its address.
   */
  drainServer(serverId: string, leaveWithinMs?: number): Promise<DrainServerResponse> {
    const leaveWithin = leaveWithinMs === undefined ? undefined : durationFromMs(leaveWithinMs);
    return this.#change("drainServer", { serverId, leaveWithin });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) closeChannel(client);
  }

  get #client(): AdminServiceClient {
    return this.#clients[this.#current]!;
  }

  /** Asks one server after the other, each once, until one answers. */
  async #ask<Request, Response>(method: keyof AdminServiceClient, request: Request): Promise<Response> {
    for (let left = this.#clients.length; ; left--) {
      try {
        return await this.#once(method, request, this.#callTimeoutMs);
      } catch (error) {
        if ((error as HoldfastError).reason !== "unreachable" || left === 1) throw error;
        this.#current = (this.#current + 1) % this.#clients.length;
      }
    }
  }

  /** Asks one server, once: what became of a call that was not answered nobody knows. */
  async #change<Request, Response>(method: keyof AdminServiceClient, request: Request): Promise<Response> {
    // Finds one that answers, with a call that may be repeated.
    await this.getStatus();
    return this.#once(method, request, CHANGE_TIMEOUT_MS);
  }

  #once<Request, Response>(method: keyof AdminServiceClient, request: Request, timeoutMs: number): Promise<Response> {
    const call = (this.#client[method] as unknown as Method<Request, Response>).bind(this.#client);
    return new Promise((resolve, reject) => {
      call(request, this.#metadata, { deadline: Date.now() + timeoutMs }, (error, response) =>
        error === null ? resolve(response) : reject(callError(error, this.#usesTls)),
      );
    });
  }
}
