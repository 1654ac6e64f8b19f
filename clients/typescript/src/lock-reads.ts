import { type ClientReadableStream, type ClientUnaryCall, Metadata, type ServiceError } from "@grpc/grpc-js";
import { closeChannel, connectTo } from "./channel.ts";
import { callError } from "./connection-problem.ts";
import type { ClaimView, Mode } from "./frames.ts";
import {
  type CheckTokenResponse,
  type GetLockResponse,
  type ListLocksResponse,
  Lock,
  type LockServiceClient,
  LockState,
  TokenState,
} from "./gen/holdfast/v1/lock_service.ts";
import { HoldfastError } from "./holdfast-error.ts";
import type { Settings } from "./options.ts";
import type { Reason } from "./reason.ts";
import { claimFromWire, modeFromWire } from "./wire.ts";

/** A lock as somebody looking sees it. */
export interface LockView {
  readonly name: string;
  /** Whether anybody holds it, and whether anybody waits. */
  readonly state: "free" | "held" | "contended";
  /** The mode of its holders, or of the first waiter if it has none. `undefined`: it is free. */
  readonly mode: Mode | undefined;
  /** How many permits it has, if a semaphore, else 0. */
  readonly limit: number;
  readonly holderCount: number;
  readonly waiterCount: number;
  readonly permitsHeld: number;
  /** Oldest grant first; cut, as the call says. */
  readonly holders: readonly ClaimView[];
  /** Next first; cut, as the call says. */
  readonly waiters: readonly ClaimView[];
}

/** What there is to know about locks at once. */
export interface LockChanges {
  /** The locks that exist, or that changed since, each whole and as it now is; `free` if it is gone. */
  readonly locks: readonly LockView[];
  /** True once: every lock that existed when the watch began has been shown; what was not shown is gone. */
  readonly caughtUp: boolean;
}

/** How the grant with a fencing token stands. */
export interface TokenView {
  /**
   * `live`: the claim with it is live. `ended`: no grant with it is live, and none will ever be. `not-issued`: it
   * is larger than any token so far: a forgery, or the store was restored from a backup.
   */
  readonly state: "live" | "ended" | "not-issued";
  /** The claim with that token, if live. */
  readonly claim: ClaimView | undefined;
}

/** Which locks to watch: those whose names start with `prefix` (all, if empty), or the one called `name`. */
export type WatchTarget = { readonly prefix: string } | { readonly name: string };

/** What a server answers when another may do better. */
const askElsewhere: ReadonlySet<Reason> = new Set(["unreachable", "draining", "store-unavailable"]);

type Answer<Response> = (error: ServiceError | null, response: Response) => void;

/** The calls that only look. Each asks one address after the other until one answers. */
export class LockReads {
  readonly #settings: Settings;
  /** Where the service can be reached now: changes as servers tell of others. */
  readonly #addresses: () => readonly string[];
  readonly #timeoutMs: number;
  readonly #clients = new Map<string, LockServiceClient>();
  /** The address that answered last, or is to be asked next. */
  #current: string;
  #isClosed = false;

  /** Throws `HoldfastError` with reason `invalid` if an address or the TLS options cannot be used at all. */
  constructor(settings: Settings, addresses: () => readonly string[]) {
    this.#settings = settings;
    this.#addresses = addresses;
    this.#timeoutMs = settings.callTimeoutMs;
    this.#current = settings.addresses[0]!;
    try {
      for (const address of settings.addresses) this.#clients.set(address, connectTo(address, settings));
    } catch (cause) {
      throw new HoldfastError("invalid", `cannot connect like this: ${(cause as Error).message}`, { cause });
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const client of this.#clients.values()) closeChannel(client);
  }

  async getLock(name: string, maxClaims: number, signal: AbortSignal | undefined): Promise<LockView> {
    checkCount("maxClaims", maxClaims);
    const { lock } = await this.#call<GetLockResponse>(signal, (client, options, done) =>
      client.getLock({ name, maxClaims }, new Metadata(), options, done),
    );
    return lockFromWire(lock ?? Lock.create({ name }));
  }

  async *listLocks(
    prefix: string,
    state: "held" | "contended" | undefined,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<LockView, void, undefined> {
    const query = { prefix, state: state === undefined ? LockState.UNSPECIFIED : stateToWire[state], pageSize: 0 };
    let pageToken = "";
    do {
      const request = { ...query, pageToken };
      const page = await this.#call<ListLocksResponse>(signal, (client, options, done) =>
        client.listLocks(request, new Metadata(), options, done),
      );
      for (const lock of page.locks) yield lockFromWire(lock);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  }

  async checkToken(name: string, fencingToken: bigint, signal: AbortSignal | undefined): Promise<TokenView> {
    if (typeof fencingToken !== "bigint" || BigInt.asUintN(64, fencingToken) !== fencingToken)
      throw new HoldfastError("invalid", `token ${fencingToken} is no bigint from 0 to 2^64 - 1`);
    const { state, claim } = await this.#call<CheckTokenResponse>(signal, (client, options, done) =>
      client.checkToken({ name, fencingToken }, new Metadata(), options, done),
    );
    return { state: tokenStateFromWire(state), claim: claim === undefined ? undefined : claimFromWire(claim) };
  }

  async *watchLocks(
    target: WatchTarget,
    maxWaiters: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<LockChanges, void, undefined> {
    checkCount("maxWaiters", maxWaiters);
    const request = { prefix: "", name: "", ...target, maxWaiters };
    let began = false;
    for (const round = this.#newRound(); ; ) {
      try {
        for await (const { locks, caughtUp } of responses(round.client.watchLocks(request), signal)) {
          began = true;
          yield { locks: locks.map(lockFromWire), caughtUp };
        }
        throw new HoldfastError("connection-lost", "the server ended the watch: begin again");
      } catch (error) {
        round.moveOn(error, !began);
      }
    }
  }

  /** Asks each address once, and three in all if there are fewer, within the time that a call may take. */
  async #call<Response>(
    signal: AbortSignal | undefined,
    start: (client: LockServiceClient, options: { deadline: number }, done: Answer<Response>) => ClientUnaryCall,
  ): Promise<Response> {
    const endMs = performance.now() + this.#timeoutMs;
    for (const round = this.#newRound(); ; ) {
      const shareMs = (endMs - performance.now()) / round.left;
      try {
        return await answer<Response>(signal, (done) =>
          start(round.client, { deadline: Date.now() + Math.max(1, shareMs) }, done),
        );
      } catch (error) {
        round.moveOn(error, true);
      }
    }
  }

  #newRound(): Round {
    if (this.#isClosed) throw new HoldfastError("closed-by-client", "the client was closed");
    const known = this.#addresses();
    for (const [address, client] of this.#clients)
      if (!known.includes(address)) {
        closeChannel(client);
        this.#clients.delete(address);
      }
    const first = Math.max(0, known.indexOf(this.#current));
    return new Round([...known.slice(first), ...known.slice(0, first)], {
      usesTls: this.#settings.tls !== undefined,
      clientOf: (address) => this.#clientOf(address),
      turnTo: (address) => {
        this.#current = address;
      },
    });
  }

  #clientOf(address: string): LockServiceClient {
    let client = this.#clients.get(address);
    if (client === undefined) {
      client = connectTo(address, this.#settings);
      this.#clients.set(address, client);
    }
    return client;
  }
}

/** One address may stand for several servers, of which the next may answer. */
const LEAST_ATTEMPTS = 3;

interface RoundHost {
  readonly usesTls: boolean;
  clientOf(address: string): LockServiceClient;
  /** The address is the next to be asked, in this round and by those that begin now. */
  turnTo(address: string): void;
}

/** The addresses that one call asks, one after the other. */
class Round {
  readonly #addresses: readonly string[];
  readonly #host: RoundHost;
  #at = 0;

  constructor(addresses: readonly string[], host: RoundHost) {
    this.#addresses = addresses;
    this.#host = host;
  }

  get client(): LockServiceClient {
    return this.#host.clientOf(this.#address);
  }

  /** How many are left to ask for the first time, the one that is being asked included; at least 1. */
  get left(): number {
    return Math.max(1, this.#addresses.length - this.#at);
  }

  get #address(): string {
    return this.#addresses[this.#at % this.#addresses.length]!;
  }

  /** Turns to the next address, unless enough were asked, another would answer the same, or it may not: then throws. */
  moveOn(error: unknown, may: boolean): void {
    const failure = error instanceof HoldfastError ? error : callError(error as ServiceError, this.#host.usesTls);
    if (!askElsewhere.has(failure.reason)) throw failure;
    this.#at++;
    this.#host.turnTo(this.#address);
    if (!may || this.#at >= Math.max(LEAST_ATTEMPTS, this.#addresses.length)) throw failure;
  }
}

function answer<Response>(
  signal: AbortSignal | undefined,
  start: (done: Answer<Response>) => ClientUnaryCall,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(aborted(signal));
    const call = start((error, response) => {
      signal?.removeEventListener("abort", cancel);
      if (error === null) resolve(response);
      else reject(signal?.aborted ? aborted(signal) : error);
    });
    const cancel = () => call.cancel();
    signal?.addEventListener("abort", cancel);
  });
}

async function* responses<Response>(
  call: ClientReadableStream<Response>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Response, void, undefined> {
  const cancel = () => call.cancel();
  signal?.addEventListener("abort", cancel);
  if (signal?.aborted) cancel();
  // The loop hears of errors while it runs; cancelling after it makes one more.
  call.on("error", () => {});
  try {
    yield* call as AsyncIterable<Response>;
  } catch (error) {
    throw signal?.aborted ? aborted(signal) : error;
  } finally {
    signal?.removeEventListener("abort", cancel);
    cancel();
  }
}

function checkCount(name: string, value: number): void {
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 32) return;
  throw new HoldfastError("invalid", `${name} is ${value}, and no whole number from 0 to 2^32 - 1`);
}

const aborted = (signal: AbortSignal) => new HoldfastError("aborted", "the call was aborted", { cause: signal.reason });

const stateToWire = { held: LockState.HELD, contended: LockState.CONTENDED };

function lockFromWire(lock: Lock): LockView {
  const { name, limit, holderCount, waiterCount, permitsHeld } = lock;
  return {
    name,
    state: lock.state === LockState.CONTENDED ? "contended" : lock.state === LockState.HELD ? "held" : "free",
    mode: modeFromWire(lock.mode),
    limit,
    holderCount,
    waiterCount,
    permitsHeld,
    holders: lock.holders.map(claimFromWire),
    waiters: lock.waiters.map(claimFromWire),
  };
}

function tokenStateFromWire(state: TokenState): TokenView["state"] {
  if (state === TokenState.LIVE) return "live";
  return state === TokenState.NOT_ISSUED ? "not-issued" : "ended";
}
