import { afterAll, afterEach, beforeAll, expect } from "vitest";
import {
  type CheckTokenRequest,
  type CheckTokenResponse,
  type GetLockRequest,
  type GetLockResponse,
  type Lock,
  type LockServiceClient,
  tokenStateToJSON,
} from "../../clients/typescript/src/gen/holdfast/v1/lock_service.ts";
import { ask } from "./ask.ts";
import { startEtcd, type TestEtcd } from "./etcd.ts";
import { eventually } from "./eventually.ts";
import { type ServerProcess, startServer } from "./server.ts";
import { type SessionOptions, StubSession, stubOf } from "./stub-session.ts";

/** A lock as a server sees it, with at most 1,000 holders and waiters. */
export async function getLock(stub: LockServiceClient, name: string): Promise<Lock> {
  const { lock } = await ask<GetLockRequest, GetLockResponse>(stub, "getLock", { name, maxClaims: 1000 });
  return lock!;
}

export interface ServiceOptions {
  /** How many servers. Default: 1. */
  readonly servers?: number;
  /** Flags for each of them. */
  readonly flags?: readonly string[];
  /** Of the etcd behind them. */
  readonly etcd?: Parameters<typeof startEtcd>[0];
}

/** Servers that are processes, over one etcd that is one too. */
export class Service implements AsyncDisposable {
  readonly etcd: TestEtcd;
  readonly servers: readonly ServerProcess[];
  readonly #stubs: LockServiceClient[];

  private constructor(etcd: TestEtcd, servers: readonly ServerProcess[]) {
    this.etcd = etcd;
    this.servers = servers;
    this.#stubs = servers.map(({ grpcAddress }) => stubOf(grpcAddress));
  }

  static async start({ servers = 1, flags = [], etcd: options = {} }: ServiceOptions = {}): Promise<Service> {
    await using parts = new AsyncDisposableStack();
    const etcd = parts.use(await startEtcd(options));
    const starting = Array.from({ length: servers }, () => startServer({ etcd: etcd.endpoint, flags }));
    const started = (await Promise.all(starting)).map((server) => parts.use(server));
    parts.move();
    return new Service(etcd, started);
  }

  /** "127.0.0.1:port" of a server. */
  address(server = 0): string {
    return this.servers[server]!.grpcAddress;
  }

  /** A client for the calls that only look. */
  stub(server = 0): LockServiceClient {
    return this.#stubs[server]!;
  }

  /** Opens a session for each server that is named, which may be one several times. */
  async sessionsAt<const Servers extends readonly number[]>(
    servers: Servers,
    options: SessionOptions = {},
  ): Promise<AsyncDisposable & { readonly list: { [Index in keyof Servers]: StubSession } }> {
    const stack = new AsyncDisposableStack();
    const list = await Promise.all(servers.map((server) => StubSession.open(this.address(server), options)));
    for (const session of list) stack.use(session);
    return {
      list: list as { [Index in keyof Servers]: StubSession },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  }

  getLock(name: string, server = 0): Promise<Lock> {
    return getLock(this.stub(server), name);
  }

  /** How the grant with a token stands, as a server sees it: "live", "ended" or "not-issued". */
  async checkToken(name: string, fencingToken: bigint, server = 0): Promise<string> {
    const request = { name, fencingToken };
    const { state } = await ask<CheckTokenRequest, CheckTokenResponse>(this.stub(server), "checkToken", request);
    return tokenStateToJSON(state).replace("TOKEN_STATE_", "").toLowerCase().replace("_", "-");
  }

  /**
   * Resolves when etcd holds no key and no lease: leases are revoked in the background, at most 200 a second, or
   * expire. Rejects with what is left.
   */
  async becomesEmpty(withinMs = 40_000): Promise<void> {
    const left = async () => ({ keys: await this.etcd.countKeys(), leases: await this.etcd.countLeases() });
    await eventually(left, { keys: 0, leases: 0 }, withinMs);
  }

  /** The logs of the servers, for whoever has to find out what went wrong. */
  logs(): string {
    return this.servers.map(({ log, grpcAddress }) => `--- log of the server ${grpcAddress}\n${log}`).join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stub of this.#stubs) stub.close();
    await Promise.all(this.servers.map((server) => server[Symbol.asyncDispose]()));
    await this.etcd[Symbol.asyncDispose]();
  }
}

/**
 * Has the tests of this file share a service. At the end of the file nothing of theirs may be left in etcd, and
 * the servers end in order. Shows the servers' logs when a test has failed.
 */
export function useService(options: ServiceOptions = {}): () => Service {
  // Hooks at the end run in reverse: first the servers end, then nothing may be left of anybody.
  leaveNoProcess();
  return useServiceInSuite(options);
}

/** The same for the tests of a suite beside which others of its file run: it is the file that leaves no process. */
export function useServiceInSuite(options: ServiceOptions): () => Service {
  let service: Service | undefined;
  let failed = false;
  beforeAll(async () => {
    service = await Service.start(options);
  });
  afterEach(({ task }) => {
    failed ||= task.result?.state === "fail";
  });
  afterAll(async () => {
    if (service === undefined) return;
    await using running = service;
    if (failed) console.error(running.logs());
    await running.becomesEmpty();
    const codes = await Promise.all(running.servers.map((server) => server.stop()));
    expect(codes).toEqual(codes.map(() => 0));
  });
  return () => service!;
}

/** At the end of the file no process that its tests have started may be left. */
export function leaveNoProcess(): void {
  const processes = () => process.getActiveResourcesInfo().filter((kind) => kind === "ProcessWrap").length;
  afterAll(() => eventually(processes, 0));
}
