import { ClientLife } from "./client-life.ts";
import { ModelClient, type Surroundings } from "./model-client.ts";
import { Questions } from "./questions.ts";
import { Register } from "./register.ts";
import { SimulatedEtcd } from "./simulated-etcd.ts";
import { SimulatedServer } from "./simulated-server.ts";
import { Trouble } from "./trouble.ts";
import { Truth } from "./truth.ts";
import { type Violation, World } from "./world.ts";

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
const CLOSE_MS = 14_000;
/** In the calm nobody waits longer for what others are releasing. */
const PATIENCE_MS = 9000;

/** One seeded walk: chaos, then calm in which everything must come right, then everybody leaves. */
export function walk(seed: number, keepTrace = false): WalkResult {
  const world = new World(seed, keepTrace);
  new Walk(world, seed);
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
  private readonly clients: ModelClient[] = [];

  constructor(world: World, seed: number) {
    this.world = world;
    this.etcd = new SimulatedEtcd(world);
    this.truth = new Truth(this.etcd);
    const servers = Array.from({ length: 2 + (seed % 2) }, (_, i) => new SimulatedServer(i, this.etcd, this.truth));
    const register = new Register(world, () => this.clients);
    this.around = { world, truth: this.truth, etcd: this.etcd, register, servers, questions: undefined };
    this.trouble = new Trouble(this.etcd, this.truth, servers);
    this.around.questions = new Questions(this.around, () => this.clients);
    for (let i = 0; i < 4 + (seed % 3); i++) this.startClient(i, 0);
    world.after(CHAOS_MS, () => this.calm());
    world.after(CHAOS_MS + CALM_MS, () => this.leave());
    world.after(CHAOS_MS + CALM_MS + CLOSE_MS, () => this.end());
  }

  /** A client that has crashed is started again: the same program, another session. */
  private startClient(i: number, run: number): void {
    const client = new ModelClient(`client${i}.${run}`, this.around);
    this.clients[i] = client;
    new ClientLife(client);
    const watch = (): void => {
      if (client.isAlive) this.world.after(1000, watch);
      else this.startClient(i, run + 1);
    };
    this.world.after(1000, watch);
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
    }
    const keys = [...this.etcd.entries.keys()];
    if (keys.length > 0) this.world.violation("LEFTOVER", keys.join(" "));
    if (this.etcd.leases.size > 0) this.world.violation("LEFTOVER", `${this.etcd.leases.size} leases`);
    this.world.stop();
  }
}
