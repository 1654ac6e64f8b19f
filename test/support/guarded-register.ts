/** What a lock protects: refuses whoever comes with a token smaller than the largest it has seen. */
export class GuardedRegister {
  readonly written: { readonly token: bigint; readonly value: string }[] = [];
  #largest = 0n;

  /** Whether the value was written. */
  write(token: bigint, value: string): boolean {
    if (token < this.#largest) return false;
    this.#largest = token;
    this.written.push({ token, value });
    return true;
  }
}
