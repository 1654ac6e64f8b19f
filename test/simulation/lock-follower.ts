import type { LockWatch } from "../../server/engine/lock-engine.ts";
import type { SimulatedServer } from "./simulated-server.ts";

/** Follows the locks of one run of a server, slowly, and in the end must know what is true. */
export class LockFollower {
  private readonly server: SimulatedServer;
  private readonly watch: LockWatch;
  private readonly tokens = new Map<string, string>();
  private reading = false;

  constructor(server: SimulatedServer) {
    this.server = server;
    this.watch = server.engine.watchLocks({ prefix: "stock/", name: "", holderLimit: 10, waiterLimit: 10 }, () =>
      this.readSoon(),
    );
  }

  private readSoon(): void {
    if (this.reading) return;
    this.reading = true;
    const { world, process } = this.server;
    world.after(world.between(0, 20), () =>
      process.receive(() => {
        this.reading = false;
        const { locks } = this.watch.take(2);
        for (const { name, holders, waiters } of locks)
          this.tokens.set(name, [...holders, ...waiters].map((claim) => `${claim.sessionId} ${claim.held}`).join());
        if (locks.length === 2) this.readSoon();
      }),
    );
  }

  /** In what it differs from the truth, when nothing has changed for a while. */
  problem(): string | undefined {
    const { claims, held } = this.server.truth.now;
    for (const name of ["stock/1", "stock/1/price"]) {
      const queue = claims.filter((claim) => claim.locks.some((spec) => spec.name === name));
      const wanted = queue.map((claim) => `${claim.sessionId} ${held.has(claim)}`).join();
      const seen = this.tokens.get(name) ?? "";
      if (seen !== wanted) return `${name} was last seen as [${seen}] and is [${wanted}]`;
    }
    return undefined;
  }
}
