import { setTimeout as delay } from "node:timers/promises";
import type { GrpcServer } from "./adapters/grpc/server.ts";
import type { Engine } from "./engine/engine.ts";

export interface DepartureTimes {
  /** How long it says that it does not serve before it turns anybody away. */
  readonly delayMs: number;
  /** How long clients then have to leave. */
  readonly drainMs: number;
}

/**
 * How a server goes: first it says that it does not serve, to probes and to the other servers, and serves whoever still
 * comes; then it takes no new session, tells clients where else to go, and waits for them; then it closes those that
 * stayed. An administrator's word skips the first part.
 */
export class Departure {
  readonly #engine: Engine;
  readonly #server: GrpcServer;
  readonly #times: DepartureTimes;
  readonly #drained = Promise.withResolvers<"drain">();
  /** What clients were given to leave, before it was to go by itself. */
  #drainMs: number | undefined;

  constructor(engine: Engine, server: GrpcServer, times: DepartureTimes) {
    this.#engine = engine;
    this.#server = server;
    this.#times = times;
  }

  /** Resolves when an administrator has told the server to go. */
  get drained(): Promise<"drain"> {
    return this.#drained.promise;
  }

  /** Begins to drain because an administrator said so. A further call may shorten the time. */
  drain(leaveWithinMs: number): void {
    this.#drainMs = leaveWithinMs;
    void this.#server.stop(leaveWithinMs);
    this.#drained.resolve("drain");
  }

  /** Serves nobody any more, at once, and stays. */
  cutOff(): void {
    this.#drainMs = 0;
    void this.#server.stop(0);
  }

  /** Goes, and resolves when all clients have left or were closed. Whoever asks while it drains may shorten the time. */
  async leave(): Promise<void> {
    const { delayMs, drainMs } = this.#times;
    if (this.#drainMs === undefined && delayMs > 0) {
      this.#engine.withdraw();
      const enough = new AbortController();
      const waited = delay(delayMs, undefined, { signal: enough.signal }).catch(() => undefined);
      await Promise.race([waited, this.#drained.promise]);
      enough.abort();
    }
    await this.#server.stop(this.#drainMs ?? drainMs);
  }

  /** A signal came: whoever is being waited for has no longer than it would have given. */
  hurry(): void {
    if (this.#drainMs !== undefined) void this.#server.stop(this.#times.drainMs);
  }
}
