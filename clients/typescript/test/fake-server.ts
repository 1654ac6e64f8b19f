import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerWritableStream,
  status,
} from "@grpc/grpc-js";
import type { Any } from "../src/gen/google/protobuf/any.ts";
import { ErrorInfo } from "../src/gen/google/rpc/error_details.ts";
import { Status } from "../src/gen/google/rpc/status.ts";
import {
  type CheckTokenRequest,
  type CheckTokenResponse,
  ClaimState,
  Denied,
  type GetLockRequest,
  type GetLockResponse,
  GrantedLock,
  type ListLocksRequest,
  type ListLocksResponse,
  LockServiceService,
  Lost,
  type Reason,
  type SessionCommand,
  type SessionEvent,
  type SessionRequest,
  type SessionResponse,
  type WatchLocksRequest,
  type WatchLocksResponse,
} from "../src/gen/holdfast/v1/lock_service.ts";

type Command = NonNullable<SessionCommand["command"]>;
type Event = NonNullable<SessionEvent["event"]>;

const grant = GrantedLock.create();

const duration = (ms: number) => ({ seconds: BigInt(Math.floor(ms / 1000)), nanos: Math.round((ms % 1000) * 1e6) });

/** What came and was not taken yet; who takes waits for it. */
class Inbox<T> {
  readonly #items: T[] = [];
  readonly #takers: ((item: T) => void)[] = [];

  put(item: T): void {
    const taker = this.#takers.shift();
    if (taker === undefined) this.#items.push(item);
    else taker(item);
  }

  take(): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<T>();
    const item = this.#items.shift();
    if (item === undefined) this.#takers.push(resolve);
    else resolve(item);
    return promise;
  }
}

/** How calls that only look are answered: with a response, or by throwing what `failure` makes. */
export interface Answers {
  getLock(request: GetLockRequest): GetLockResponse;
  listLocks(request: ListLocksRequest): ListLocksResponse;
  checkToken(request: CheckTokenRequest): CheckTokenResponse;
  watchLocks(call: ServerWritableStream<WatchLocksRequest, WatchLocksResponse>): void;
}

/** A gRPC server that says what a test has it say. */
export class FakeServer implements AsyncDisposable {
  readonly address: string;
  readonly sessions = new Inbox<FakeSession>();
  readonly #server: Server;
  #isHolding = false;

  private constructor(server: Server, address: string) {
    this.#server = server;
    this.address = address;
  }

  /** Starts on a free port of loopback. */
  static async start(
    answers: Partial<Answers> = {},
    credentials = ServerCredentials.createInsecure(),
  ): Promise<FakeServer> {
    const server = new Server();
    let fake: FakeServer;
    const unary =
      <Request, Response>(name: "getLock" | "listLocks" | "checkToken") =>
      (call: { request: Request }, done: (error: Error | null, response?: Response) => void) => {
        if (fake.#isHolding) return;
        try {
          done(null, (answers[name] as (request: Request) => Response)(call.request));
        } catch (error) {
          done(error as Error);
        }
      };
    server.addService(LockServiceService, {
      session: (call: ServerDuplexStream<SessionRequest, SessionResponse>) => fake.sessions.put(new FakeSession(call)),
      hold: (call: ServerWritableStream<unknown, unknown>) => call.end(),
      getLock: unary("getLock"),
      listLocks: unary("listLocks"),
      checkToken: unary("checkToken"),
      watchLocks: (call: ServerWritableStream<WatchLocksRequest, WatchLocksResponse>) => answers.watchLocks?.(call),
    });
    const bound = await new Promise<number>((resolve, reject) =>
      server.bindAsync("127.0.0.1:0", credentials, (error, at) => (error === null ? resolve(at) : reject(error))),
    );
    fake = new FakeServer(server, `127.0.0.1:${bound}`);
    return fake;
  }

  /** The next session that somebody starts, opened. */
  async accept(validForMs?: number): Promise<FakeSession> {
    const session = await this.sessions.take();
    await session.next();
    session.opened(validForMs === undefined ? {} : { validForMs });
    return session;
  }

  /** Leaves calls that only look without an answer from now on. */
  hold(): void {
    this.#isHolding = true;
  }

  /** Breaks every connection, and refuses new ones. */
  kill(): void {
    this.#server.forceShutdown();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
  }
}

/** The server's end of one Session call. */
export class FakeSession {
  /** Resolves when the client ended the call, or it broke. */
  readonly ended: Promise<void>;
  readonly #call: ServerDuplexStream<SessionRequest, SessionResponse>;
  readonly #frames = new Inbox<Command[]>();
  /** The numbers of the heartbeats that came. */
  readonly heartbeats = new Inbox<bigint>();
  #validForMs = 0;
  #isSilent = false;

  constructor(call: ServerDuplexStream<SessionRequest, SessionResponse>) {
    this.#call = call;
    call.on("data", ({ commands }: SessionRequest) => this.#take(commands.map(({ command }) => command!)));
    call.on("error", () => {});
    this.ended = new Promise((resolve) => {
      call.on("end", resolve);
      call.on("cancelled", resolve);
    });
  }

  #take(commands: Command[]): void {
    for (const command of commands) if (command.$case === "heartbeat") this.#beat(command.value.seq);
    const others = commands.filter(({ $case }) => $case !== "heartbeat");
    if (others.length > 0) this.#frames.put(others);
  }

  /** Heartbeats are answered as they come, so that tests need not. */
  #beat(seq: bigint): void {
    this.heartbeats.put(seq);
    if (!this.#isSilent) this.send({ $case: "heartbeatAck", value: { seq, validFor: duration(this.#validForMs) } });
  }

  /** The commands of the next frame that is more than a heartbeat. */
  next(): Promise<Command[]> {
    return this.#frames.take();
  }

  /** The commands of the next frame, as "kind" or "kind id". */
  async nextSketch(): Promise<string[]> {
    return (await this.next()).map((command) =>
      "claimId" in command.value ? `${command.$case} ${command.value.claimId}` : command.$case,
    );
  }

  send(...events: Event[]): void {
    this.#call.write({ events: events.map((event) => ({ event })) });
  }

  /** A session that is valid for so long, with these claims held. */
  opened({
    validForMs = 20_000,
    held = [],
    servers = [],
  }: {
    validForMs?: number;
    held?: readonly bigint[];
    servers?: readonly string[];
  } = {}): void {
    this.#validForMs = validForMs;
    const claims = held.map((claimId) => {
      const locks = [{ ...grant, name: "a", fencingToken: 100n + claimId }];
      return { claimId, state: ClaimState.HELD, locks };
    });
    this.send({
      $case: "opened",
      value: {
        sessionId: "session",
        resumeSecret: "secret",
        ttl: duration(validForMs),
        heartbeatInterval: duration(validForMs / 3),
        validFor: duration(validForMs),
        claims,
        servers: [...servers],
      },
    });
  }

  granted(claimId: bigint, ...names: string[]): void {
    const locks = names.map((name) => ({ ...grant, name, fencingToken: 100n + claimId }));
    this.send({ $case: "granted", value: { claimId, locks } });
  }

  released(claimId: bigint): void {
    this.send({ $case: "released", value: { claimId } });
  }

  closed(reason: Reason, message = ""): void {
    this.send({ $case: "closed", value: { reason, message } });
    this.#call.end();
  }

  /** Answers heartbeats no more. */
  silence(): void {
    this.#isSilent = true;
  }

  /** Grants whatever is asked for, at once, until the call ends. */
  grantAll(): void {
    this.#call.on("data", ({ commands }: SessionRequest) => {
      const events = commands.flatMap(({ command }): Event[] => {
        if (command?.$case === "release") return [{ $case: "released", value: command.value }];
        if (command?.$case !== "acquire") return [];
        const { claimId, locks } = command.value;
        const granted = locks.map(({ name }) => ({ ...grant, name, fencingToken: claimId }));
        return [{ $case: "granted", value: { claimId, locks: granted } }];
      });
      if (events.length > 0) this.send(...events);
    });
  }

  /** Breaks the stream without a word. */
  break(): void {
    this.#call.emit("error", { code: status.UNAVAILABLE, details: "broken by the test" });
  }
}

/** An error of a call with Holdfast's details, as the server makes them. */
export function failure(
  code: number,
  reason: string,
  { lock, denied, lost }: { lock?: string; denied?: Partial<Denied>; lost?: Partial<Lost> } = {},
): Error {
  const detail = (type: string, value: Uint8Array): Any => ({
    typeUrl: `type.googleapis.com/${type}`,
    value: Buffer.from(value),
  });
  const info = { reason: `REASON_${reason}`, domain: "holdfast.v1", metadata: lock === undefined ? {} : { lock } };
  const details = [detail("google.rpc.ErrorInfo", ErrorInfo.encode(info).finish())];
  if (denied) details.push(detail("holdfast.v1.Denied", Denied.encode(Denied.create(denied)).finish()));
  if (lost) details.push(detail("holdfast.v1.Lost", Lost.encode(Lost.create(lost)).finish()));
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(Status.encode({ code, message: "", details }).finish()));
  return Object.assign(new Error(`${reason} in words`), { code, details: `${reason} in words`, metadata });
}
