import type { Acquire, Command, LockSpec, SessionClaim, SessionEvent } from "../../server/core/frames.ts";
import type { Reason } from "../../server/core/reason.ts";
import type { Liveness, OnDisconnect } from "../../server/core/records.ts";
import { wasRefusedRightly } from "./answer-check.ts";
import type { Questions } from "./questions.ts";
import type { Belief, Believer, Register } from "./register.ts";
import type { SimulatedEtcd } from "./simulated-etcd.ts";
import type { SimulatedServer } from "./simulated-server.ts";
import { SimulatedStream, type StreamOwner } from "./simulated-stream.ts";
import type { Truth } from "./truth.ts";
import { valueFor } from "./truth.ts";
import { Process, type World } from "./world.ts";

/** Where a walk's clients live. */
export interface Surroundings {
  readonly world: World;
  readonly truth: Truth;
  readonly register: Register;
  readonly etcd: SimulatedEtcd;
  questions: Questions | undefined;
  readonly servers: readonly SimulatedServer[];
}

/** A claim as its client knows it. */
export interface ModelClaim {
  readonly request: Acquire;
  state: "wanted" | "held" | "released";
  readonly askedAtMs: number;
  /** etcd's revision when it was asked for. */
  readonly askedAtRevision: number;
  token: bigint;
  /** The last value that was sent, and those whose `updated` has not come. */
  value: number;
  readonly updating: number[];
}

const PATIENCE_MS = 1500;
/** After these a session with KEEP may live on. */
const RESUMABLE = new Set<Reason>(["superseded", "store-unavailable", "draining", "client-too-slow"]);

/**
 * A client that honours all rules of DESIGN 3, 4.7 and 4.8 and does nothing else: what it believes is what any
 * honest client may believe. What it wants is decided by `ClientLife`.
 */
export class ModelClient implements StreamOwner, Believer {
  readonly name: string;
  readonly world: World;
  readonly process: Process;
  readonly around: Surroundings;
  readonly claims = new Map<bigint, ModelClaim>();
  sessionId = "";
  onDisconnect: OnDisconnect = "keep";
  liveness: Liveness = "heartbeat";
  ttlMs = 3000;
  stream: SimulatedStream | undefined;
  /** Whether `opened` has come over the stream. */
  isUp = false;
  /** It wants nothing more, and opens no session. */
  isClosing = false;
  /** By its own clock. `undefined`: the session has none, or is not open yet. */
  validUntilMs: number | undefined;
  private leaving: SimulatedStream | undefined;
  private secret = "";
  private attempt = 0n;
  private seq = 0n;
  private openSentAtMs = 0;
  private readonly sentAtMs = new Map<bigint, number>();
  private lastHeartbeatMs = 0;
  private nextClaimId = 1n;

  constructor(name: string, around: Surroundings) {
    this.name = name;
    this.around = around;
    this.world = around.world;
    this.process = new Process(around.world, (error) => {
      throw error;
    });
    this.startAnew();
  }

  get isAlive(): boolean {
    return this.process.isAlive;
  }

  // -- Sessions and streams --------------------------------------------------------------------------

  /** Forgets the session for good, and opens another. */
  startAnew(): void {
    this.leaving?.halfClose();
    this.leaving = undefined;
    this.claims.clear();
    this.sentAtMs.clear();
    this.sessionId = "";
    this.validUntilMs = undefined;
    this.attempt = 0n;
    this.onDisconnect = this.world.happens(0.2) ? "release" : "keep";
    this.liveness = this.world.happens(0.15) ? "transport" : "heartbeat";
    this.ttlMs = this.world.pick([2000, 2000, 3000, 5000, 8000]) ?? 3000;
    this.connect();
  }

  connect(): void {
    this.isUp = false;
    this.stream = undefined;
    if (this.isClosing && this.sessionId === "") return;
    const server = this.world.pick(this.around.servers.filter((each) => each.isUp));
    if (server === undefined) return this.later(100, () => this.stream === undefined && this.connect());
    const stream = new SimulatedStream(this, server);
    this.stream = stream;
    this.openSentAtMs = this.process.nowMs();
    if (this.sessionId === "") {
      stream.write({
        kind: "open",
        ttlMs: this.ttlMs,
        onDisconnect: this.onDisconnect,
        liveness: this.liveness,
        client: undefined,
        labels: {},
      });
    } else stream.write({ kind: "resume", sessionId: this.sessionId, secret: this.secret, attempt: ++this.attempt });
    this.later(PATIENCE_MS, () => {
      if (this.stream !== stream || this.isUp) return;
      stream.break(0, this.world.between(0, 2000));
      this.ended(stream);
    });
  }

  /** Goes to another server, although nothing is wrong: from here on the old stream means nothing. */
  migrate(): void {
    if (this.onDisconnect !== "keep" || !this.isUp) return;
    this.world.count("client: migrates");
    this.leaving?.halfClose();
    this.leaving = this.stream;
    this.connect();
  }

  crash(): void {
    this.world.count("client: crashes");
    this.process.isAlive = false;
    const serverSeesMs = this.world.happens(0.5) ? this.world.between(0, 200) : this.world.between(0, 6000);
    this.stream?.break(0, serverSeesMs);
    this.leaving?.break(0, serverSeesMs);
  }

  close(): void {
    this.world.count("client: closes");
    const { stream } = this;
    // Bare stubs just half-close.
    if (this.onDisconnect === "release" && this.world.happens(0.5)) stream?.halfClose();
    else {
      stream?.write({ kind: "close" });
      if (stream !== undefined) this.later(30, () => stream.halfClose());
    }
    this.startAnew();
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

  get isPastDeadline(): boolean {
    return this.validUntilMs !== undefined && this.process.nowMs() > this.validUntilMs;
  }

  /** What passed its deadline is never used again. */
  private giveUp(): void {
    this.world.count("client: passes its deadline");
    this.world.note(`${this.name} gives up ${this.sessionId}`);
    const { stream } = this;
    stream?.write({ kind: "close" });
    if (stream !== undefined) this.later(30, () => stream.halfClose());
    this.startAnew();
  }

  private extend(sentAtMs: number, validForMs: number): void {
    if (this.liveness !== "heartbeat") return;
    this.validUntilMs = Math.max(this.validUntilMs ?? 0, sentAtMs + validForMs * 0.99);
    this.around.register.check();
  }

  /** Whether its session is one that P5 makes promises to, and is open. */
  get isPromised(): boolean {
    const { onDisconnect, liveness } = this;
    return this.isAlive && onDisconnect === "keep" && liveness === "heartbeat" && this.validUntilMs !== undefined;
  }

  *beliefs(): Iterable<Belief> {
    if (!this.isPromised || this.isPastDeadline) return;
    for (const claim of this.claims.values())
      if (claim.state === "held" && !this.isForced(claim)) yield this.beliefOf(claim);
  }

  private beliefOf(claim: ModelClaim): Belief {
    return { who: `${this.name} ${this.idOf(claim)}`, token: claim.token, specs: claim.request.locks };
  }

  idOf(claim: ModelClaim): string {
    return `${this.sessionId}/${claim.request.claimId.toString(16).padStart(16, "0")}`;
  }

  private isForced(claim: ModelClaim): boolean {
    const { forced } = this.around.truth;
    if (!this.reenters(claim)) return forced.has(this.idOf(claim));
    return [...forced].some((id) => id.startsWith(this.sessionId));
  }

  // -- What it does ----------------------------------------------------------------------------------

  /** To be called a few times within a heartbeat interval. */
  beat(): void {
    if (this.isPastDeadline) return this.giveUp();
    if (!this.isUp || this.liveness !== "heartbeat") return;
    const nowMs = this.process.nowMs();
    if (nowMs - this.lastHeartbeatMs < this.ttlMs / 4) return;
    this.lastHeartbeatMs = nowMs;
    this.sentAtMs.set(++this.seq, nowMs);
    this.stream?.write({ kind: "heartbeat", seq: this.seq });
  }

  ask(locks: readonly LockSpec[], waitMs: number | undefined, reentryId: string): void {
    const claimId = this.nextClaimId++;
    const value = valueFor(0);
    const request: Acquire = { kind: "acquire", claimId, locks, waitMs, reentryId, purpose: "", value };
    this.claims.set(claimId, {
      request,
      state: "wanted",
      askedAtMs: this.process.nowMs(),
      askedAtRevision: this.around.truth.now.revision,
      token: 0n,
      value: 0,
      updating: [],
    });
    this.stream?.write(request);
  }

  /** The same acquire, with what is left of its time to wait. */
  private again({ request, askedAtMs }: ModelClaim): Acquire {
    const { waitMs } = request;
    if (waitMs === undefined || waitMs === 0) return request;
    return { ...request, waitMs: Math.max(1, Math.floor(waitMs - (this.process.nowMs() - askedAtMs))) };
  }

  /** Asks for what the server's edge refuses before anything is written. */
  askInVain(): void {
    const claimId = this.nextClaimId++;
    this.stream?.write({ kind: "refused", claimId, reason: "invalid", message: "too many permits", lock: "seats" });
  }

  release(claim: ModelClaim): void {
    claim.state = "released";
    this.stream?.write({ kind: "release", claimId: claim.request.claimId });
  }

  update(claim: ModelClaim): void {
    claim.updating.push(++claim.value);
    this.stream?.write({ kind: "update", claimId: claim.request.claimId, value: valueFor(claim.value) });
  }

  /** Uses what the claim guards, if it is promised to be the claim's. */
  use(claim: ModelClaim): void {
    if (this.isPromised && claim.state === "held" && !this.isPastDeadline && !this.isForced(claim))
      this.around.register.write(this.beliefOf(claim));
  }

  // -- What it hears ---------------------------------------------------------------------------------

  received(stream: SimulatedStream, event: SessionEvent): void {
    if (this.stream !== stream) return;
    if (this.isPastDeadline) return this.giveUp();
    switch (event.kind) {
      case "opened":
        return this.opened(event);
      case "heartbeat-ack": {
        const sentAtMs = this.sentAtMs.get(event.seq);
        if (sentAtMs === undefined) this.world.violation("STRANGE-ACK", `${this.name}: ${event.seq}`);
        else this.extend(sentAtMs, event.validForMs);
        return;
      }
      case "granted":
        return this.granted(event.claimId, event.locks[0]?.token ?? 0n);
      case "denied":
      case "released":
      case "lost":
        return this.over(event.kind, event.claimId, "reason" in event ? event.reason : undefined);
      case "updated":
        return this.updated(event.claimId, event.reason);
      case "waiting":
        if (event.position < 1) this.world.violation("POSITION", `${this.name}: ${event.position}`);
        return this.world.count("client: told its position");
      case "closed":
        return this.closed(event.reason, event.message);
      case "draining":
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
    this.extend(this.openSentAtMs, event.validForMs);
  }

  /** After a resume: what is lost, then the releases, then what is still wanted, then what was not confirmed. */
  private catchUp(listed: readonly SessionClaim[]): void {
    const live = new Map(listed.map((each) => [each.claimId, each]));
    const commands: Command[] = [];
    for (const [claimId, claim] of [...this.claims]) {
      const there = live.get(claimId);
      if (claim.state === "held" && there === undefined) this.lose(claim, "not in the session that was resumed");
      else if (claim.state === "released" && there === undefined) this.claims.delete(claimId);
      else if (claim.state === "held" && there?.held && there.locks[0]?.token !== claim.token)
        this.world.violation(
          "TOKEN-CHANGED",
          `${this.idOf(claim)} has ${there.locks[0]?.token}, and had ${claim.token}`,
        );
      if (claim.state === "held" && there?.held === false) this.world.count("client: not let itself be demoted");
    }
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

  private granted(claimId: bigint, token: bigint): void {
    const claim = this.claims.get(claimId);
    if (claim === undefined) {
      this.world.count("client: gives a grant back");
      this.stream?.write({ kind: "release", claimId });
    } else if (claim.state === "wanted") {
      claim.state = "held";
      claim.token = token;
      this.world.count("client: holds");
      this.around.register.check();
      this.use(claim);
    } else if (claim.state === "held" && claim.token !== token)
      this.world.violation("TOKEN-CHANGED", `${this.idOf(claim)} has ${token}, and had ${claim.token}`);
  }

  private over(how: "denied" | "released" | "lost", claimId: bigint, reason: Reason | undefined): void {
    const claim = this.claims.get(claimId);
    if (claim === undefined) return;
    if (how === "lost") return this.lose(claim, "lost");
    if (how === "released" && claim.state !== "released") this.world.violation("RELEASED-UNASKED", this.idOf(claim));
    if (how === "denied") this.denied(claim, reason);
    if (how === "released" && !this.reenters(claim)) this.around.questions?.released(claim);
    // One key stands for all claims of a thread of control that re-entered.
    if (how === "denied" || !this.reenters(claim)) this.around.truth.isAnswered(this.idOf(claim), how);
    this.claims.delete(claimId);
  }

  private reenters(claim: ModelClaim): boolean {
    return this.onDisconnect === "release" && claim.request.reentryId !== "";
  }

  private denied(claim: ModelClaim, reason: Reason | undefined): void {
    if (claim.state === "held") this.world.violation("DENIED-HELD", `${this.idOf(claim)}: ${reason}`);
    const { request, askedAtRevision } = claim;
    if (reason === "busy" && request.waitMs !== 0) this.world.violation("BUSY-UNASKED", this.idOf(claim));
    if (
      (reason === "busy" || (reason === "conflicting-mode" && !this.reenters(claim))) &&
      !wasRefusedRightly(this.around.truth, reason, request.locks, askedAtRevision)
    )
      this.world.violation("BUSY-LIES", `${this.idOf(claim)}: ${reason}`);
    if (reason === "timeout" && this.process.nowMs() - claim.askedAtMs < (claim.request.waitMs ?? 0) * 0.97)
      this.world.violation("TIMEOUT-EARLY", this.idOf(claim));
  }

  private lose(claim: ModelClaim, how: string): void {
    if (!this.isForced(claim) && claim.state !== "released")
      this.world.violation("LOST-UNFORCED", `${this.name} ${this.idOf(claim)} ${how}`);
    this.world.count("client: told of a loss");
    this.claims.delete(claim.request.claimId);
  }

  private updated(claimId: bigint, reason: Reason | undefined): void {
    const claim = this.claims.get(claimId);
    const value = claim?.updating.shift();
    if (claim === undefined || value === undefined) return;
    if (reason === undefined) {
      this.world.count("client: told that an update is done");
      if (!this.reenters(claim)) this.around.truth.isConfirmed(this.idOf(claim), value);
    } else if (reason === "not-found" && claim.state === "held" && !this.isForced(claim))
      this.world.violation("UPDATE-NOT-FOUND", this.idOf(claim));
  }

  private closed(reason: Reason, message: string): void {
    const mayResume = RESUMABLE.has(reason);
    this.world.count(`client: closed, ${reason}`);
    if (reason === "invalid" || reason === "internal" || reason === "not-permitted")
      this.world.violation("REFUSED", `${this.name} was told ${reason}: ${message}`);
    if (mayResume || this.sessionId === "") return;
    this.stream = undefined;
    this.startAnew();
  }
}
