import type { ClientDuplexStream } from "@grpc/grpc-js";
import {
  Liveness,
  type LockServiceClient,
  Mode,
  OnDisconnect,
  type SessionCommand,
  type SessionEvent,
  type SessionRequest,
  type SessionResponse,
} from "../../clients/typescript/src/gen/holdfast/v1/lock_service.ts";
import type { LockTarget } from "../../clients/typescript/src/index.ts";
import type { Held, Locker } from "./locker.ts";

export interface StubOptions {
  readonly liveness: "heartbeat" | "transport";
  /** Default: 60 s. */
  readonly ttlSeconds?: number;
  /** Keep the claims of a session whose stream breaks. Default: release them. */
  readonly keep?: boolean;
}

interface Claim {
  queued(): void;
  granted(token: bigint): void;
  released(): void;
  failed(error: Error): void;
}

/**
 * A session on the generated stubs and nothing else: what can be had of the server when the client costs next to
 * nothing. Commands of one turn of the event loop travel in one frame. It keeps no deadline and never resumes.
 */
export class StubSession implements Locker {
  readonly #call: ClientDuplexStream<SessionRequest, SessionResponse>;
  readonly #claims = new Map<bigint, Claim>();
  readonly #opened = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  #unsent: SessionCommand[] = [];
  #lastClaim = 0n;
  #lastHeartbeat = 0n;
  #problem: Error | undefined;

  private constructor(client: LockServiceClient, options: StubOptions) {
    this.#call = client.session();
    this.#call.on("data", ({ events }: SessionResponse) => {
      for (const event of events) this.#on(event);
    });
    this.#call.on("error", () => {});
    this.#call.on("status", ({ code, details }) => {
      this.#fail(new Error(`the session ended with status ${code}: ${details}`));
      this.#ended.resolve();
    });
    this.#send({ $case: "open", value: openCommand(options) });
  }

  /** Resolves when the session is open. */
  static async open(client: LockServiceClient, options: StubOptions): Promise<StubSession> {
    const session = new StubSession(client, options);
    await session.#opened.promise;
    return session;
  }

  /** How it ended, if it did. */
  get problem(): Error | undefined {
    return this.#problem;
  }

  acquire(target: LockTarget | readonly LockTarget[]): Promise<Held> {
    return this.claim(target).granted;
  }

  /** Takes a place in a lock's queue, or in several. `queued` resolves when it has it, `granted` when it is held. */
  claim(target: LockTarget | readonly LockTarget[]): {
    readonly queued: Promise<void>;
    readonly granted: Promise<Held>;
  } {
    const claimId = ++this.#lastClaim;
    const queued = Promise.withResolvers<void>();
    const granted = Promise.withResolvers<Held>();
    const released = Promise.withResolvers<void>();
    // Whoever waits for one of them need not wait for the others.
    for (const { promise } of [queued, granted, released]) promise.catch(() => {});
    const release = () => {
      this.#send({ $case: "release", value: { claimId } });
      return released.promise;
    };
    this.#claims.set(claimId, {
      queued: queued.resolve,
      granted: (token) => granted.resolve({ token, release }),
      released: released.resolve,
      failed: (error) => {
        for (const { reject } of [queued, granted, released]) reject(error);
      },
    });
    this.#send({ $case: "acquire", value: acquireCommand(claimId, target) });
    return { queued: queued.promise, granted: granted.promise };
  }

  heartbeat(): void {
    this.#send({ $case: "heartbeat", value: { seq: ++this.#lastHeartbeat } });
  }

  async close(): Promise<void> {
    this.#send({ $case: "close", value: {} });
    await this.#ended.promise;
  }

  #send(command: NonNullable<SessionCommand["command"]>): void {
    if (this.#problem !== undefined) return;
    if (this.#unsent.length === 0) setImmediate(() => this.#flush());
    this.#unsent.push({ command });
  }

  #flush(): void {
    const commands = this.#unsent;
    this.#unsent = [];
    // A frame is at most 64 KiB, and no command of ours comes near 128 bytes.
    for (let from = 0; from < commands.length; from += 500) {
      this.#call.write({ commands: commands.slice(from, from + 500) });
    }
  }

  #on({ event }: SessionEvent): void {
    switch (event?.$case) {
      case "opened":
        return this.#opened.resolve();
      case "waiting":
        return this.#claims.get(event.value.claimId)?.queued();
      case "granted":
        this.#claims.get(event.value.claimId)?.queued();
        return this.#claims.get(event.value.claimId)?.granted(event.value.locks[0]!.fencingToken);
      case "released":
        this.#claims.get(event.value.claimId)?.released();
        this.#claims.delete(event.value.claimId);
        return;
      case "denied":
      case "lost":
        this.#claims.get(event.value.claimId)?.failed(new Error(`${event.$case}: ${event.value.message}`));
        this.#claims.delete(event.value.claimId);
        return;
      case "closed":
        return this.#fail(new Error(`closed: ${event.value.message}`));
    }
  }

  #fail(error: Error): void {
    if (this.#problem !== undefined) return;
    this.#problem = error;
    this.#opened.reject(error);
    for (const claim of this.#claims.values()) claim.failed(error);
    this.#claims.clear();
  }
}

function openCommand({ liveness, ttlSeconds = 60, keep = false }: StubOptions) {
  return {
    ttl: { seconds: BigInt(ttlSeconds), nanos: 0 },
    onDisconnect: keep ? OnDisconnect.KEEP : OnDisconnect.RELEASE,
    liveness: liveness === "heartbeat" ? Liveness.HEARTBEAT : Liveness.TRANSPORT,
    resume: undefined,
    client: undefined,
    labels: {},
  };
}

const nothing = Buffer.alloc(0);

const modes = { exclusive: Mode.EXCLUSIVE, shared: Mode.SHARED, semaphore: Mode.SEMAPHORE } as const;

const lockSpec = (target: LockTarget) =>
  typeof target === "string"
    ? { name: target, mode: Mode.EXCLUSIVE, permits: 0, limit: 0 }
    : { ...target, mode: modes[target.mode] };

const acquireCommand = (claimId: bigint, target: LockTarget | readonly LockTarget[]) => ({
  claimId,
  locks: [target].flat().map(lockSpec),
  wait: undefined,
  reentryId: "",
  purpose: "",
  value: nothing,
  traceparent: "",
});
