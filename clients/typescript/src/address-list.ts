/**
 * Where a service can be reached: what the program configured, and what servers tell of the others. The next one to
 * try is that which was tried longest ago, so that a server that has just failed or goes away is tried last.
 */
export class AddressList {
  readonly #configured: readonly string[];
  readonly #random: () => number;
  /** The next to try first. */
  #queue: readonly string[];
  #last: string | undefined;

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
    this.#last = first;
    return first;
  }

  /**
   * A server has told of the others: they replace those that were told of before, but for the one that was tried
   * last, which does not name itself. New ones are tried before all else, in random order, so that the clients of a
   * server that fails do not all go to the same one.
   */
  learn(told: readonly string[]): void {
    const kept = new Set([...this.#configured, ...told, this.#last]);
    const fresh = [...new Set(told)].filter((address) => !this.#queue.includes(address));
    this.#queue = [...shuffled(fresh, this.#random), ...this.#queue.filter((address) => kept.has(address))];
  }
}

function shuffled(items: readonly string[], random: () => number): string[] {
  const rest = [...items];
  const order: string[] = [];
  while (rest.length > 0) order.push(...rest.splice(Math.floor(random() * rest.length), 1));
  return order;
}
