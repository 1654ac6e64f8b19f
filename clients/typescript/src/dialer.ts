import { AddressList } from "./address-list.ts";

/** The first pause before another attempt; doubled each time. */
const FIRST_REST_MS = 50;
const LONGEST_REST_MS = 5000;

type State =
  | { readonly kind: "idle" }
  | { readonly kind: "resting"; readonly untilMs: number }
  | { readonly kind: "dialing"; readonly streamNo: number; readonly giveUpMs: number };

/**
 * The way to the next stream: one attempt at a time, each to the address that was tried longest ago, with pauses
 * between attempts that failed.
 */
export class Dialer {
  readonly addresses: AddressList;
  readonly #random: () => number;
  #state: State = { kind: "idle" };
  #streamCount = 0;
  #failures = 0;

  constructor(addresses: readonly string[], random: () => number) {
    this.addresses = new AddressList(addresses, random);
    this.#random = random;
  }

  get isIdle(): boolean {
    return this.#state.kind === "idle";
  }

  /** When there is something to do at the latest: a pause ends, or an attempt has taken too long. */
  get wakeAtMs(): number {
    if (this.#state.kind === "idle") return Number.POSITIVE_INFINITY;
    return this.#state.kind === "resting" ? this.#state.untilMs : this.#state.giveUpMs;
  }

  /** The number of the stream that is being dialed. */
  get streamNo(): number | undefined {
    return this.#state.kind === "dialing" ? this.#state.streamNo : undefined;
  }

  /** Begins an attempt, which fails at `giveUpMs`. */
  start(giveUpMs: number): { readonly streamNo: number; readonly address: string } {
    const address = this.addresses.next();
    this.#streamCount++;
    this.#state = { kind: "dialing", streamNo: this.#streamCount, giveUpMs };
    return { streamNo: this.#streamCount, address };
  }

  stop(): void {
    this.#state = { kind: "idle" };
  }

  /** What failed before says nothing about what comes. */
  forgetFailures(): void {
    this.#failures = 0;
  }

  /** Pauses after a failure: exponential, with full jitter, never longer than `longestMs` or 5 s. */
  restAfterFailure(nowMs: number, longestMs: number): void {
    const boundMs = Math.min(LONGEST_REST_MS, longestMs, FIRST_REST_MS * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 20);
    this.rest(nowMs, boundMs);
  }

  /** Pauses for a random part of `boundMs`. */
  rest(nowMs: number, boundMs: number): void {
    this.#state = { kind: "resting", untilMs: nowMs + this.#random() * boundMs };
  }

  /** Ends a pause whose time has come. */
  tick(nowMs: number): void {
    if (this.#state.kind === "resting" && nowMs >= this.#state.untilMs) this.stop();
  }
}
