import type { SessionEvent } from "../../server/core/frames.ts";
import { LockTable } from "../../server/core/lock-table.ts";
import type { Session } from "../../server/core/session.ts";
import { Engine } from "../../server/engine/engine.ts";
import type { EngineNote, Telemetry } from "../../server/ports/telemetry.ts";
import { checkAck, checkOpened } from "./answer-check.ts";
import { EtcdConnection } from "./etcd-connection.ts";
import { LockFollower } from "./lock-follower.ts";
import { watchSessions } from "./session-watch.ts";
import type { SimulatedEtcd } from "./simulated-etcd.ts";
import type { SimulatedStream } from "./simulated-stream.ts";
import { compareServers, compareTable } from "./table-check.ts";
import { JUSTIFICATION } from "./trouble.ts";
import type { Truth } from "./truth.ts";
import { Process, simulatedEntropy, type World } from "./world.ts";

/** Where the clients of a walk reach a server. */
export const addressOf = (number: number): string => `server${number}:7400`;

/** One server's place: a process with the real engine in it, started again after each crash. */
export class SimulatedServer {
  readonly number: number;
  readonly world: World;
  readonly truth: Truth;
  process: Process;
  engine: Engine;
  connection: EtcdConnection;
  readonly streams = new Set<SimulatedStream>();
  isReady = false;
  readonly etcd: SimulatedEtcd;
  private readonly endingSinceMs = new Map<string, number>();
  private follower: LockFollower | undefined;
  private runs = 0;

  private readonly all: () => readonly SimulatedServer[];

  /** `all` are the servers of the walk, this one among them. */
  constructor(number: number, etcd: SimulatedEtcd, truth: Truth, all: () => readonly SimulatedServer[]) {
    this.number = number;
    this.all = all;
    this.world = etcd.world;
    this.etcd = etcd;
    this.truth = truth;
    [this.process, this.connection, this.engine] = this.boot();
  }

  private boot(): [Process, EtcdConnection, Engine] {
    const process = new Process(this.world, (error) =>
      this.world.violation("THROWN", error instanceof Error ? (error.stack ?? error.message) : String(error)),
    );
    const connection = new EtcdConnection(this.etcd, process, () => this.checkTable());
    const engine = new Engine({
      store: connection,
      clock: process,
      entropy: simulatedEntropy(this.world),
      telemetry: this.telemetry(),
      limits: { maxTtlMs: 600_000, maxClaimsPerSession: 1000, maxWaitersPerLock: 10_000, maxReentryDepth: 3 },
      serverId: `server${this.number}.${++this.runs}`,
      peers: { serving: (addresses, done) => this.askPeers(process, addresses, done) },
      auditEveryMs: 5000,
    });
    watchSessions(engine, this.world);
    this.follower = undefined;
    engine.start(() => {
      this.isReady = true;
      engine.register({ address: addressOf(this.number), version: "walk" });
      this.follower = new LockFollower(this);
    });
    return [process, connection, engine];
  }

  /** Asks the others over the network, which is in order; what they answer is of the past when it arrives. */
  private askPeers(process: Process, addresses: readonly string[], done: (serving: readonly string[]) => void): void {
    this.world.after(this.world.between(1, 20), () => {
      const serves = (server: SimulatedServer) => server.isUp && server.engine.health().serving;
      const serving = this.all().filter((each) => addresses.includes(addressOf(each.number)) && serves(each));
      this.world.after(this.world.between(1, 20), () =>
        process.receive(() => done(serving.map((each) => addressOf(each.number)))),
      );
    });
  }

  get isUp(): boolean {
    return this.process.isAlive && this.isReady;
  }

  crash(downForMs: number): void {
    if (!this.process.isAlive) return;
    this.process.isAlive = false;
    this.isReady = false;
    this.connection.close();
    for (const stream of [...this.streams]) stream.serverDied();
    this.world.after(downForMs, () => {
      [this.process, this.connection, this.engine] = this.boot();
      this.world.note(`server ${this.number} starts`);
    });
  }

  /** Sees every event that the engine sends, at the moment at which it is sent. */
  sent(stream: SimulatedStream, event: SessionEvent): void {
    if ((event.kind === "lost" || event.kind === "closed") && event.message.includes(JUSTIFICATION))
      this.world.count(`server: tells why, ${event.reason}`);
    if (event.kind === "heartbeat-ack") checkAck(this, stream, event.seq);
    if (event.kind === "draining" && !this.engine.isDraining)
      this.world.count("server: sends clients away from a lost store");
    if (event.kind !== "opened") return;
    stream.sessionId = event.sessionId;
    stream.openedAtServerMs = this.process.nowMs();
    if (stream.resumedAtMs !== undefined) stream.lastProofAtMs = this.world.nowMs;
    checkOpened(this, stream);
  }

  /** The engine's own object for a session that it serves. */
  sessionOf(sessionId: string): Session | undefined {
    return (Reflect.get(this.engine, "sessions") as Map<string, Session>).get(sessionId);
  }

  /** Finds sessions whose end does not come about, although nothing is wrong with this server or with etcd. */
  checkEndings(): void {
    const { nowMs } = this.world;
    const troubled =
      !this.isUp || this.process.isTroubled || !this.etcd.hasLeader || nowMs < this.connection.troubledUntilMs;
    const sessions = troubled ? [] : [...(Reflect.get(this.engine, "sessions") as Map<string, Session>).values()];
    const ending = new Set(sessions.filter((session) => !session.isOpen).map((session) => session.id));
    for (const id of this.endingSinceMs.keys()) if (!ending.has(id)) this.endingSinceMs.delete(id);
    for (const id of ending) {
      const sinceMs = this.endingSinceMs.get(id) ?? nowMs;
      this.endingSinceMs.set(id, sinceMs);
      // Each outcome that is not known costs up to 2 s, and three in a row are likely enough.
      if (nowMs - sinceMs > 6500) this.world.violation("ENDS-LATE", `${id} is still there after ${nowMs - sinceMs} ms`);
    }
  }

  /** Tells clients to leave, ends, and starts again. */
  drain(): void {
    const { process } = this;
    process.receive(() => this.engine.drain(1500));
    // Somebody presses the button twice.
    if (this.world.happens(0.5))
      this.world.after(this.world.between(0, 30), () => process.receive(() => this.engine.drain(1500)));
    this.world.after(this.world.between(0, 1500), () => process.receive(() => this.stop(process)));
  }

  private stop(process: Process): void {
    if (process === this.process) {
      this.isReady = false;
      this.engine.stop(2000, () => {
        if (process === this.process) this.crash(this.world.between(200, 2000));
      });
    }
  }

  /** In what somebody who follows locks here has been told wrong, when nothing has changed for a while. */
  followerProblem(): string | undefined {
    return this.isUp ? this.follower?.problem() : undefined;
  }

  /** The table must say what etcd's keys say at its revision, but for what this server's clients have given up. */
  private checkTable(): void {
    if (!this.isReady || !this.world.happens(0.2)) return;
    const { table } = this.engine;
    const problem = compareTable(table, this.truth.at(table.revision));
    if (problem !== undefined)
      this.world.violation("TABLE", `server ${this.number} at revision ${table.revision}: ${problem}`);
    if (table.revision === this.etcd.revision) this.checkServers();
    if (this.world.happens(0.1)) this.checkFromSnapshot();
  }

  private checkServers(): void {
    const problem = compareServers(this.engine.servers, this.etcd.entries.values());
    if (problem !== undefined) this.world.violation("SERVERS", `server ${this.number}: ${problem}`);
  }

  /** What is wrong with this server's registration, when nothing has happened to it for a while. */
  registrationProblem(): string | undefined {
    const found = this.engine.servers.get(this.engine.serverId);
    if (found === undefined) return "is not registered";
    if (found.record.draining) return "is registered as draining";
    return this.etcd.leases.has(found.lease) ? undefined : "is registered without a lease";
  }

  private checkFromSnapshot(): void {
    const fresh = new LockTable();
    const { revision, entries } = this.etcd.snapshot();
    fresh.replace(revision, entries);
    const problem = compareTable(fresh, this.truth.at(revision));
    if (problem !== undefined) this.world.violation("TABLE", `from a snapshot at revision ${revision}: ${problem}`);
    this.world.count("table: compared with one from a snapshot");
  }

  private telemetry(): Telemetry {
    return { note: (note) => this.noted(note) };
  }

  private noted(note: EngineNote): void {
    const { world } = this;
    if (note.kind === "engine.failed") world.violation("ENGINE-FAILED", note.problem);
    else if (note.kind === "table.resynced" && note.why === "disagreement")
      world.violation("DISAGREEMENT", `server ${this.number} found its table wrong`);
    else if (note.kind === "session.opened") world.count(note.resumed ? "session.opened: resumed" : "session.opened");
    else if (note.kind === "claim.granted") world.count(note.reentered ? "claim.granted: reentered" : "claim.granted");
    else if ("reason" in note) world.count(`${note.kind}: ${note.reason}`);
    else if (note.kind !== "store.committed" && note.kind !== "lease.renewed") world.count(note.kind);
  }
}
