import type { Denied, GrantedLock, LockSpec, PreviousHolder, Waiting } from "./frames.ts";
import type { HeldLock } from "./held-lock.ts";
import { HoldfastError, LockLostError } from "./holdfast-error.ts";
import { claimValue } from "./lock-request.ts";
import type { Failure, Reason } from "./reason.ts";
import type { ClaimOwner, SessionRuntime } from "./session-runtime.ts";

/** What is known of the queue while waiting. */
export interface QueuePlace {
  /** The lock it is about: of several, the one with the most claims before this one. */
  readonly lock: string;
  /** The place among those who wait: 1 is next. */
  readonly position: number;
  /** Who holds the lock, oldest grant first, at most 10. Empty: only waiters are before this claim. */
  readonly holders: Waiting["holders"];
  readonly holderCount: number;
}

type Stage =
  | { readonly kind: "wanted" }
  | { readonly kind: "held" }
  /** `released` rests on what was true at the time of the release. */
  | { readonly kind: "released"; readonly gone: PromiseWithResolvers<"released"> }
  | { readonly kind: "lost"; readonly loss: LockLostError };

/** A claim from its acquire to its end: the promise for it first, then the lock that is held. */
export class LockClaim implements HeldLock, ClaimOwner {
  readonly #runtime: SessionRuntime;
  readonly #claimId: bigint;
  readonly #names: string;
  readonly #onWaiting: ((place: QueuePlace) => void) | undefined;
  readonly #grant = Promise.withResolvers<LockClaim>();
  #stage: Stage = { kind: "wanted" };
  #locks: readonly GrantedLock[];
  // Thousands of locks come and go without anybody looking at their signals.
  #controller: AbortController | undefined;
  #updates: PromiseWithResolvers<void>[] = [];

  constructor(
    runtime: SessionRuntime,
    claimId: bigint,
    { locks, onWaiting }: { locks: readonly LockSpec[]; onWaiting: ((place: QueuePlace) => void) | undefined },
  ) {
    this.#runtime = runtime;
    this.#claimId = claimId;
    this.#names = locks.map(({ name }) => `"${name}"`).join(", ");
    this.#locks = locks.map(({ name }) => ({ name, token: 0n }));
    this.#onWaiting = onWaiting;
  }

  /** Resolves with this when it is granted. */
  get whenGranted(): Promise<LockClaim> {
    return this.#grant.promise;
  }

  /** Gives up waiting. A grant that crosses this on its way is given back by itself. */
  cancel(cause: unknown): void {
    if (this.#stage.kind !== "wanted") return;
    this.#grant.reject(new HoldfastError("aborted", `waiting for ${this.#names} was aborted`, { cause }));
    this.#giveUp();
  }

  // -- What the holder sees --------------------------------------------------------------------------

  get name(): string {
    return this.#locks[0]!.name;
  }

  get token(): bigint {
    return this.#locks[0]!.token;
  }

  get previous(): PreviousHolder | undefined {
    return this.#locks[0]!.previous;
  }

  get locks(): readonly GrantedLock[] {
    return this.#locks;
  }

  get held(): boolean {
    this.#runtime.look();
    return this.#stage.kind === "held";
  }

  get remainingMs(): number {
    return this.held ? this.#runtime.remainingMs : 0;
  }

  get loss(): LockLostError | undefined {
    this.#runtime.look();
    return this.#stage.kind === "lost" ? this.#stage.loss : undefined;
  }

  get signal(): AbortSignal {
    this.#runtime.look();
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#stage.kind === "lost") this.#controller.abort(this.#stage.loss);
    }
    return this.#controller.signal;
  }

  onLost(listener: (loss: LockLostError) => void): void {
    const { signal } = this;
    const tell = (): void => listener(signal.reason);
    if (signal.aborted) tell();
    else signal.addEventListener("abort", tell, { once: true });
  }

  async release(): Promise<"released" | "lost"> {
    this.#runtime.look();
    if (this.#stage.kind === "held") this.#giveUp();
    return this.#stage.kind === "released" ? this.#stage.gone.promise : "lost";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  async update(value: string | Uint8Array): Promise<void> {
    const bytes = claimValue(value);
    this.#runtime.look();
    if (this.#stage.kind !== "held") throw this.#notHeld();
    const answer = Promise.withResolvers<void>();
    this.#updates.push(answer);
    this.#runtime.update(this.#claimId, bytes);
    return answer.promise;
  }

  #giveUp(): void {
    this.#stage = { kind: "released", gone: Promise.withResolvers() };
    this.#rejectUpdates();
    this.#runtime.release(this.#claimId);
  }

  #notHeld(): HoldfastError {
    if (this.#stage.kind === "lost") return this.#stage.loss;
    return new HoldfastError("not-found", `${this.#names} was released, so its value cannot be replaced`);
  }

  #rejectUpdates(): void {
    for (const update of this.#updates) update.reject(this.#notHeld());
    this.#updates = [];
  }

  // -- What becomes of the claim ---------------------------------------------------------------------

  waiting({ lock, position, holders, holderCount }: Waiting): void {
    const onWaiting = this.#onWaiting;
    // Whatever it throws is the program's, and not to be met in the middle of a frame.
    if (onWaiting !== undefined) queueMicrotask(() => onWaiting({ lock, position, holders, holderCount }));
  }

  granted(locks: readonly GrantedLock[]): void {
    if (this.#stage.kind !== "wanted") return;
    this.#locks = locks;
    this.#stage = { kind: "held" };
    this.#grant.resolve(this);
  }

  denied({ reason, message, lock, holders, holderCount }: Denied): void {
    this.#grant.reject(new HoldfastError(reason, message, { lock: lock || this.name, holders, holderCount }));
  }

  lost({ reason, message }: Failure): void {
    if (this.#stage.kind !== "held") return;
    const loss = new LockLostError(reason, `lost ${this.#names}: ${message}`, { lock: this.name });
    this.#stage = { kind: "lost", loss };
    this.#rejectUpdates();
    this.#controller?.abort(loss);
  }

  released(): void {
    if (this.#stage.kind === "released") this.#stage.gone.resolve("released");
  }

  updated(count: number, reason: Reason | undefined, message: string): void {
    for (const update of this.#updates.splice(0, count)) {
      if (reason === undefined) update.resolve();
      else update.reject(new HoldfastError(reason, message, { lock: this.name }));
    }
  }
}
