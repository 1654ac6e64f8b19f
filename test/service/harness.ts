import {
  type ChannelOptions,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type Metadata,
  type ServiceError,
  type StatusObject,
} from "@grpc/grpc-js";
import type { GrpcLimits } from "../../server/adapters/grpc/limits.ts";
import { type GrpcServer, startGrpcServer } from "../../server/adapters/grpc/server.ts";
import type { ClaimView, LockView } from "../../server/core/frames.ts";
import { ErrorInfo } from "../../server/gen/google/rpc/error_details.ts";
import { Status } from "../../server/gen/google/rpc/status.ts";
import {
  Acquire,
  Denied,
  HoldRequest,
  type HoldResponse,
  LockServiceClient,
  Lost,
  Open,
  type SessionCommand,
  type SessionEvent,
  type SessionRequest,
  type SessionResponse,
} from "../../server/gen/holdfast/v1/lock_service.ts";
import type { EngineNote } from "../../server/ports/telemetry.ts";
import { fakeAdmin } from "../support/fake-admin.ts";
import { FakeEngine } from "../support/fake-engine.ts";

/** A server on loopback with a scripted engine, and a client of it. */
export class TestServer implements AsyncDisposable {
  readonly engine: FakeEngine;
  readonly server: GrpcServer;
  readonly client: LockServiceClient;
  readonly noted: readonly EngineNote[];
  readonly logged: { level: string; name: string; fields: Readonly<Record<string, string | number>> }[];
  readonly #clients: { close(): void }[] = [];

  private constructor(engine: FakeEngine, server: GrpcServer, { noted, logged }: Pick<TestServer, "noted" | "logged">) {
    this.engine = engine;
    this.server = server;
    this.noted = noted;
    this.logged = logged;
    this.client = this.connect();
  }

  static async start(limits: Partial<GrpcLimits> = {}): Promise<TestServer> {
    const engine = new FakeEngine();
    const logged: TestServer["logged"] = [];
    const noted: EngineNote[] = [];
    const server = await startGrpcServer({
      engine,
      admin: fakeAdmin(),
      address: { host: "127.0.0.1", port: 0 },
      limits,
      telemetry: { note: (note) => noted.push(note) },
      log: { event: (level, name, fields = {}) => logged.push({ level, name, fields }) },
    });
    return new TestServer(engine, server, { noted, logged });
  }

  get address(): string {
    return `127.0.0.1:${this.server.port}`;
  }

  /** A further client, on a connection of its own. */
  connect(options: ChannelOptions = {}, address = this.address): LockServiceClient {
    const client = new LockServiceClient(address, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      ...options,
    });
    this.#clients.push(client);
    return client;
  }

  session(client = this.client): TestSession {
    return new TestSession(client.session());
  }

  hold(request: Parameters<typeof HoldRequest.fromPartial>[0], client = this.client): TestHold {
    return new TestHold(client.hold(HoldRequest.fromPartial(request)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.server.stop(0);
  }
}

/** Collects what comes over a call, and lets a test wait for it. */
class Inbox<Item> {
  readonly items: Item[] = [];
  #waiting: { readonly count: number; readonly resolve: () => void; readonly reject: (error: Error) => void }[] = [];
  #over = false;

  add(...items: readonly Item[]): void {
    this.items.push(...items);
    this.#waiting = this.#waiting.filter(({ count, resolve }) => {
      if (this.items.length >= count) resolve();
      return this.items.length < count;
    });
  }

  end(): void {
    this.#over = true;
    for (const { reject } of this.#waiting) reject(new Error("the call ended before that came"));
  }

  /** Resolves with the first `count`; rejects if the call ends before they are there. */
  async first(count: number): Promise<readonly Item[]> {
    if (this.items.length < count) {
      if (this.#over) throw new Error(`the call ended with ${this.items.length} items`);
      await new Promise<void>((resolve, reject) => this.#waiting.push({ count, resolve, reject }));
    }
    return this.items.slice(0, count);
  }
}

/** How a call ended. */
export interface Ending {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

/** Resolves when a call has ended, and never rejects. */
export function endingOf(call: ClientReadableStream<unknown>): Promise<Ending> {
  return new Promise((resolve) => {
    call.on("error", () => undefined);
    call.once("status", (status: StatusObject) => resolve(status));
  });
}

/** A Session as a program with nothing but stubs sees it. */
export class TestSession {
  readonly call: ClientDuplexStream<SessionRequest, SessionResponse>;
  readonly frames: SessionResponse[] = [];
  readonly ending: Promise<Ending>;
  readonly #inbox = new Inbox<SessionEvent["event"]>();

  constructor(call: ClientDuplexStream<SessionRequest, SessionResponse>) {
    this.call = call;
    this.ending = endingOf(call);
    call.on("data", (frame: SessionResponse) => {
      this.frames.push(frame);
      this.#inbox.add(...frame.events.map(({ event }) => event));
    });
    call.once("end", () => this.#inbox.end());
  }

  get events(): readonly SessionEvent["event"][] {
    return this.#inbox.items;
  }

  /** Sends commands in one frame. */
  send(...commands: readonly SessionCommand["command"][]): void {
    this.call.write({ commands: commands.map((command) => ({ command })) });
  }

  /** Resolves with the first `count` events. */
  received(count: number): Promise<readonly SessionEvent["event"][]> {
    return this.#inbox.first(count);
  }
}

/** A Hold as a program with nothing but stubs sees it. */
export class TestHold {
  readonly call: ClientReadableStream<HoldResponse>;
  readonly ending: Promise<Ending>;
  readonly #inbox = new Inbox<HoldResponse["event"]>();

  constructor(call: ClientReadableStream<HoldResponse>) {
    this.call = call;
    this.ending = endingOf(call);
    call.on("data", ({ event }: HoldResponse) => this.#inbox.add(event));
    call.once("end", () => this.#inbox.end());
  }

  received(count: number): Promise<readonly HoldResponse["event"][]> {
    return this.#inbox.first(count);
  }
}

export const open = (fields: Parameters<typeof Open.fromPartial>[0] = {}): SessionCommand["command"] => ({
  $case: "open",
  value: Open.fromPartial(fields),
});

export const acquire = (fields: Parameters<typeof Acquire.fromPartial>[0]): SessionCommand["command"] => ({
  $case: "acquire",
  value: Acquire.fromPartial({ claimId: 1n, locks: [{ name: "a" }], ...fields }),
});

export const release = (claimId: bigint): SessionCommand["command"] => ({ $case: "release", value: { claimId } });

export const heartbeat = (seq: bigint): SessionCommand["command"] => ({ $case: "heartbeat", value: { seq } });

/** What the details of a status say, decoded as a client decodes them. */
export interface Details {
  readonly info: ErrorInfo | undefined;
  readonly denied: Denied | undefined;
  readonly lost: Lost | undefined;
  /** The types, in order. */
  readonly types: readonly string[];
}

export function detailsOf(ending: Pick<Ending, "code" | "details" | "metadata">): Details {
  const [packed] = ending.metadata.get("grpc-status-details-bin");
  if (packed === undefined) return { info: undefined, denied: undefined, lost: undefined, types: [] };
  const status = Status.decode(packed as Buffer);
  if (status.code !== ending.code || status.message !== ending.details)
    throw new Error(`the details say ${status.code} ${status.message}, the status ${ending.code} ${ending.details}`);
  const find = (type: string) => status.details.find(({ typeUrl }) => typeUrl === `type.googleapis.com/${type}`)?.value;
  const [info, denied, lost] = ["google.rpc.ErrorInfo", "holdfast.v1.Denied", "holdfast.v1.Lost"].map(find);
  return {
    info: info && ErrorInfo.decode(info),
    denied: denied && Denied.decode(denied),
    lost: lost && Lost.decode(lost),
    types: status.details.map(({ typeUrl }) => typeUrl.slice(typeUrl.lastIndexOf("/") + 1)),
  };
}

/** Calls a unary method, and resolves with how it ended or what it answered. */
export function ask<Request, Response>(
  method: (request: Request, callback: (error: ServiceError | null, response: Response) => void) => unknown,
  request: Request,
): Promise<{ readonly ok: Response } | { readonly failed: ServiceError }> {
  return new Promise((resolve) => {
    method(request, (error, response) => resolve(error === null ? { ok: response } : { failed: error }));
  });
}

export const claimView = (fields: Partial<ClaimView> = {}): ClaimView => ({
  sessionId: "session-2",
  claimId: 7n,
  held: true,
  mode: "exclusive",
  permits: 0,
  token: 1_000n,
  lockCount: 1,
  reentryId: "",
  purpose: "",
  value: new Uint8Array(),
  client: undefined,
  claimedAtMs: 1_700_000_000_000,
  grantedAtMs: 1_700_000_000_500,
  ...fields,
});

export const lockView = (fields: Partial<LockView> = {}): LockView => ({
  name: "a",
  state: "held",
  mode: "exclusive",
  limit: 0,
  holderCount: 1,
  waiterCount: 0,
  permitsHeld: 0,
  holders: [claimView()],
  waiters: [],
  ...fields,
});
