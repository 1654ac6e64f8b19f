import { expect, it } from "vitest";
import type { Command, SessionEvent } from "../src/frames.ts";
import type { Effect } from "../src/session-machine.ts";
import { draining, MachineRun } from "./machine-run.ts";
import { ModelServer } from "./model-server.ts";

const WALKS = 300;
const STEPS = 300;

/** A small generator whose whole state is the seed: the same seed walks the same way. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Stream {
  state: "dialed" | "connected" | "gone";
  /** On their way, in order. */
  readonly toServer: Command[];
  readonly toClient: SessionEvent[];
}

/** A session machine, a network and a server in the hands of chance; each step is followed by the checks. */
class Walk {
  readonly random: () => number;
  readonly run: MachineRun;
  readonly server: ModelServer;
  readonly streams = new Map<number, Stream>();
  /** What each claim's owner was told last; claims that ended are not here. */
  readonly claims = new Map<bigint, "wanted" | "held" | "released">();
  /** Claims that an administrator ended. */
  readonly forced = new Set<bigint>();
  readonly counts: Record<string, number> = {};
  isClosed = false;

  constructor(seed: number) {
    this.random = randomFrom(seed);
    this.run = new MachineRun({ random: this.random, addresses: ["a:1", "b:1"] });
    this.server = new ModelServer((probability) => this.random() < probability);
  }

  step(): void {
    const dice = this.random() * 100;
    if (dice < 12) this.acquire();
    else if (dice < 24) this.giveUp();
    else if (dice < 30) this.update();
    else if (dice < 45) this.run.pass(this.random() * 2000);
    else if (dice < 48) this.run.block(this.random() * 8000);
    else if (dice < 49) this.run.wallMs += this.random() * 1500;
    else if (dice < 60) this.withAny(this.inState("dialed"), (streamNo) => this.connect(streamNo));
    else if (dice < 75) this.withAny(this.inState("connected"), (streamNo) => this.serve(streamNo));
    else if (dice < 92) this.withAny(this.inState("connected"), (streamNo) => this.deliver(streamNo));
    else if (dice < 94) this.withAny(this.inState("connected"), (streamNo) => this.breakStream(streamNo));
    else if (dice < 98) this.withAny(this.inState("connected"), (streamNo) => this.decide(streamNo));
    else this.withAny(this.inState("connected"), (streamNo) => this.drain(streamNo));
    this.settle();
  }

  acquire(): void {
    const waitMs = [undefined, 0, this.random() * 20_000][Math.floor(this.random() * 3)];
    this.claims.set(this.run.acquire("x", waitMs), "wanted");
  }

  giveUp(): void {
    // As the client does: whether it is lost is found out first.
    this.run.tick();
    this.settle();
    this.withAny([...this.claims.keys()], (id) => this.release(id));
  }

  update(): void {
    const held = [...this.claims].filter(([, state]) => state === "held");
    this.withAny(held, ([id]) => this.run.update(id, "value"));
  }

  release(claimId: bigint): void {
    this.claims.set(claimId, "released");
    this.run.release(claimId);
  }

  connect(streamNo: number): void {
    if (this.random() < 0.2) return this.breakStream(streamNo);
    this.streams.get(streamNo)!.state = "connected";
    this.run.connected(streamNo);
  }

  /** Some of what is on its way arrives at the server. */
  serve(streamNo: number): void {
    const stream = this.streams.get(streamNo)!;
    for (const command of stream.toServer.splice(0, 1 + this.random() * 5))
      stream.toClient.push(...this.server.command(streamNo, command, this.run.nowMs));
  }

  /** Some of what is on its way arrives at the client. */
  deliver(streamNo: number): void {
    const stream = this.streams.get(streamNo)!;
    const events = stream.toClient.splice(0, 1 + this.random() * 5);
    if (events.length > 0) this.run.receive(streamNo, ...events);
  }

  breakStream(streamNo: number): void {
    this.count("broken");
    this.streams.get(streamNo)!.state = "gone";
    this.run.breaks(streamNo);
  }

  /** The server grants, denies or ends a claim by itself. */
  decide(streamNo: number): void {
    const session = this.server.sessionOn(streamNo);
    if (session === undefined) return;
    this.withAny([...session.claims.keys()], (id) => {
      const isForced = this.random() < 0.3;
      if (isForced) this.forced.add(id);
      const events = isForced ? this.server.end(session, id) : this.server.grant(session, id);
      this.streams.get(streamNo)!.toClient.push(...events);
    });
  }

  drain(streamNo: number): void {
    this.streams.get(streamNo)!.toClient.push(draining(5000, "b:1", "c:1"));
  }

  /** Does what the machine wanted, and checks what may never happen. */
  settle(): void {
    this.run.flush();
    for (const effect of this.run.effects()) this.do(effect);
    this.server.expire(this.run.nowMs);
    const { machine, at } = this.run;
    for (const { claimId } of machine.heldAt(at)) {
      expect(this.claims.get(claimId)).toBe("held");
      this.checkKept(machine.sessionId!, claimId);
    }
  }

  /** What the client believes to hold, the server keeps for it, unless an administrator took it away. */
  checkKept(sessionId: string, claimId: bigint): void {
    const session = this.server.sessions.get(sessionId);
    if (session === undefined) throw new Error(`claim ${claimId} is held in ${sessionId}, which has ended`);
    if (!this.forced.has(claimId)) expect(session.claims.get(claimId)).toBe(true);
  }

  do(effect: Effect): void {
    this.count(effect.kind);
    if ("streamNo" in effect && effect.kind !== "dial") expect(this.streams.has(effect.streamNo)).toBe(true);
    switch (effect.kind) {
      case "dial":
        this.streams.set(effect.streamNo, { state: "dialed", toServer: [], toClient: [] });
        return;
      case "send":
        return this.sent(effect.streamNo, effect.commands);
      case "abandon":
        this.abandon(effect.streamNo);
        return;
      case "granted":
        return this.becomes(effect.claimId, ["wanted"], "held");
      case "waiting":
        return this.becomes(effect.claimId, ["wanted"], "wanted");
      case "updated":
        return this.becomes(effect.claimId, ["held"], "held");
      case "lost":
        return this.becomes(effect.claimId, ["held"], undefined);
      case "denied":
        return this.becomes(effect.claimId, ["wanted"], undefined);
      case "released":
        return this.becomes(effect.claimId, ["released"], undefined);
      case "closed":
        this.isClosed = true;
    }
  }

  sent(streamNo: number, commands: readonly Command[]): void {
    const stream = this.streams.get(streamNo)!;
    expect(stream.state).not.toBe("dialed");
    if (stream.state === "connected") stream.toServer.push(...commands);
    for (const { kind } of commands) this.count(kind);
  }

  abandon(streamNo: number): void {
    const stream = this.streams.get(streamNo)!;
    // What was sent still goes out, or is lost with the connection; nothing comes back that counts.
    if (stream.state === "connected" && this.random() < 0.7)
      for (const command of stream.toServer) this.server.command(streamNo, command, this.run.nowMs);
    this.streams.delete(streamNo);
  }

  becomes(claimId: bigint, from: readonly string[], to: "wanted" | "held" | undefined): void {
    expect(from).toContain(this.claims.get(claimId));
    if (to === undefined) this.claims.delete(claimId);
    else this.claims.set(claimId, to);
  }

  inState(state: Stream["state"]): number[] {
    return [...this.streams].filter(([, stream]) => stream.state === state).map(([streamNo]) => streamNo);
  }

  withAny<T>(all: readonly T[], fn: (one: T) => void): void {
    if (all.length > 0) fn(all[Math.floor(this.random() * all.length)]!);
  }

  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  /** Everything that is sent arrives, and everything that waits is granted. */
  calm(ms: number): void {
    for (const endMs = this.run.nowMs + ms; this.run.nowMs < endMs; this.run.pass(250)) {
      for (const streamNo of this.inState("dialed")) {
        this.streams.get(streamNo)!.state = "connected";
        this.run.connected(streamNo);
        this.settle();
      }
      for (const streamNo of this.inState("connected")) {
        this.serve(streamNo);
        const session = this.server.sessionOn(streamNo);
        for (const [claimId, held] of session?.claims ?? [])
          if (!held) this.streams.get(streamNo)!.toClient.push(...this.server.grant(session!, claimId));
        this.deliver(streamNo);
        this.settle();
      }
    }
    this.settle();
  }

  /** After the calm nobody waits in vain, nothing is left behind, and the machine wants nothing more. */
  end(): void {
    this.calm(60_000);
    expect([...this.claims].filter(([, state]) => state !== "held")).toEqual([]);
    for (const claimId of this.claims.keys()) this.release(claimId);
    this.calm(10_000);
    expect([...this.claims.keys()]).toEqual([]);
    this.run.close();
    this.calm(20_000);
    expect(this.isClosed).toBe(true);
    expect(this.server.sessions.size).toBe(0);
    expect(this.run.machine.wakeAtMs).toBe(Number.POSITIVE_INFINITY);
  }
}

it(`keeps its promises on ${WALKS} random walks, whatever breaks, comes late or stands still`, () => {
  const counts: Record<string, number> = {};
  for (let seed = 1; seed <= WALKS; seed++) {
    const walk = new Walk(seed);
    try {
      for (let step = 0; step < STEPS; step++) walk.step();
      walk.end();
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
    for (const [what, count] of Object.entries(walk.counts)) counts[what] = (counts[what] ?? 0) + count;
  }
  // What did not happen was not tried.
  for (const what of [
    "open",
    "resume",
    "granted",
    "denied",
    "lost",
    "released",
    "updated",
    "abandon",
    "broken",
    "close",
  ])
    expect(counts[what], what).toBeGreaterThan(WALKS / 3);
});
