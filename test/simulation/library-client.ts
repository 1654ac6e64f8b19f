import { type Effect, type Instant, SessionMachine } from "../../clients/typescript/src/session-machine.ts";
import type { LockSpec, SessionEvent } from "../../server/core/frames.ts";
import { pair } from "./pairs.ts";
import { addressOf } from "./simulated-server.ts";
import { SimulatedStream, type StreamOwner } from "./simulated-stream.ts";
import { valueFor } from "./truth.ts";
import { type Surroundings, type WalkClaim, WalkClient } from "./walk-client.ts";

/** No claim's id. */
const GONE = 1n << 62n;
const STOCK: readonly LockSpec[] = [{ name: "stock/1", mode: "exclusive", permits: 0, limit: 0 }];

/**
 * A client that is the TypeScript library's session machine, run as the library runs it, but in the walk's time and
 * over the walk's streams.
 */
export class LibraryClient extends WalkClient implements StreamOwner {
  private machine: SessionMachine;
  private readonly streams = new Map<number, SimulatedStream>();
  private configured: readonly string[] = [];
  private openedOn: SimulatedStream | undefined;
  private effects: Effect[] = [];
  /** It was told to close. */
  private isLeaving = false;
  private untoldSinceMs = Number.POSITIVE_INFINITY;
  private isRunning = false;
  private isFlushDue = false;
  private timerAtMs = Number.POSITIVE_INFINITY;

  constructor(name: string, around: Surroundings) {
    super(name, around);
    this.choosePolicy();
    this.machine = this.newMachine();
    this.run(this.on("open").open(this.now()));
  }

  private newMachine(): SessionMachine {
    this.configured = this.someAddresses();
    return new SessionMachine({
      addresses: this.configured,
      ttlMs: this.ttlMs,
      onDisconnect: this.onDisconnect,
      liveness: this.liveness,
      client: undefined,
      labels: {},
      connectTimeoutMs: 10_000,
      closeTimeoutMs: 2000,
      random: () => this.world.chance(),
    });
  }

  /** What the program was configured with: maybe only one, so that servers have to tell of the others. */
  private someAddresses(): readonly string[] {
    const all = this.around.servers.map(({ number }) => addressOf(number));
    return this.world.happens(0.5) ? all : all.slice(0, 1);
  }

  /** The machine, for an input of a kind: how often which comes in which state is counted. */
  private on(event: string): SessionMachine {
    this.world.count(pair("client", this.machine.state, event));
    return this.machine;
  }

  private now(): Instant {
    return { nowMs: this.process.nowMs(), wallMs: this.process.wallMs() };
  }

  override get isUp(): boolean {
    return this.openedOn !== undefined && this.openedOn === this.stream && this.machine.sessionId !== undefined;
  }

  override get isValid(): boolean {
    return !this.isLeaving && this.machine.remainingMsAt(this.now()) > 0;
  }

  // -- What the program does -------------------------------------------------------------------------

  /** The machine keeps its own time. */
  override beat(): void {
    this.checkTold();
    if (this.machine.sessionId === undefined && !this.isClosing) this.run(this.on("open").open(this.now()));
    if (this.world.isChaotic && this.world.happens(0.004) && this.world.may("whims")) this.followWhim();
    if (this.machine.state === "running, session, draining" && this.world.happens(0.1))
      this.run(this.on("open").open(this.now()));
    if (this.isLeaving && this.world.happens(0.5)) this.callWhileClosing();
  }

  private callWhileClosing(): void {
    const { world } = this;
    const call = world.whole(0, 5);
    if (call === 0) this.run(this.on("open").open(this.now()));
    else if (call === 1) this.ask(STOCK, undefined, "");
    else if (call === 2) this.run(this.on("release").release(GONE, this.now()));
    else if (call === 3) this.run(this.on("update").update(GONE, valueFor(1), this.now()));
    else if (call === 4) this.run(this.on("close").close(this.now()));
    else for (const stream of this.streams.values()) stream.break(0, world.between(0, 100));
  }

  /** A program calls whenever it likes, also while there is no session, and for what is over. */
  private followWhim(): void {
    const { world } = this;
    const fate = world.chance();
    const claim = world.pick([...this.claims.values()]);
    if (fate < 0.1) this.run(this.on("open").open(this.now()));
    else if (fate < 0.4 && this.claims.size < 5) this.ask(STOCK, world.happens(0.3) ? 0 : undefined, "");
    else if (fate < 0.6 && claim !== undefined && claim.state !== "released") this.release(claim);
    else if (fate < 0.7) this.run(this.on("release").release(GONE, this.now()));
    else if (fate < 0.75) this.run(this.on("update").update(GONE, valueFor(1), this.now()));
    else if (fate < 0.8) this.close();
  }

  /** Past its deadline the program is told of every loss; that its machine was suspended, it may notice a second late. */
  private checkTold(): void {
    const nowMs = this.process.nowMs();
    const isUntold = !this.isValid && [...this.claims.values()].some((claim) => claim.state === "held");
    this.untoldSinceMs = isUntold ? Math.min(this.untoldSinceMs, nowMs) : Number.POSITIVE_INFINITY;
    if (nowMs - this.untoldSinceMs > 1050) this.world.violation("LOSS-UNTOLD", `${this.name} ${this.sessionId}`);
  }

  override ask(locks: readonly LockSpec[], waitMs: number | undefined, reentryId: string): void {
    const request = { locks, waitMs, reentryId, purpose: "", value: valueFor(0) };
    const { claimId, effects } = this.on("acquire").acquire(request, this.now());
    this.newClaim({ ...request, kind: "acquire", claimId });
    this.run(effects);
  }

  override release(claim: WalkClaim): void {
    claim.state = "released";
    this.run(this.on("release").release(claim.request.claimId, this.now()));
  }

  override update(claim: WalkClaim): void {
    claim.updating.push(++claim.value);
    this.run(this.on("update").update(claim.request.claimId, valueFor(claim.value), this.now()));
  }

  override close(): void {
    this.world.count("client: closes");
    this.isLeaving = true;
    // The connection breaks in the same turn.
    if (this.world.isChaotic && this.world.happens(0.1)) this.stream?.break(0, this.world.between(0, 100));
    this.run(this.on("close").close(this.now()));
  }

  /** It decides for itself where to go. */
  override migrate(): void {}

  override crash(): void {
    this.world.count("client: crashes");
    this.process.isAlive = false;
    const serverSeesMs = this.world.happens(0.5) ? this.world.between(0, 200) : this.world.between(0, 6000);
    for (const stream of this.streams.values()) stream.break(0, serverSeesMs);
  }

  // -- What happens to it ----------------------------------------------------------------------------

  received(stream: SimulatedStream, event: SessionEvent): void {
    const streamNo = this.numberOf(stream);
    if (streamNo === undefined) return;
    this.check(stream, event);
    this.run(this.on(`received ${event.kind}`).received(streamNo, [event], this.now()));
    if (event.kind === "heartbeat-ack" || event.kind === "opened") this.around.register.check();
  }

  ended(stream: SimulatedStream): void {
    const streamNo = this.numberOf(stream);
    if (streamNo === undefined) return;
    this.streams.delete(streamNo);
    this.run(this.on("broken").broken(streamNo, { reason: "connection-lost", message: "it broke" }, this.now()));
  }

  private numberOf(stream: SimulatedStream): number | undefined {
    for (const [streamNo, each] of this.streams) if (each === stream) return streamNo;
    return undefined;
  }

  /** What servers say is held against the truth, whatever the machine makes of it. */
  private check(stream: SimulatedStream, event: SessionEvent): void {
    if (stream !== this.stream || !this.isAlive) return;
    if (event.kind === "closed") this.world.count(`client: closed, ${event.reason}`);
    if (event.kind === "closed" && ["invalid", "internal", "not-permitted"].includes(event.reason))
      this.world.violation("REFUSED", `${this.name} was told ${event.reason}: ${event.message}`);
    if (event.kind === "opened") this.openedOn = stream;
    if (event.kind === "opened") this.sessionId = event.sessionId;
    if (event.kind === "opened" && stream.resumedAtMs !== undefined) this.world.count("library: resumes");
    if (event.kind !== "denied" && event.kind !== "released") return;
    const claim = this.claims.get(event.claimId);
    if (claim !== undefined && this.isValid)
      this.checkEnd(claim, event.kind, "reason" in event ? event.reason : undefined);
  }

  // -- What the machine decides ----------------------------------------------------------------------

  private run(effects: readonly Effect[]): void {
    this.effects.push(...effects);
    if (!this.isRunning) {
      this.isRunning = true;
      for (let effect = this.effects.shift(); effect !== undefined; effect = this.effects.shift()) this.act(effect);
      this.isRunning = false;
    }
    this.arm();
  }

  private act(effect: Effect): void {
    switch (effect.kind) {
      case "dial":
        return this.dial(effect.streamNo, effect.address);
      case "send": {
        const stream = this.streams.get(effect.streamNo);
        const [first] = effect.commands;
        if (first?.kind === "open" || first?.kind === "resume") this.stream = stream;
        return stream?.write(...effect.commands);
      }
      case "abandon": {
        this.streams.get(effect.streamNo)?.halfClose();
        this.streams.delete(effect.streamNo);
        return;
      }
      case "granted":
      case "updated":
      case "denied":
      case "lost":
      case "released":
        return this.told(effect);
      case "waiting":
        return this.world.count("library: told its position");
      case "opened":
      case "not-opened":
        return this.world.count(`library: ${effect.kind}`);
      case "closed":
        return this.goOn();
      default:
        return effect satisfies never;
    }
  }

  private told(effect: Extract<Effect, { kind: "granted" | "updated" | "denied" | "lost" | "released" }>): void {
    const claim = this.claims.get(effect.claimId);
    if (claim === undefined) return this.world.violation("TOLD-TWICE", `${this.name} ${effect.claimId} ${effect.kind}`);
    if (effect.kind === "granted") {
      if (claim.state === "wanted") this.isGranted(claim, effect.locks[0]?.token ?? 0n);
      return;
    }
    if (effect.kind === "updated") return this.isUpdated(claim, effect.count, effect.reason);
    if (effect.kind === "lost" && effect.reason === "released-by-force") this.checkLoss(claim, "is lost");
    else if (effect.kind === "lost" || effect.kind === "denied")
      this.world.count(`library: ${effect.kind}, ${effect.reason}`);
    this.claims.delete(effect.claimId);
  }

  /** A machine that is closed refuses what it is asked for, and does nothing more. */
  private callClosed(): void {
    const at = this.now();
    const { claimId, effects } = this.on("acquire").acquire(
      { locks: STOCK, waitMs: undefined, reentryId: "", purpose: "", value: valueFor(0) },
      at,
    );
    const told = [
      ...this.on("open").open(at),
      ...effects,
      ...this.on("release").release(claimId, at),
      ...this.on("update").update(claimId, valueFor(0), at),
      ...this.on("close").close(at),
      ...this.on("flush").flush(at),
      ...this.on("tick").tick(at),
    ];
    if (told.map(({ kind }) => kind).join() !== "not-opened,denied")
      this.world.violation("CLOSED-ACTS", `${this.name}: ${told.map(({ kind }) => kind).join()}`);
  }

  /** The program is started again, unless all are leaving. */
  private goOn(): void {
    if (this.claims.size > 0) this.world.violation("NOT-TOLD", `${this.name} is closed, and has claims`);
    this.claims.clear();
    this.callClosed();
    if (this.isClosing) return;
    this.isLeaving = false;
    this.choosePolicy();
    this.machine = this.newMachine();
    this.effects = [];
    this.streams.clear();
    this.timerAtMs = Number.POSITIVE_INFINITY;
    this.run(this.on("open").open(this.now()));
  }

  private dial(streamNo: number, address: string): void {
    const { machine } = this;
    const server = this.around.servers.find(({ number }) => addressOf(number) === address);
    if (server === undefined) return this.world.violation("NO-ADDRESS", address);
    if (!this.configured.includes(address)) this.world.count("library: dials a server that it was told of");
    if (!server.process.isAlive) {
      this.world.after(this.world.between(1, 50), () =>
        this.process.receive(() => {
          if (this.machine === machine)
            this.run(this.on("broken").broken(streamNo, { reason: "unreachable", message: "refused" }, this.now()));
        }),
      );
      return;
    }
    const stream = new SimulatedStream(this, server);
    this.streams.set(streamNo, stream);
    this.world.after(this.world.between(0.5, 10), () =>
      this.process.receive(() => {
        if (this.streams.get(streamNo) === stream) this.run(this.on("connected").connected(streamNo, this.now()));
      }),
    );
  }

  // -- Time ------------------------------------------------------------------------------------------

  private arm(): void {
    const { machine } = this;
    if (machine.hasCommands && !this.isFlushDue) {
      this.isFlushDue = true;
      this.process.endOfTurn(() => {
        this.isFlushDue = false;
        this.run(this.on("flush").flush(this.now()));
      });
    }
    const atMs = machine.wakeAtMs;
    if (atMs >= this.timerAtMs) return;
    this.timerAtMs = atMs;
    this.process.at(atMs, () => {
      if (this.machine !== machine || this.timerAtMs !== atMs) return;
      this.timerAtMs = Number.POSITIVE_INFINITY;
      this.run(this.on("tick").tick(this.now()));
    });
  }
}
