import { useEffect, useState } from "preact/hooks";

/** Something that changes, and those who want to hear of it. */
export class Value<T> {
  #current: T;
  readonly #listeners = new Set<() => void>();

  constructor(initial: T) {
    this.#current = initial;
  }

  get(): T {
    return this.#current;
  }

  /** Takes a new value and tells everybody, unless it is the same. */
  set(next: T): void {
    if (Object.is(next, this.#current)) return;
    this.#current = next;
    for (const listener of this.#listeners) listener();
  }

  /** Calls back after each change, until what is returned is called. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** A value in a component, which is drawn again when it changes. */
export function useValue<T>(value: Value<T>): T {
  const [, redraw] = useState({});
  useEffect(() => {
    const seen = value.get();
    const end = value.subscribe(() => redraw({}));
    // It may have changed between drawing and now.
    if (!Object.is(seen, value.get())) redraw({});
    return end;
  }, [value]);
  return value.get();
}
