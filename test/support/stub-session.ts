import { type ClientDuplexStream, credentials, type StatusObject } from "@grpc/grpc-js";
import {
  Acquire,
  type Closed,
  type Denied,
  type GrantedLock,
  type HeartbeatAck,
  Liveness,
  LockServiceClient,
  type LockSpec,
  Mode,
  OnDisconnect,
  Open,
  type Opened,
  type Resume,
  reasonToJSON,
  type SessionCommand,
  type SessionEvent,
  type SessionRequest,
  type SessionResponse,
  type Waiting,
} from "../../clients/typescript/src/gen/holdfast/v1/lock_service.ts";
import { Inbox } from "./inbox.ts";
import { monotonicMs } from "./monotonic.ts";

/** A client of one server with a connection of its own. */
export function stubOf(address: string): LockServiceClient {
  return new LockServiceClient(address, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
}

export type LockToTake = string | Partial<LockSpec>;

export const sharedLock = (name: string): Partial<LockSpec> => ({ name, mode: Mode.SHARED });
export const permitsOf = (name: string, limit: number, permits = 1): Partial<LockSpec> => ({
  name,
  mode: Mode.SEMAPHORE,
  limit,
  permits,
});

export interface SessionOptions {
  readonly ttlMs?: number;
  /** Default: `RELEASE`. */
  readonly keep?: boolean;
  /** Default: `TRANSPORT`, which needs nothing sent; `HEARTBEAT` sends them by itself until `stopBeating`. */
  readonly heartbeat?: boolean;
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Takes up an earlier session. */
  readonly resume?: Resume;
  /** Shares the connection of this stub, instead of one of its own. */
  readonly stub?: LockServiceClient;
}

/** How a session's call ended. */
export interface SessionEnd {
  readonly code: number;
  readonly details: string;
  /** Of the last event, if it was `closed`: "session-expired" and so on. */
  readonly reason: string | undefined;
}

/** Says that a claim was refused or lost, or that the session ended. */
export class Refused extends Error {
  readonly reason: string;
  readonly denied: Denied | undefined;

  constructor(reason: string, message: string, denied?: Denied) {
    super(`${reason}: ${message}`);
    this.reason = reason;
    this.denied = denied;
  }
}

type Event = NonNullable<SessionEvent["event"]>;
type Timed = Event & { readonly atMs: number };

/** A session as a program with nothing but generated stubs has it. */
export class StubSession implements AsyncDisposable {
  readonly ended: Promise<SessionEnd>;
  readonly inbox = new Inbox<Timed>();
  opened: Opened | undefined;
  readonly #stub: LockServiceClient;
  readonly #ownsStub: boolean;
  readonly #call: ClientDuplexStream<SessionRequest, SessionResponse>;
  readonly #claims = new Map<bigint, StubClaim>();
  readonly #batch: SessionCommand[] = [];
  #lastClaimId = 0n;
  #beat = 0n;
  #beating: NodeJS.Timeout | undefined;

  private constructor(address: string, options: SessionOptions) {
    this.#ownsStub = options.stub === undefined;
    this.#stub = options.stub ?? stubOf(address);
    this.#call = this.#stub.session();
    this.#call.on("data", ({ events }: SessionResponse) => {
      const atMs = monotonicMs();
      for (const { event } of events) if (event !== undefined) this.#received(Object.assign(event, { atMs }));
    });
    this.#call.on("error", () => undefined);
    this.ended = new Promise((resolve) => {
      this.#call.once("status", (status: StatusObject) => resolve(this.#over(status)));
    });
  }

  /** Opens a session, or resumes one. Rejects with `Refused` if the server does not want it. */
  static async open(address: string, options: SessionOptions = {}): Promise<StubSession> {
    const { ttlMs = 15_000, keep = false, heartbeat = keep, name = "", labels = {}, resume } = options;
    const session = new StubSession(address, options);
    const open = Open.fromPartial({
      ttl: durationOf(ttlMs),
      onDisconnect: keep ? OnDisconnect.KEEP : OnDisconnect.RELEASE,
      liveness: heartbeat ? Liveness.HEARTBEAT : Liveness.TRANSPORT,
      client: { name },
      labels,
      ...(resume && { resume }),
    });
    session.send({ $case: "open", value: open });
    const opened = session.inbox.first((event) => (event.$case === "opened" ? event.value : undefined));
    const end = await opened.catch(() => session.ended);
    if ("code" in end) throw new Refused(end.reason ?? "", end.details);
    session.opened = end;
    if (heartbeat) session.#beating = setInterval(() => session.beat(), Number(end.ttl!.seconds) * 333);
    return session;
  }

  get id(): string {
    return this.opened!.sessionId;
  }

  /** What resumes this session for the nth time. */
  resumption(attempt: bigint): Resume {
    return { sessionId: this.id, secret: this.opened!.resumeSecret, attempt };
  }

  /** Sends a command at the end of this turn, in one frame with all others of it. */
  send(command: Exclude<SessionCommand["command"], undefined>): void {
    if (this.#batch.push({ command }) > 1) return;
    queueMicrotask(() => {
      while (this.#batch.length > 0) this.#call.write({ commands: this.#batch.splice(0, 500) });
    });
  }

  /** Asks for a claim; a lock by its name alone is exclusive. `again`: one that was asked for on an earlier stream. */
  acquire(
    locks: LockToTake | readonly LockToTake[],
    {
      waitMs,
      again,
      ...fields
    }: { waitMs?: number; again?: bigint; reentryId?: string; purpose?: string; value?: Buffer } = {},
  ): StubClaim {
    if (again !== undefined && again > this.#lastClaimId) this.#lastClaimId = again;
    const claimId = again ?? ++this.#lastClaimId;
    const list = Array.isArray(locks) ? (locks as readonly LockToTake[]) : [locks as LockToTake];
    const claim = new StubClaim(claimId);
    this.#claims.set(claimId, claim);
    this.send({
      $case: "acquire",
      value: Acquire.fromPartial({
        ...fields,
        claimId,
        locks: list.map((lock) => (typeof lock === "string" ? { name: lock } : lock)),
        ...(waitMs !== undefined && { wait: durationOf(waitMs) }),
      }),
    });
    return claim;
  }

  /** Acquires, and resolves with the token when granted. */
  async take(...args: Parameters<StubSession["acquire"]>): Promise<{ claimId: bigint; token: bigint }> {
    const claim = this.acquire(...args);
    return { claimId: claim.id, token: (await claim.granted).token };
  }

  /** Gives a claim up, and resolves when that is committed. */
  async release(claimId: bigint): Promise<void> {
    const from = this.inbox.items.length;
    this.send({ $case: "release", value: { claimId } });
    await this.inbox.first(
      (event) => (event.$case === "released" && event.value.claimId === claimId ? true : undefined),
      from,
    );
  }

  /** Sends a heartbeat, and returns its number. */
  beat(): bigint {
    this.send({ $case: "heartbeat", value: { seq: ++this.#beat } });
    return this.#beat;
  }

  stopBeating(): void {
    clearInterval(this.#beating);
  }

  /** The answer to a heartbeat of this number or a later one. */
  acked(seq: bigint): Promise<HeartbeatAck> {
    return this.inbox.first((event) =>
      event.$case === "heartbeatAck" && event.value.seq >= seq ? event.value : undefined,
    );
  }

  /** Ends the session, and resolves when that is committed. */
  async close(): Promise<SessionEnd> {
    this.send({ $case: "close", value: {} });
    return this.ended;
  }

  halfClose(): Promise<SessionEnd> {
    this.#call.end();
    return this.ended;
  }

  /** Breaks the stream, as a client does that has gone. */
  cancel(): void {
    this.#call.cancel();
  }

  /** Closes the session if that can be done within 3 s; the connection goes in any case. */
  async [Symbol.asyncDispose](): Promise<void> {
    const patience = setTimeout(() => this.cancel(), 3000);
    await this.close();
    clearTimeout(patience);
  }

  #received(event: Timed): void {
    const claim = claimIdOf(event);
    if (claim !== undefined) this.#claims.get(claim)?.received(event);
    if (event.$case !== "waiting") this.inbox.add(event);
  }

  #over({ code, details }: StatusObject): SessionEnd {
    clearInterval(this.#beating);
    if (this.#ownsStub) this.#stub.close();
    const last = this.inbox.items.at(-1);
    const reason = last?.$case === "closed" ? reasonOf(last.value) : undefined;
    for (const claim of this.#claims.values()) claim.over(new Refused(reason ?? "", `the session ended: ${details}`));
    this.inbox.end(`the session ended: ${code} ${details}`);
    return { code, details, reason };
  }
}

/** A claim as it was asked for over one stream. */
export class StubClaim {
  readonly id: bigint;
  /** Resolves when it is granted; rejects with `Refused` when it is denied, or the session ends before. */
  readonly granted: Promise<{ token: bigint; locks: readonly GrantedLock[]; atMs: number }>;
  /** Resolves with the reason when it is lost; when the session ends, with that of the session. */
  readonly lost: Promise<string>;
  /** What it was told while waiting. */
  readonly places: Waiting[] = [];
  readonly #granted = Promise.withResolvers<{ token: bigint; locks: readonly GrantedLock[]; atMs: number }>();
  readonly #lost = Promise.withResolvers<string>();
  readonly #waiting = new Inbox<Waiting>();
  #isGranted = false;

  constructor(id: bigint) {
    this.id = id;
    this.granted = this.#granted.promise;
    // Many a test looks only at some of its claims.
    this.granted.catch(() => undefined);
    this.lost = this.#lost.promise;
  }

  get isGranted(): boolean {
    return this.#isGranted;
  }

  /** Resolves when it is in the queue and not granted, with its place; rejects if it is answered without waiting. */
  waits(): Promise<Waiting> {
    return this.#waiting.first((place) => place);
  }

  /** Resolves with the refusal; rejects if it is granted. */
  async refused(): Promise<Refused> {
    const outcome = await this.granted.catch((error: Refused) => error);
    if (outcome instanceof Refused) return outcome;
    throw new Error(`claim ${this.id} was granted with token ${outcome.token}`);
  }

  received(event: Timed): void {
    if (event.$case === "waiting") {
      this.places.push(event.value);
      this.#waiting.add(event.value);
    }
    if (event.$case === "granted") {
      const { locks } = event.value;
      this.#isGranted = true;
      this.#granted.resolve({ token: locks[0]!.fencingToken, locks, atMs: event.atMs });
    }
    if (event.$case === "denied")
      this.#granted.reject(new Refused(reasonOf(event.value), event.value.message, event.value));
    if (event.$case === "released") this.#granted.reject(new Refused("released", "it was released"));
    if (event.$case === "lost") this.#lost.resolve(reasonOf(event.value));
    if (event.$case === "granted" || event.$case === "denied") this.#waiting.end(`it was ${event.$case} at once`);
  }

  over(why: Refused): void {
    this.#granted.reject(why);
    this.#lost.resolve(why.reason);
    this.#waiting.end(why.message);
  }
}

function claimIdOf(event: Event): bigint | undefined {
  return "claimId" in event.value ? event.value.claimId : undefined;
}

/** "session-expired" for `REASON_SESSION_EXPIRED`. */
const reasonOf = ({ reason }: Pick<Closed, "reason">): string =>
  reasonToJSON(reason).replace("REASON_", "").toLowerCase().replaceAll("_", "-");

const durationOf = (ms: number) => ({ seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 });
