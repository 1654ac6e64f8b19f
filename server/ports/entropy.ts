/** What nobody may guess. */
export interface Entropy {
  /** A random id that was never used before: 22 characters of [A-Za-z0-9_-], the first no "-". */
  newId(): string;
  /** A random secret, likewise, of at least 128 bits. */
  newSecret(): string;
  /** SHA-256 of a text, in lower-case hexadecimal. */
  hash(text: string): string;
}
