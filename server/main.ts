import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { loadAssets } from "./adapters/console/assets.ts";
import { Console } from "./adapters/console/console.ts";
import { type EtcdStore, openEtcdStore } from "./adapters/etcd/index.ts";
import { grpcPeers } from "./adapters/grpc/peers.ts";
import { type GrpcServer, startGrpcServer } from "./adapters/grpc/server.ts";
import { startHttpServer } from "./adapters/http/server.ts";
import { watchEventLoop } from "./adapters/telemetry/event-loop.ts";
import { classifier, classNames } from "./adapters/telemetry/lock-classes.ts";
import { Log } from "./adapters/telemetry/log.ts";
import { logNotes } from "./adapters/telemetry/log-notes.ts";
import { METRICS_CONTENT_TYPE, type Metrics, type Readings, startMetrics } from "./adapters/telemetry/metrics.ts";
import { otlpMetrics, otlpSpans } from "./adapters/telemetry/otlp.ts";
import type { ServerIdentity } from "./adapters/telemetry/resource.ts";
import { together } from "./adapters/telemetry/together.ts";
import { startTraces, type Traces } from "./adapters/telemetry/traces.ts";
import { advertisedAddress } from "./advertised-address.ts";
import { banner } from "./banner.ts";
import { SystemClock } from "./clock.ts";
import type { Config } from "./config.ts";
import { Departure } from "./departure.ts";
import { Engine } from "./engine/engine.ts";
import { systemEntropy } from "./entropy.ts";
import { type OwnEtcd, startOwnEtcd } from "./own-etcd.ts";
import type { Telemetry } from "./ports/telemetry.ts";
import { formatAddress, isLoopback } from "./setting-values.ts";
import { listenToStopSignals } from "./stop-signals.ts";

/** How long the ends of sessions may take to be committed when the server stops. */
const COMMIT_ENDS_WITHIN_MS = 3_000;

/**
 * Runs a server until a signal ends it, and resolves when everything is stopped, the etcd of its own included:
 * with `undefined`, or with one line that says what went wrong and what to do. Says on standard output when it is
 * ready. A second signal ends the process at once.
 *
 * A store that cannot be trusted any more does not end it: it stops serving, says so in its log and on `/readyz`, and
 * waits for somebody to look. If it ended, it would be started again, and go on with a store that lost its past.
 */
export async function runServer(config: Config): Promise<string | undefined> {
  // Who reads what it says may go, as `head` does: no reason to end, and to lose what clients hold.
  for (const output of [process.stdout, process.stderr]) output.on("error", () => undefined);
  const run = new Run(config);
  using signals = listenToStopSignals(() => run.exitNow());
  try {
    await using _parts = run.parts;
    await run.start();
    void signals.first.then(() => run.departure?.hurry());
    const told = Promise.race([signals.first, run.departure!.drained]);
    return await Promise.race([told.then((by) => run.stopping(by)), run.etcdEnded.promise]);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    // What is said of the end comes after all that led to it.
    run.written.flush();
  }
}

class Run {
  /** What has been started; disposed of in reverse. */
  readonly parts = new AsyncDisposableStack();
  readonly written = together((text) => process.stderr.write(text));
  readonly etcdEnded = Promise.withResolvers<string>();
  /** How it will go, once it has started. */
  departure: Departure | undefined;
  /** Why it serves no more although it runs. */
  fault: string | undefined;
  private readonly config: Config;
  private readonly clock = new SystemClock();
  private readonly log: Log;
  private readonly faulted = Promise.withResolvers<never>();
  private etcd: OwnEtcd | undefined;
  private stopServing: ((problem: string) => void) | undefined;
  private console: Console | undefined;

  constructor(config: Config) {
    this.config = config;
    this.log = logOf(config, this.clock, this.written.write);
    // Nobody waits for it once the server has started.
    this.faulted.promise.catch(() => undefined);
  }

  async start(): Promise<void> {
    const { store, etcd } = await this.openStore();
    const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
    const serverId = systemEntropy.newId();
    const metrics = this.startMetrics({ version, serverId }, () => ({
      ...engine.counts(),
      lagMs: engine.lagMs,
      serving: this.health(engine).serving,
      timers: this.clock.pendingCount,
      recentAcquireTime: engine.recentAcquireTime(),
    }));
    const traces = this.startTraces({ version, serverId });
    const logged = logNotes(this.log, () => this.clock.nowMs());
    const telemetry: Telemetry = {
      note(note) {
        metrics?.note(note);
        logged.note(note);
        traces?.note(note);
      },
    };
    const engine = new Engine({
      store,
      clock: this.clock,
      entropy: systemEntropy,
      limits: this.config.limits,
      serverId,
      peers: grpcPeers({ tls: this.config.tls !== undefined }),
      telemetry,
    });
    await this.startEngine(engine);
    this.stopServing = (problem) => engine.fail(problem);
    const http = await this.serveHttp(engine, metrics);
    const { advertised, address: grpc, local } = await this.serveGrpc({ engine, store, version, telemetry });
    this.serveConsole({ local, version, serverId });
    engine.register({ address: advertised, version });
    this.log.event("info", "server.started", { serverId, grpc, http, etcd });
    const grpcHasTls = this.config.tls !== undefined;
    process.stdout.write(banner({ version, grpc, http, etcd, grpcHasTls, hasSources: existsSync("bin/holdfast") }));
  }

  /** Says that it ends, and what was wrong before if something was. */
  stopping(by: string): string | undefined {
    this.log.event("info", "server.stopping", { by });
    return this.fault;
  }

  /** Leaves without asking anybody. etcd keeps what it has confirmed. */
  exitNow(): never {
    this.etcd?.kill();
    process.exit(1);
  }

  private async openStore(): Promise<{ store: EtcdStore; etcd: string }> {
    const { etcd, prefix, stateFile } = this.config;
    if (etcd.kind === "embedded") {
      const tellEnd = (how: string) => this.etcdEnded.resolve(`etcd ${how}; the server ends with it: start it again`);
      this.etcd = this.parts.use(await startOwnEtcd(etcd, this.log, tellEnd));
    }
    const address = etcd.kind === "existing" ? etcd : { endpoints: [this.etcd!.endpoint] };
    const store = await openEtcdStore({
      ...address,
      prefix,
      history: { file: stateFile },
      onFault: (fault) => this.onFault(fault),
      onTrouble: (event, why) => this.log.event("warn", event, { why }),
    });
    this.parts.use(store);
    const endpoints = address.endpoints.join(",");
    return { store, etcd: this.etcd ? `${endpoints}, its own, with its data in ${this.etcd.dataFolder}` : endpoints };
  }

  private async startEngine(engine: Engine): Promise<void> {
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    engine.start(resolve);
    await Promise.race([ready, this.faulted.promise]);
    // Until the store has answered it once more, nothing is proven to be current, and nothing is served.
    await new Promise<boolean>((proven) => engine.barrier(proven));
    this.parts.defer(() => new Promise((stopped) => engine.stop(COMMIT_ENDS_WITHIN_MS, stopped)));
  }

  private async serveHttp(engine: Engine, metrics: Metrics | undefined): Promise<string> {
    const { httpAddress: address, tls, insecure } = this.config;
    const needsTls = !isLoopback(address) && !insecure;
    const server = await startHttpServer({
      ...address,
      tls: needsTls ? tls : undefined,
      health: () => this.health(engine),
      metrics: metrics?.scrape,
      metricsContentType: METRICS_CONTENT_TYPE,
      rest: async (request, response) => {
        if (this.console !== undefined) return this.console.answer(request, response);
        response.writeHead(503, { "content-type": "text/plain; charset=utf-8" }).end("the server is starting\n");
      },
    }).catch((error: Error) => refuse("--http-address", error));
    this.parts.use(server);
    return `${needsTls ? "https" : "http"}://${formatAddress({ ...address, port: server.port })}`;
  }

  private health(engine: Engine): ReturnType<Engine["health"]> {
    return this.fault === undefined ? engine.health() : { serving: false, problem: this.fault };
  }

  private startMetrics(identity: ServerIdentity, readings: () => Readings): Metrics | undefined {
    const { metrics, otlp, lockClasses } = this.config;
    if (!metrics) return undefined;
    const readers = otlp === undefined ? [] : [otlpMetrics(otlp)];
    const labels = { classOf: classifier(lockClasses), classes: classNames(lockClasses) };
    return this.parts.use(startMetrics({ ...identity, readings, ...labels, readers }));
  }

  private startTraces(identity: ServerIdentity): Traces | undefined {
    const { otlp, traceRatio: ratio } = this.config;
    if (otlp === undefined) return undefined;
    const exporter = otlpSpans(otlp);
    return this.parts.use(startTraces({ ...identity, exporter, ratio, wallMs: () => this.clock.wallMs() }));
  }

  private async serveGrpc({
    engine,
    store,
    version,
    telemetry,
  }: {
    engine: Engine;
    store: EtcdStore;
    version: string;
    telemetry: Telemetry;
  }): Promise<{ advertised: string; address: string; local: GrpcServer["local"] }> {
    const { grpcAddress: address, tls, insecure, limits, log } = { ...this.config, log: this.log };
    const { maxTtlMs } = limits;
    const eventLoop = this.parts.use(watchEventLoop());
    const self = { address: "", version, startedAtMs: this.clock.wallMs(), draining: false };
    const admin = {
      engine: engine.administration,
      token: this.config.adminToken,
      drain: (leaveWithinMs: number) => departure.drain(leaveWithinMs),
      storeStatus: () => store.status(),
      self: () => self,
      eventLoopDelayMs: () => eventLoop.worstMs(),
    };
    const server = await startGrpcServer({
      ...{ engine, admin, address, tls, insecure, log, telemetry },
      limits: { maxTtlMs },
    }).catch((error: Error) => refuse("--grpc-address", error));
    self.address = advertisedAddress(this.config, server.port);
    const departure = new Departure(engine, server, {
      delayMs: this.config.drainDelayMs,
      drainMs: this.config.drainMs,
    });
    this.departure = departure;
    this.parts.defer(() => departure.leave());
    this.stopServing = (problem) => {
      // First, so that clients are told the reason.
      engine.fail(problem);
      departure.cutOff();
    };
    return { advertised: self.address, address: formatAddress({ ...address, port: server.port }), local: server.local };
  }

  private serveConsole(parts: { local: GrpcServer["local"]; version: string; serverId: string }): void {
    const { local: services, ...names } = parts;
    const assets = loadAssets(fileURLToPath(new URL("../console/dist", import.meta.url)));
    this.console = new Console({ services, assets, hosts: this.config.consoleHosts, ...names });
  }

  private onFault({ message }: Error): void {
    if (this.fault !== undefined) return;
    this.fault = message;
    this.log.event("error", "store.failed", { problem: message });
    this.faulted.reject(new Error(message));
    this.stopServing?.(message);
  }
}

function refuse(flag: string, error: Error): never {
  throw new Error(`${flag}: ${error.message}`, { cause: error });
}

function logOf({ logLevel: level, logFormat }: Config, clock: SystemClock, write: (line: string) => void): Log {
  const format = logFormat === "auto" ? (process.stderr.isTTY ? "text" : "json") : logFormat;
  return new Log({ level, format, wallMs: () => clock.wallMs(), write });
}
