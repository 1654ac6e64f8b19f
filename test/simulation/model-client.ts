import type { Acquire, Command, LockSpec, SessionClaim, SessionEvent } from "../../server/core/frames.ts";
import type { Reason } from "../../server/core/reason.ts";
import { SimulatedStream, type StreamOwner } from "./simulated-stream.ts";
import { valueFor } from "./truth.ts";
import { type Surroundings, type WalkClaim, WalkClient } from "./walk-client.ts";

interface Instant {
  readonly nowMs: number;
  readonly wallMs: number;
}

const PATIENCE_MS = 1500;
/** After these a session with KEEP may live on. */
const RESUMABLE = new Set<Reason>(["superseded", "store-unavailable", "draining", "client-too-slow"]);

/**
 * A client that honours all rules of DESIGN 3, 4.7 and 4.8 and does nothing else: what it believes is what any
 * honest client may believe. What it wants is decided by `ClientLife`.
 */
export class ModelClient extends WalkClient implements StreamOwner {
  isUp = false;
  /** By its own clock. `undefined`: the session has none, or is not open yet. */
  private validUntilMs: number | undefined;
  /** How far the wall clock was ahead of the monotonic one when that was proven. */
  private aheadMs = 0;
  private leaving: SimulatedStream | undefined;
  private secret = "";
  private attempt = 0n;
  private seq = 0n;
  private openSentAt: Instant = { nowMs: 0, wallMs: 0 };
  private readonly sentAt = new Map<bigint, Instant>();
  private lastHeartbeatMs = 0;
  private lastHeardMs = 0;
  private nextClaimId = 1n;

  constructor(name: string, around: Surroundings) {
    super(name, around);
    this.startAnew();
  }

  // -- Sessions and streams --------------------------------------------------------------------------

  /** Forgets the session for good, and opens another. */
  private startAnew(): void {
    this.leaving?.halfClose();
    this.leaving = undefined;
    this.claims.clear();
    this.sentAt.clear();
    this.sessionId = "";
    this.validUntilMs = undefined;
    this.attempt = 0n;
    this.choosePolicy();
    this.connect();
  }

  private connect(): void {
    this.isUp = false;
    this.stream = undefined;
    if (this.isClosing && this.sessionId === "") return;
    const server = this.world.pick(this.around.servers.filter((each) => each.isUp));
    if (server === undefined) return this.later(100, () => this.stream === undefined && this.connect());
    const stream = new SimulatedStream(this, server);
    this.stream = stream;
    this.openSentAt = this.now();
    this.lastHeardMs = this.openSentAt.nowMs;
    stream.write(this.first());
    if (this.sessionId === "" && this.world.isChaotic && this.world.happens(0.2) && this.world.may("hasty-clients"))
      this.goOnAtOnce();
    if (this.world.isChaotic && this.world.happens(0.005)) stream.break(0, 0);
    this.later(PATIENCE_MS, () => {
      if (this.stream !== stream || this.isUp) return;
      stream.break(0, this.world.between(0, 2000));
      this.ended(stream);
    });
  }

  /** Whoever opens a session need not wait for the answer before it says more. */
  private goOnAtOnce(): void {
    const { world } = this;
    this.world.count("client: says more before its session is open");
    this.ask([{ name: "stock/1", mode: "exclusive", permits: 0, limit: 0 }], undefined, "");
    if (world.happens(0.5)) this.sendHeartbeat();
    const [claim] = this.claims.values();
    if (world.happens(0.3)) this.stream?.write({ kind: "update", claimId: 1n << 62n, value: valueFor(1) });
    if (claim !== undefined && world.happens(0.3)) this.release(claim);
    if (world.happens(0.1)) this.askInVain();
  }

  private first(): Command {
    const { ttlMs, onDisconnect, liveness, sessionId, secret } = this;
    if (sessionId === "") return { kind: "open", ttlMs, onDisconnect, liveness, client: undefined, labels: {} };
    return { kind: "resume", sessionId, secret, attempt: ++this.attempt };
  }

  override migrate(): void {
    if (this.onDisconnect !== "keep" || !this.isUp) return;
    this.world.count("client: migrates");
    this.leaving?.halfClose();
    this.leaving = this.stream;
    this.connect();
  }

  override crash(): void {
    this.world.count("client: crashes");
    this.process.isAlive = false;
    const serverSeesMs = this.world.happens(0.5) ? this.world.between(0, 200) : this.world.between(0, 6000);
    this.stream?.break(0, serverSeesMs);
    this.leaving?.break(0, serverSeesMs);
  }

  override close(): void {
    this.world.count("client: closes");
    // Bare stubs just half-close.
    if (this.onDisconnect === "release" && this.world.happens(0.5)) this.stream?.halfClose();
    else this.sayGoodbye();
    this.startAnew();
  }

  private sayGoodbye(): void {
    const { stream } = this;
    stream?.write({ kind: "close" });
    if (stream !== undefined) this.later(30, () => stream.halfClose());
  }

  ended(stream: SimulatedStream): void {
    if (this.stream !== stream) return;
    this.isUp = false;
    if (this.sessionId === "")
      return this.later(this.world.between(20, 200), () => this.stream === stream && this.startAnew());
    if (this.onDisconnect === "release") return this.startAnew();
    if (this.isPastDeadline) return this.giveUp();
    this.later(this.world.between(1, 200), () => this.stream === stream && this.connect());
  }

  private later(delayMs: number, then: () => void): void {
    this.process.at(this.process.nowMs() + delayMs, then);
  }

  // -- Deadline --------------------------------------------------------------------------------------

  private get isPastDeadline(): boolean {
    if (this.validUntilMs === undefined) return false;
    const { nowMs, wallMs } = this.now();
    // What the wall clock gained is time that the machine was suspended.
    const gainedMs = Math.max(0, wallMs - nowMs - this.aheadMs);
    return gainedMs > 1000 || nowMs + gainedMs > this.validUntilMs;
  }

  private now(): Instant {
    return { nowMs: this.process.nowMs(), wallMs: this.process.wallMs() };
  }

  override get isValid(): boolean {
    return this.validUntilMs !== undefined && !this.isPastDeadline;
  }

  /** What passed its deadline is never used again. */
  private giveUp(): void {
    this.world.count("client: passes its deadline");
    this.world.note(`${this.name} gives up ${this.sessionId}`);
    this.sayGoodbye();
    this.startAnew();
  }

  private extend({ nowMs, wallMs }: Instant, validForMs: number): void {
    const untilMs = nowMs + validForMs * 0.99;
    if (this.liveness !== "heartbeat" || untilMs < (this.validUntilMs ?? 0)) return;
    this.validUntilMs = untilMs;
    this.aheadMs = wallMs - nowMs;
    this.around.register.check();
  }

  // -- What it does ----------------------------------------------------------------------------------

  override beat(): void {
    if (this.isPastDeadline) return this.giveUp();
    if (!this.isUp || this.liveness !== "heartbeat") return;
    const nowMs = this.process.nowMs();
    const { stream } = this;
    if (nowMs - this.lastHeardMs > this.ttlMs * 0.6 && stream !== undefined) {
      this.world.count("client: leaves a mute stream");
      stream.break(0, this.world.between(0, 6000));
      return this.ended(stream);
    }
    if (nowMs - this.lastHeartbeatMs < this.ttlMs / 4) return;
    this.sendHeartbeat();
  }

  private sendHeartbeat(): void {
    this.lastHeartbeatMs = this.process.nowMs();
    this.sentAt.set(++this.seq, this.now());
    this.stream?.write({ kind: "heartbeat", seq: this.seq });
  }

  override ask(locks: readonly LockSpec[], waitMs: number | undefined, reentryId: string): void {
    const claimId = this.nextClaimId++;
    const value = valueFor(0);
    const { request } = this.newClaim({ kind: "acquire", claimId, locks, waitMs, reentryId, purpose: "", value });
    this.stream?.write(request);
  }

  /** The same acquire, with what is left of its time to wait. */
  private again({ request, askedAtMs }: WalkClaim): Acquire {
    const { waitMs } = request;
    if (waitMs === undefined || waitMs === 0) return request;
    return { ...request, waitMs: Math.max(1, Math.floor(waitMs - (this.process.nowMs() - askedAtMs))) };
  }

  /** Asks for what the server's edge refuses before anything is written. */
  askInVain(): void {
    const claimId = this.nextClaimId++;
    this.stream?.write({ kind: "refused", claimId, reason: "invalid", message: "too many permits", lock: "seats" });
  }

  override release(claim: WalkClaim): void {
    claim.state = "released";
    this.stream?.write({ kind: "release", claimId: claim.request.claimId });
  }

  override update(claim: WalkClaim): void {
    claim.updating.push(++claim.value);
    this.stream?.write({ kind: "update", claimId: claim.request.claimId, value: valueFor(claim.value) });
  }

  // -- What it hears ---------------------------------------------------------------------------------

  received(stream: SimulatedStream, event: SessionEvent): void {
    if (this.stream !== stream) return;
    if (this.isPastDeadline) return this.giveUp();
    this.lastHeardMs = this.process.nowMs();
    switch (event.kind) {
      case "opened":
        return this.opened(event);
      case "heartbeat-ack": {
        const sentAt = this.sentAt.get(event.seq);
        if (sentAt === undefined) this.world.violation("STRANGE-ACK", `${this.name}: ${event.seq}`);
        else this.extend(sentAt, event.validForMs);
        return;
      }
      case "granted":
        return this.granted(event.claimId, event.locks[0]?.token ?? 0n);
      case "denied":
      case "released":
      case "lost":
        return this.over(event.kind, event.claimId, "reason" in event ? event.reason : undefined);
      case "updated": {
        const claim = this.claims.get(event.claimId);
        if (claim !== undefined) this.isUpdated(claim, 1, event.reason);
        return;
      }
      case "waiting":
        if (event.position < 1) this.world.violation("POSITION", `${this.name}: ${event.position}`);
        return this.world.count("client: told its position");
      case "closed":
        return this.closed(event.reason, event.message);
      case "draining":
        return this.migrate();
      case "servers":
        return;
      default:
        return event satisfies never;
    }
  }

  private opened(event: Extract<SessionEvent, { kind: "opened" }>): void {
    this.isUp = true;
    this.leaving?.halfClose();
    this.leaving = undefined;
    const isNew = this.sessionId === "";
    this.sessionId = event.sessionId;
    if (isNew) this.secret = event.secret;
    else this.catchUp(event.claims);
    this.extend(this.openSentAt, event.validForMs);
  }

  /** After a resume: what is lost, then the releases, then what is still wanted, then what was not confirmed. */
  private catchUp(listed: readonly SessionClaim[]): void {
    const live = new Map(listed.map((each) => [each.claimId, each]));
    const commands: Command[] = [];
    for (const [claimId, claim] of [...this.claims]) this.compare(claim, live.get(claimId));
    for (const claimId of live.keys()) {
      const claim = this.claims.get(claimId);
      if (claim === undefined || claim.state === "released") commands.push({ kind: "release", claimId });
    }
    for (const claim of this.claims.values()) if (claim.state === "wanted") commands.push(this.again(claim));
    for (const claim of this.claims.values())
      if (claim.state !== "released" && claim.updating.length > 0) {
        claim.updating.splice(0, claim.updating.length, claim.value);
        commands.push({ kind: "update", claimId: claim.request.claimId, value: valueFor(claim.value) });
      }
    this.world.count("client: resumes");
    this.stream?.write(...commands);
  }

  private compare(claim: WalkClaim, there: SessionClaim | undefined): void {
    const token = there?.locks[0]?.token;
    if (there === undefined) {
      if (claim.state === "held") this.checkLoss(claim, "is not in the session that was resumed");
      if (claim.state !== "wanted") this.claims.delete(claim.request.claimId);
    } else if (claim.state === "held" && !there.held) this.world.count("client: not let itself be demoted");
    else if (claim.state === "held" && token !== claim.token)
      this.world.violation("TOKEN-CHANGED", `${this.idOf(claim)} has ${token}, and had ${claim.token}`);
  }

  private granted(claimId: bigint, token: bigint): void {
    const claim = this.claims.get(claimId);
    if (claim === undefined) {
      this.world.count("client: gives a grant back");
      this.stream?.write({ kind: "release", claimId });
    } else if (claim.state === "released") this.world.count("client: a grant crosses its release");
    else if (claim.state === "wanted") this.isGranted(claim, token);
    else if (claim.state === "held" && claim.token !== token)
      this.world.violation("TOKEN-CHANGED", `${this.idOf(claim)} has ${token}, and had ${claim.token}`);
  }

  private over(how: "denied" | "released" | "lost", claimId: bigint, reason: Reason | undefined): void {
    const claim = this.claims.get(claimId);
    if (claim === undefined) return;
    if (how === "lost") this.checkLoss(claim, "is lost");
    else this.checkEnd(claim, how, reason);
    this.claims.delete(claimId);
  }

  private closed(reason: Reason, message: string): void {
    this.world.count(`client: closed, ${reason}`);
    if (reason === "invalid" || reason === "internal" || reason === "not-permitted")
      this.world.violation("REFUSED", `${this.name} was told ${reason}: ${message}`);
    if (RESUMABLE.has(reason) || this.sessionId === "") return;
    this.stream = undefined;
    this.startAnew();
  }
}
