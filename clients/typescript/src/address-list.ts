/**
 * Where a service can be reached: what the program configured, and what servers tell of the others. The next one to
 * try is that which was tried longest ago, so that a server that has just failed or goes away is tried last.
 */
export class AddressList {
  readonly #configured: readonly string[];
  readonly #random: () => number;
  /** The next to try first. */
  #queue: readonly string[];
  /** What a server told last. */
  #told: ReadonlySet<string> = new Set();
  /** Those of the queue that were tried. */
  #tried: ReadonlySet<string> = new Set();
  #last: string | undefined;
  /** Where the client is. */
  #current: string | undefined;

  /** Takes the configured ones, at least one, in turn from a random one on. */
  constructor(configured: readonly string[], random: () => number) {
    const first = Math.floor(random() * configured.length);
    this.#configured = [...new Set(configured)];
    this.#random = random;
    this.#queue = [...new Set([...configured.slice(first), ...configured.slice(0, first)])];
  }

  /** All that are known, the next to try first. */
  get all(): readonly string[] {
    return this.#queue;
  }

  /** The next to try. It comes last from now on. */
  next(): string {
    const [first, ...rest] = this.#queue as [string, ...string[]];
    this.#queue = [...rest, first];
    this.#tried = new Set([...this.#tried, first]);
    this.#last = first;
    return first;
  }

  /** The client is now where it tried last. */
  arrived(): void {
    this.#current = this.#last;
  }

  /**
   * A server has told of the others. Those that it does not name any more are forgotten when they are not named the
   * next time either, for one that restarts is away for a moment; but never the program's own, nor that where the
   * client is, which does not name itself. What is new is tried before all that was tried, and at a random place among
   * what was not, so that the clients of a server that fails do not all go to the same one.
   */
  learn(told: readonly string[]): void {
    const others = new Set(told);
    const first: string[] = [];
    const named: string[] = [];
    const unnamed: string[] = [];
    for (const address of this.#queue) {
      if (others.has(address) && !this.#tried.has(address)) first.push(address);
      else if (others.has(address) || this.#configured.includes(address)) named.push(address);
      else if (this.#told.has(address) || address === this.#last || address === this.#current) unnamed.push(address);
    }
    for (const address of others)
      if (!this.#queue.includes(address)) first.splice(Math.floor(this.#random() * (first.length + 1)), 0, address);
    const rest = [...named, ...unnamed];
    this.#queue = [...first, ...rest];
    this.#tried = new Set(rest.filter((address) => this.#tried.has(address)));
    this.#told = others;
  }
}
