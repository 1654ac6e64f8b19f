import type { ClaimRequest, Opened, SessionClaim } from "../src/frames.ts";
import {
  type Command,
  type Effect,
  type Failure,
  type Instant,
  type MachineSettings,
  type SessionEvent,
  SessionMachine,
} from "../src/session-machine.ts";

const settings: MachineSettings = {
  addresses: ["a:1"],
  ttlMs: 15_000,
  onDisconnect: "keep",
  liveness: "heartbeat",
  client: undefined,
  labels: {},
  connectTimeoutMs: 10_000,
  closeTimeoutMs: 2000,
  // No pauses, unless a test wants them.
  random: () => 0,
};

export const lostConnection: Failure = { reason: "connection-lost", message: "reset" };

/** A session machine whose time is turned by hand, and what it wanted so far. */
export class MachineRun {
  readonly machine: SessionMachine;
  nowMs = 100_000;
  wallMs = 1_800_000_000_000;
  #effects: Effect[] = [];

  constructor(changed: Partial<MachineSettings> = {}) {
    this.machine = new SessionMachine({ ...settings, ...changed });
  }

  get at(): Instant {
    return { nowMs: this.nowMs, wallMs: this.wallMs };
  }

  // -- What the program does -------------------------------------------------------------------------

  acquire(name: string, waitMs?: number): bigint {
    const { claimId, effects } = this.machine.acquire(request(name, waitMs), this.at);
    this.#keep(effects);
    return claimId;
  }

  release(claimId: bigint): void {
    this.#keep(this.machine.release(claimId, this.at));
  }

  update(claimId: bigint, value: string): void {
    this.#keep(this.machine.update(claimId, Buffer.from(value), this.at));
  }

  open(): void {
    this.#keep(this.machine.open(this.at));
  }

  close(): void {
    this.#keep(this.machine.close(this.at));
  }

  // -- What happens ----------------------------------------------------------------------------------

  connected(streamNo: number): void {
    this.#keep(this.machine.connected(streamNo, this.at));
  }

  receive(streamNo: number, ...events: SessionEvent[]): void {
    this.#keep(this.machine.received(streamNo, events, this.at));
  }

  breaks(streamNo: number, why: Failure = lostConnection): void {
    this.#keep(this.machine.broken(streamNo, why, this.at));
  }

  tick(): void {
    this.#keep(this.machine.tick(this.at));
  }

  /** The turn of the event loop ends. */
  flush(): void {
    if (this.machine.hasCommands) this.#keep(this.machine.flush(this.at));
  }

  /** Time passes, and the machine is called whenever it wants to be. */
  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    for (let calls = 0; this.machine.wakeAtMs <= endMs; calls++) {
      if (calls > 10_000) throw new Error("the machine keeps waking for nothing");
      this.#moveTo(Math.max(this.nowMs, this.machine.wakeAtMs));
      this.tick();
      this.flush();
    }
    this.#moveTo(endMs);
  }

  /** Time passes, and the program stands still. */
  block(ms: number): void {
    this.#moveTo(this.nowMs + ms);
  }

  #moveTo(nowMs: number): void {
    this.wallMs += nowMs - this.nowMs;
    this.nowMs = nowMs;
  }

  #keep(effects: readonly Effect[]): void {
    this.#effects.push(...effects);
  }

  // -- What it wanted: each call forgets what it returned --------------------------------------------

  effects(): Effect[] {
    return this.#take((_effect): _effect is Effect => true);
  }

  /** The frames sent, with those of this turn; each command as "kind" or "kind number". */
  sent(): string[][] {
    return this.frames().map((commands) => commands.map(sketch));
  }

  frames(): (readonly Command[])[] {
    this.flush();
    return this.#take((effect) => effect.kind === "send").map(({ commands }) => commands);
  }

  /** What the program was told, as "kind id reason". */
  told(): string[] {
    const told = this.#take((effect) => effect.kind !== "send" && effect.kind !== "dial" && effect.kind !== "abandon");
    return told.map((effect) => {
      const id = "claimId" in effect ? ` ${effect.claimId}` : "";
      return `${effect.kind}${id}${"reason" in effect && effect.reason ? ` ${effect.reason}` : ""}`;
    });
  }

  /** The addresses dialed. */
  dials(): string[] {
    return this.#take((effect) => effect.kind === "dial").map(({ address }) => address);
  }

  /** The streams abandoned. */
  abandoned(): number[] {
    return this.#take((effect) => effect.kind === "abandon").map(({ streamNo }) => streamNo);
  }

  /** The number of the stream that was dialed last, or is dialed when a pause of no length ends. */
  dialed(): number {
    if (!this.#effects.some((effect) => effect.kind === "dial")) this.pass(0);
    const dial = this.#take((effect) => effect.kind === "dial").at(-1);
    if (dial === undefined) throw new Error("nothing is dialed");
    return dial.streamNo;
  }

  #take<Wanted extends Effect>(isWanted: (effect: Effect) => effect is Wanted): Wanted[] {
    const taken = this.#effects.filter(isWanted);
    this.#effects = this.#effects.filter((effect) => !isWanted(effect));
    return taken;
  }

  // -- The way to a session --------------------------------------------------------------------------

  /** Connects the stream that is dialed, and answers what is sent on it; returns its number. */
  session(...claims: SessionClaim[]): number {
    const streamNo = this.dialed();
    this.connected(streamNo);
    this.receive(streamNo, opened(...claims));
    return streamNo;
  }

  /** A machine with a session on stream 1, and the claims 1, 2 and so on held. */
  static holding(names: readonly string[], changed: Partial<MachineSettings> = {}): MachineRun {
    const run = new MachineRun(changed);
    for (const name of names) run.acquire(name);
    const streamNo = run.session();
    for (const [i, name] of names.entries()) run.receive(streamNo, granted(BigInt(i + 1), name));
    run.flush();
    run.effects();
    return run;
  }
}

export function request(name: string, waitMs?: number): ClaimRequest {
  return {
    locks: [{ name, mode: "exclusive", permits: 0, limit: 0 }],
    waitMs,
    reentryId: "",
    purpose: "",
    value: new Uint8Array(),
  };
}

export function opened(...claims: SessionClaim[]): Opened {
  return {
    kind: "opened",
    sessionId: "session",
    secret: "secret",
    ttlMs: 15_000,
    validForMs: 15_000,
    heartbeatIntervalMs: 5000,
    claims,
    servers: [],
  };
}

export const draining = (leaveWithinMs: number, ...servers: string[]): SessionEvent => ({
  kind: "draining",
  leaveWithinMs,
  servers,
});

export const live = (claimId: bigint, held: boolean): SessionClaim => ({
  claimId,
  held,
  locks: [{ name: "x", token: held ? 100n + claimId : 0n }],
});

export const granted = (claimId: bigint, name = "x"): SessionEvent => ({
  kind: "granted",
  claimId,
  locks: [{ name, token: 100n + claimId }],
});

export const waiting = (claimId: bigint): SessionEvent => ({
  kind: "waiting",
  claimId,
  lock: "x",
  position: 1,
  holders: [],
  holderCount: 1,
});

export const denied = (claimId: bigint, reason: Failure["reason"] = "busy"): SessionEvent => ({
  kind: "denied",
  claimId,
  reason,
  message: "",
  lock: "x",
  holders: [],
  holderCount: 1,
});

export const ack = (seq: bigint, validForMs = 15_000): SessionEvent => ({ kind: "heartbeat-ack", seq, validForMs });

export const closed = (reason: Failure["reason"]): SessionEvent => ({ kind: "closed", reason, message: "" });

function sketch(command: Command): string {
  if (command.kind === "heartbeat") return `heartbeat ${command.seq}`;
  if (command.kind === "resume") return `resume ${command.attempt}`;
  if (command.kind === "acquire")
    return `acquire ${command.claimId}${command.waitMs === undefined ? "" : ` ${command.waitMs}`}`;
  return "claimId" in command ? `${command.kind} ${command.claimId}` : command.kind;
}
