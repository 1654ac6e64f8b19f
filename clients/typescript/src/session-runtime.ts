import { connectTo } from "./channel.ts";
import { connectionProblem } from "./connection-problem.ts";
import type { ClaimRequest, Denied, GrantedLock, Waiting } from "./frames.ts";
import { HoldfastError } from "./holdfast-error.ts";
import type { Settings } from "./options.ts";
import type { Failure, Reason } from "./reason.ts";
import { type Effect, type Instant, SessionMachine } from "./session-machine.ts";
import { SessionStream } from "./session-stream.ts";

/** Who is told what becomes of a claim. After `denied`, `lost` and `released` nothing more. */
export interface ClaimOwner {
  waiting(event: Waiting): void;
  granted(locks: readonly GrantedLock[]): void;
  denied(denial: Denied): void;
  lost(why: Failure): void;
  released(): void;
  /** The first `count` unanswered updates are answered. `reason` absent: the value was replaced. */
  updated(count: number, reason: Reason | undefined, message: string): void;
}

/** Node's timers take no more. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Runs a session machine: gives it the time, its streams, a timer and the end of each turn of the event loop, and
 * does what it decides. Effects are done in order, also when doing one leads to another input; owners must not
 * throw.
 */
export class SessionRuntime {
  readonly #settings: Settings;
  readonly #machine: SessionMachine;
  readonly #streams = new Map<number, SessionStream>();
  readonly #owners = new Map<bigint, ClaimOwner>();
  readonly #effects: Effect[] = [];
  #isRunning = false;
  #isFlushDue = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #opening: PromiseWithResolvers<void> | undefined;
  #closing: PromiseWithResolvers<void> | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#machine = new SessionMachine({
      ...settings,
      random: Math.random,
    });
  }

  get sessionId(): string | undefined {
    return this.#machine.sessionId;
  }

  /** Where the service can be reached, as far as is known now. At least one. */
  get addresses(): readonly string[] {
    return this.#machine.addresses;
  }

  /** How long the session may still be believed if nothing more is heard; 0 if there is none. */
  get remainingMs(): number {
    return this.#machine.remainingMsAt(now());
  }

  /** Looks at the clocks: whatever may not be believed any more is lost when this returns. */
  look(): void {
    this.#run(this.#machine.tick(now()));
  }

  /** Resolves when there is a session. Rejects with `HoldfastError` as an acquire would. */
  open(): Promise<void> {
    this.#opening ??= Promise.withResolvers();
    const { promise } = this.#opening;
    this.#run(this.#machine.open(now()));
    return promise;
  }

  /** Wants a claim, for the owner that is made with its id; it may be told at once what becomes of it. */
  acquire<Owner extends ClaimOwner>(request: ClaimRequest, makeOwner: (claimId: bigint) => Owner): Owner {
    const { claimId, effects } = this.#machine.acquire(request, now());
    const owner = makeOwner(claimId);
    this.#owners.set(claimId, owner);
    this.#run(effects);
    return owner;
  }

  release(claimId: bigint): void {
    this.#run(this.#machine.release(claimId, now()));
  }

  update(claimId: bigint, value: Uint8Array): void {
    this.#run(this.#machine.update(claimId, value, now()));
  }

  /** Ends everything. Resolves when the server said so, or `closeTimeoutMs` has passed. */
  close(): Promise<void> {
    this.#closing ??= Promise.withResolvers();
    const { promise } = this.#closing;
    this.#run(this.#machine.close(now()));
    return promise;
  }

  // -- Doing what the machine decided ----------------------------------------------------------------

  #run(effects: readonly Effect[]): void {
    for (const effect of effects) this.#effects.push(effect);
    if (!this.#isRunning) {
      this.#isRunning = true;
      for (let i = 0; i < this.#effects.length; i++) this.#do(this.#effects[i]!);
      this.#effects.length = 0;
      this.#isRunning = false;
    }
    this.#arm();
  }

  #do(effect: Effect): void {
    switch (effect.kind) {
      case "dial":
        return this.#dial(effect.streamNo, effect.address);
      case "send":
        return this.#streams.get(effect.streamNo)?.send(effect.commands);
      case "abandon":
        this.#streams.get(effect.streamNo)?.abandon();
        this.#streams.delete(effect.streamNo);
        return;
      case "opened":
        this.#opening?.resolve();
        this.#opening = undefined;
        return;
      case "not-opened":
        this.#opening?.reject(new HoldfastError(effect.reason, `no session: ${effect.message}`));
        this.#opening = undefined;
        return;
      case "waiting":
        return this.#owners.get(effect.claimId)?.waiting(effect);
      case "granted":
        return this.#owners.get(effect.claimId)?.granted(effect.locks);
      case "updated":
        return this.#owners.get(effect.claimId)?.updated(effect.count, effect.reason, effect.message);
      case "denied":
        return this.#ownerOfEnded(effect.claimId)?.denied(effect);
      case "lost":
        return this.#ownerOfEnded(effect.claimId)?.lost(effect);
      case "released":
        return this.#ownerOfEnded(effect.claimId)?.released();
      case "closed":
        this.#closing?.resolve();
        return;
      default:
        effect satisfies never;
    }
  }

  #ownerOfEnded(claimId: bigint): ClaimOwner | undefined {
    const owner = this.#owners.get(claimId);
    this.#owners.delete(claimId);
    return owner;
  }

  #dial(streamNo: number, address: string): void {
    const machine = this.#machine;
    const stream = new SessionStream(connectTo(address, this.#settings), {
      connected: () => this.#run(machine.connected(streamNo, now())),
      received: (events) => this.#run(machine.received(streamNo, events, now())),
      ended: ({ reason, message }) => {
        this.#streams.delete(streamNo);
        const usesTls = this.#settings.tls !== undefined;
        const problem = reason === "unreachable" ? connectionProblem(message, usesTls) : message;
        this.#run(machine.broken(streamNo, { reason, message: `${address}: ${problem}` }, now()));
      },
    });
    this.#streams.set(streamNo, stream);
  }

  // -- Time ------------------------------------------------------------------------------------------

  /** Sees to it that the machine is called when it wants to be: at the end of this turn, and at its wake time. */
  #arm(): void {
    if (this.#machine.hasCommands && !this.#isFlushDue) {
      this.#isFlushDue = true;
      // After everything that is ready in this turn of the event loop, so that it travels in one frame.
      setImmediate(() => {
        this.#isFlushDue = false;
        this.#run(this.#machine.flush(now()));
      });
    }
    const atMs = this.#machine.wakeAtMs;
    // A timer that fires too early costs less than one that is set anew with every input.
    if (atMs < this.#timerAtMs || atMs === Number.POSITIVE_INFINITY) this.#setTimer(atMs);
  }

  #setTimer(atMs: number): void {
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    if (atMs === Number.POSITIVE_INFINITY) return;
    const inMs = Math.min(LONGEST_TIMER_MS, Math.max(1, Math.ceil(atMs - performance.now())));
    // Not unref'd: a program that holds a lock and has nothing else to do must not end, nor forget to heartbeat.
    this.#timer = setTimeout(() => {
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      this.#run(this.#machine.tick(now()));
    }, inMs);
  }
}

function now(): Instant {
  return { nowMs: performance.now(), wallMs: Date.now() };
}
