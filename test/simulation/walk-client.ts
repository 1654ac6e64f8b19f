import type { Acquire, LockSpec } from "../../server/core/frames.ts";
import type { Reason } from "../../server/core/reason.ts";
import type { Liveness, OnDisconnect } from "../../server/core/records.ts";
import { wasRefusedRightly } from "./answer-check.ts";
import type { Questions } from "./questions.ts";
import type { Belief, Believer, Register } from "./register.ts";
import type { SimulatedEtcd } from "./simulated-etcd.ts";
import type { SimulatedServer } from "./simulated-server.ts";
import type { SimulatedStream } from "./simulated-stream.ts";
import type { Truth } from "./truth.ts";
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
export interface WalkClaim {
  readonly request: Acquire;
  state: "wanted" | "held" | "released";
  /** By the client's own clock, and in true time. */
  readonly askedAtMs: number;
  readonly askedAtTrueMs: number;
  /** etcd's revision when it was asked for. */
  readonly askedAtRevision: number;
  token: bigint;
  /** The last value that was sent, and those whose `updated` has not come. */
  value: number;
  readonly updating: number[];
}

/** What all kinds of clients have in common: claims, what they believe of them, and what may be answered about them. */
export abstract class WalkClient implements Believer {
  readonly name: string;
  readonly world: World;
  readonly process: Process;
  readonly around: Surroundings;
  readonly claims = new Map<bigint, WalkClaim>();
  /** The present session, or the last there was. Empty: none yet. */
  sessionId = "";
  onDisconnect: OnDisconnect = "keep";
  liveness: Liveness = "heartbeat";
  ttlMs = 3000;
  /** The one that carries the session, or is to. */
  stream: SimulatedStream | undefined;
  /** It releases nothing for now. */
  holdsOn = false;
  /** It wants nothing more, and opens no session. */
  isClosing = false;

  constructor(name: string, around: Surroundings) {
    this.name = name;
    this.around = around;
    this.world = around.world;
    this.process = new Process(around.world, (error) => {
      throw error;
    });
  }

  /** Whether its session is open on a stream. */
  abstract readonly isUp: boolean;
  /** Whether it has a session that may be believed, as far as its deadline says. */
  abstract readonly isValid: boolean;
  /** To be called a few times within a heartbeat interval. */
  abstract beat(): void;
  abstract ask(locks: readonly LockSpec[], waitMs: number | undefined, reentryId: string): void;
  abstract release(claim: WalkClaim): void;
  abstract update(claim: WalkClaim): void;
  /** Ends its session; unless it is closing, it goes on with another. */
  abstract close(): void;
  /** Goes to another server, although nothing is wrong. */
  abstract migrate(): void;
  abstract crash(): void;

  get isAlive(): boolean {
    return this.process.isAlive;
  }

  protected choosePolicy(): void {
    this.onDisconnect = this.world.happens(0.2) ? "release" : "keep";
    this.liveness = this.world.happens(0.15) ? "transport" : "heartbeat";
    this.ttlMs = this.world.pick([2000, 2000, 3000, 5000, 8000]) ?? 3000;
  }

  protected newClaim(request: Acquire): WalkClaim {
    const claim: WalkClaim = {
      request,
      state: "wanted",
      askedAtMs: this.process.nowMs(),
      askedAtTrueMs: this.world.nowMs,
      askedAtRevision: this.around.truth.now.revision,
      token: 0n,
      value: 0,
      updating: [],
    };
    this.claims.set(request.claimId, claim);
    return claim;
  }

  // -- Beliefs ---------------------------------------------------------------------------------------

  /** Whether P5 promises something to its session, now. */
  get isPromised(): boolean {
    return this.isAlive && this.onDisconnect === "keep" && this.liveness === "heartbeat" && this.isValid;
  }

  *beliefs(): Iterable<Belief> {
    if (!this.isPromised) return;
    for (const claim of this.claims.values())
      if (claim.state === "held" && !this.isForced(claim)) yield this.beliefOf(claim);
  }

  private beliefOf(claim: WalkClaim): Belief {
    return { who: `${this.name} ${this.idOf(claim)}`, token: claim.token, specs: claim.request.locks };
  }

  /** Uses what the claim guards, if it is promised to be the claim's. */
  use(claim: WalkClaim): void {
    if (this.isPromised && claim.state === "held" && !this.isForced(claim))
      this.around.register.write(this.beliefOf(claim));
  }

  idOf({ request }: WalkClaim): string {
    return `${this.sessionId}/${request.claimId.toString(16).padStart(16, "0")}`;
  }

  protected isForced(claim: WalkClaim): boolean {
    const { forced } = this.around.truth;
    if (forced.has(this.sessionId)) return true;
    if (!this.reenters(claim)) return forced.has(this.idOf(claim));
    return [...forced].some((id) => id.startsWith(this.sessionId));
  }

  /** Whether one key may stand for several claims of its thread of control. */
  protected reenters(claim: WalkClaim): boolean {
    return this.onDisconnect === "release" && claim.request.reentryId !== "";
  }

  // -- What it may be told ---------------------------------------------------------------------------

  protected isGranted(claim: WalkClaim, token: bigint): void {
    claim.state = "held";
    claim.token = token;
    this.world.count("client: holds");
    this.around.register.check();
    this.use(claim);
  }

  /** A server said for good that a claim is over. */
  protected checkEnd(claim: WalkClaim, how: "denied" | "released", reason: Reason | undefined): void {
    if (how === "denied") this.checkDenial(claim, reason);
    if (how === "released" && claim.state !== "released") this.world.violation("RELEASED-UNASKED", this.idOf(claim));
    if (how === "released" && !this.reenters(claim)) this.around.questions?.released(claim);
    if (how === "denied" || !this.reenters(claim)) this.around.truth.isAnswered(this.idOf(claim), how);
  }

  private checkDenial(claim: WalkClaim, reason: Reason | undefined): void {
    const { request, askedAtRevision, askedAtTrueMs } = claim;
    if (claim.state === "held") this.world.violation("DENIED-HELD", `${this.idOf(claim)}: ${reason}`);
    if (reason === "busy" && request.waitMs !== 0) this.world.violation("BUSY-UNASKED", this.idOf(claim));
    if (
      (reason === "busy" || (reason === "conflicting-mode" && !this.reenters(claim))) &&
      !wasRefusedRightly(this.around.truth, reason, request.locks, askedAtRevision)
    )
      this.world.violation("BUSY-LIES", `${this.idOf(claim)}: ${reason}`);
    if (reason === "timeout" && this.world.nowMs - askedAtTrueMs < (request.waitMs ?? 0) * 0.97)
      this.world.violation("TIMEOUT-EARLY", this.idOf(claim));
  }

  protected checkLoss(claim: WalkClaim, how: string): void {
    if (!this.isForced(claim) && claim.state !== "released")
      this.world.violation("LOST-UNFORCED", `${this.name} ${this.idOf(claim)} ${how}`);
    this.world.count("client: told of a loss");
  }

  protected isUpdated(claim: WalkClaim, count: number, reason: string | undefined): void {
    const value = claim.updating.splice(0, count).at(-1);
    if (value === undefined) return;
    if (reason === undefined) {
      this.world.count("client: told that an update is done");
      if (!this.reenters(claim)) this.around.truth.isConfirmed(this.idOf(claim), value);
    } else if (reason === "not-found" && claim.state === "held" && !this.isForced(claim))
      this.world.violation("UPDATE-NOT-FOUND", this.idOf(claim));
  }
}
