import { type ServerWritableStream, status } from "@grpc/grpc-js";
import type { LockEngine } from "../../engine/lock-engine.ts";
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  type HealthServer,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../gen/grpc/health/v1/health.ts";
import { goesAway } from "./failure.ts";

type WatchCall = ServerWritableStream<HealthCheckRequest, HealthCheckResponse>;

/** The services whose health is told: the server as a whole, and the one that needs the store. */
const SERVICES = ["", "holdfast.v1.LockService"];
const POLL_MS = 1_000;

/** Tells load balancers and probes whether this server serves, by `grpc.health.v1`. */
export class Health {
  readonly #engine: LockEngine;
  /** What each watcher was told last. */
  readonly #watchers = new Map<WatchCall, ServingStatus | undefined>();
  #poll: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(engine: LockEngine) {
    this.#engine = engine;
  }

  readonly service: HealthServer = {
    check: ({ request }, respond) => {
      if (SERVICES.includes(request.service)) respond(null, { status: this.#status() });
      else respond({ code: status.NOT_FOUND, details: `there is no service "${request.service}" here` });
    },
    list: (_call, respond) => {
      respond(null, { statuses: Object.fromEntries(SERVICES.map((name) => [name, { status: this.#status() }])) });
    },
    watch: (call) => this.#watch(call),
  };

  /** Says NOT_SERVING from now on, to those who watch too, and ends their calls. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#poll);
    for (const call of this.#watchers.keys()) {
      this.#tell(call);
      call.emit("error", goesAway());
    }
    this.#watchers.clear();
  }

  #watch(call: WatchCall): void {
    if (this.#stopped) {
      call.emit("error", goesAway());
      return;
    }
    this.#watchers.set(call, undefined);
    call.once("cancelled", () => this.#forget(call));
    this.#tell(call);
    // The engine is asked rather than listened to: what it says depends on how long ago the store answered.
    this.#poll ??= setInterval(() => {
      for (const watcher of this.#watchers.keys()) this.#tell(watcher);
    }, POLL_MS);
  }

  #forget(call: WatchCall): void {
    this.#watchers.delete(call);
    if (this.#watchers.size > 0) return;
    clearInterval(this.#poll);
    this.#poll = undefined;
  }

  #tell(call: WatchCall): void {
    const now = SERVICES.includes(call.request.service) ? this.#status() : ServingStatus.SERVICE_UNKNOWN;
    // One who does not read is told the latest when he does.
    if (now === this.#watchers.get(call) || call.writableNeedDrain) return;
    this.#watchers.set(call, now);
    call.write({ status: now });
  }

  #status(): ServingStatus {
    return !this.#stopped && this.#engine.health().serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  }
}
