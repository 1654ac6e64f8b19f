import { serverKey } from "../../server/core/keys.ts";
import { ClientLife } from "./client-life.ts";
import { LibraryClient } from "./library-client.ts";
import { ModelClient } from "./model-client.ts";
import { Questions } from "./questions.ts";
import { Register } from "./register.ts";
import { remainsOf } from "./remains.ts";
import { SimulatedEtcd } from "./simulated-etcd.ts";
import { SimulatedServer } from "./simulated-server.ts";
import { Trouble } from "./trouble.ts";
import { Truth } from "./truth.ts";
import type { Surroundings, WalkClaim, WalkClient } from "./walk-client.ts";
import { type Ingredient, type Violation, World } from "./world.ts";

export interface WalkResult {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly counts: ReadonlyMap<string, number>;
  readonly traceHash: string;
  readonly trace: readonly string[];
}

const CHAOS_MS = 25_000;
/** What was sent in the chaos may land up to 20 s later, and leases run out. */
const CALM_MS = 30_000;
const SETTLE_MS = 22_000;
const CLOSE_MS = 14_000;
/** How long a server may not see that a stream has broken. */
const SEES_BREAK_WITHIN_MS = 6000;
/** How soon a client of a healthy server is told of its grant in the calm; its server may have been told late. */
const TELL_WITHIN_MS = 1000;
/** In the calm nobody waits longer for what others are releasing. */
const PATIENCE_MS = 9000;

/** What a walk is like, where that is not left to its seed. */
export interface WalkPlan {
  readonly seed: number;
  /** Another course of the same seed. Default: 0. */
  readonly salt?: number;
  readonly servers?: number;
  readonly clients?: number;
  /** How long the trouble lasts. Default: 25 s. */
  readonly chaosMs?: number;
  /** What does not happen. Default: nothing. */
  readonly without?: readonly Ingredient[];
}

/** How many servers and clients a plan asks for. */
export const sizeOf = ({ seed, servers, clients }: WalkPlan) => ({
  servers: servers ?? 2 + (seed % 2),
  clients: clients ?? 4 + (seed % 3),
});

/** One seeded walk: chaos, then calm in which everything must come right, then everybody leaves. */
export function walk(plan: WalkPlan, keepTrace = false): WalkResult {
  const { seed, salt = 0, without = [] } = plan;
  const world = new World(seed, { keepTrace, salt, without });
  new Walk(world, plan);
  world.run();
  const { violations, counts, traceHash, trace } = world;
  return { seed, violations, counts, traceHash, trace };
}

class Walk {
  private readonly world: World;
  private readonly etcd: SimulatedEtcd;
  private readonly truth: Truth;
  private readonly around: Surroundings;
  private readonly trouble: Trouble;
  private readonly clients: WalkClient[] = [];
  private isSettled = false;

  constructor(world: World, plan: WalkPlan) {
    const size = sizeOf(plan);
    const { chaosMs = CHAOS_MS } = plan;
    this.world = world;
    this.etcd = new SimulatedEtcd(world);
    this.truth = new Truth(this.etcd);
    const servers: SimulatedServer[] = Array.from(
      { length: size.servers },
      (_, i) => new SimulatedServer(i, this.etcd, this.truth, () => servers),
    );
    const register = new Register(world, () => this.clients);
    this.around = { world, truth: this.truth, etcd: this.etcd, register, servers, questions: undefined };
    this.trouble = new Trouble(this.etcd, this.truth, servers);
    this.around.questions = new Questions(this.around, () => this.clients);
    this.truth.onSessionEnded = (sessionId) => this.sessionEnded(sessionId);
    this.watchOver();
    for (let i = 0; i < size.clients; i++) this.startClient(i, 0);
    world.after(chaosMs, () => this.calm());
    world.after(chaosMs + SETTLE_MS, () => this.settle());
    world.after(chaosMs + CALM_MS, () => this.leave());
    world.after(chaosMs + CALM_MS + CLOSE_MS, () => this.end());
  }

  /** A client that has crashed is started again: the same program, another session. */
  private startClient(i: number, run: number): void {
    const Kind = this.world.happens(0.5) && this.world.may("library-clients") ? LibraryClient : ModelClient;
    const client = new Kind(`client${i}.${run}`, this.around);
    this.clients[i] = client;
    new ClientLife(client);
    const watch = (): void => {
      if (client.isAlive) this.world.after(1000, watch);
      else this.startClient(i, run + 1);
    };
    this.world.after(1000, watch);
  }

  /** No session ends while its client believes in it, but by force (P5, P6). */
  private sessionEnded(sessionId: string): void {
    const client = this.clients.find((each) => each.sessionId === sessionId);
    if (client?.isPromised && !this.truth.forced.has(sessionId))
      this.world.violation("ENDED-UNASKED", `${client.name} still believes in ${sessionId}`);
  }

  private watchOver(): void {
    this.world.after(500, () => this.watchOver());
    for (const server of this.around.servers) server.checkEndings();
    if (this.isSettled) this.checkTold();
  }

  /** In the calm whoever is entitled is told. */
  private checkTold(): void {
    for (const { sessionId, claimId, id } of this.truth.heldFor(TELL_WITHIN_MS)) {
      const client = this.clients.find((each) => each.sessionId === sessionId);
      if (client?.isUp && client.claims.get(claimId)?.state === "wanted")
        this.world.violation("UNTOLD", `${id} holds, and ${client.name} does not know`);
    }
  }

  /** What is left of a client that dies in the calm is free in time (P4). */
  private bury(client: WalkClient): void {
    const { sessionId, onDisconnect, ttlMs, stream } = client;
    if (!client.isUp || sessionId === "" || stream === undefined) return;
    client.crash();
    this.world.count(`walk: ${onDisconnect} client dies in the calm`);
    // What was under way still arrives.
    this.world.after(10, () => {
      const keptMs = stream.lastProofAtMs + ttlMs * 1.01 * 1.01 + 1000 - this.world.nowMs;
      this.world.after(onDisconnect === "keep" ? keptMs : SEES_BREAK_WITHIN_MS + 60, () => {
        if (!this.truth.endedAtMs.has(sessionId))
          this.world.violation(
            "FREED-LATE",
            `${sessionId} (${onDisconnect}, TTL ${ttlMs} ms) outlives its client too long`,
          );
      });
    });
  }

  private settle(): void {
    this.isSettled = true;
    if (this.world.happens(0.3)) this.replaceServers();
    else for (const client of [...this.clients]) if (this.world.happens(0.3)) this.bury(client);
  }

  /** Servers die one after the other while etcd is well: who can resume loses nothing (P6). */
  private replaceServers(): void {
    const kept = this.clients.filter((each) => each.isUp && each.onDisconnect === "keep" && each.ttlMs >= 5000);
    for (const client of kept)
      client.ask([{ name: client.name, mode: "exclusive", permits: 0, limit: 0 }], undefined, "");
    for (const client of kept) client.holdsOn = true;
    this.world.after(500, () => this.crashServers(kept));
  }

  private crashServers(kept: readonly WalkClient[]): void {
    this.world.count("walk: servers replaced in the calm");
    const before = kept.map((client) => ({ client, sessionId: client.sessionId, held: this.heldBy(client) }));
    const [first, second] = this.around.servers;
    first?.crash(1000);
    this.world.after(3500, () => second?.crash(1000));
    this.world.after(7000, () => {
      for (const client of kept) client.holdsOn = false;
      for (const { client, sessionId, held } of before) {
        // A session without claims is not worth saving.
        const needed = held.some((claim) => claim.state === "held");
        if (needed && client.isAlive && this.truth.endedAtMs.has(sessionId))
          this.world.violation("SESSION-LOST", `${client.name} lost ${sessionId} with a server`);
        for (const claim of held)
          if (claim.state === "held" && client.isAlive && !client.claims.has(claim.request.claimId))
            this.world.violation("CLAIM-LOST", `${client.name} lost ${client.idOf(claim)} with a server`);
      }
    });
  }

  private heldBy(client: WalkClient): WalkClaim[] {
    return [...client.claims.values()].filter((claim) => claim.state === "held");
  }

  private calm(): void {
    this.world.isChaotic = false;
    this.trouble.end();
    this.world.note("calm");
  }

  private leave(): void {
    for (const client of this.clients)
      for (const claim of client.claims.values())
        if (claim.state === "wanted" && client.process.nowMs() - claim.askedAtMs > PATIENCE_MS)
          this.world.violation("LOST-WAITER", `${client.name} ${client.idOf(claim)} is still waiting`);
    for (const claim of this.truth.now.claims)
      if (!this.clients.some((client) => client.sessionId === claim.sessionId && client.claims.has(claim.claimId)))
        this.world.violation("GHOST", `${claim.id} is in etcd and nobody's`);
    for (const client of this.clients) client.isClosing = true;
  }

  private end(): void {
    for (const server of this.around.servers) {
      const problem = server.followerProblem();
      if (problem !== undefined) this.world.violation("FOLLOWER", `server ${server.number}: ${problem}`);
      const unregistered = server.registrationProblem();
      if (unregistered !== undefined) this.world.violation("UNREGISTERED", `server ${server.number} ${unregistered}`);
      const remains = remainsOf(server.engine);
      if (remains.length > 0) this.world.violation("LEAK", `server ${server.number} keeps ${remains.join(", ")}`);
    }
    // A server keeps its own key and lease, and nobody else's.
    const own = new Set(this.around.servers.map(({ engine }) => serverKey(engine.serverId)));
    const keys = [...this.etcd.entries.keys()].filter((key) => !own.has(key));
    if (keys.length > 0) this.world.violation("LEFTOVER", keys.join(" "));
    if (this.etcd.leases.size !== own.size) this.world.violation("LEFTOVER", `${this.etcd.leases.size} leases`);
    this.world.stop();
  }
}
