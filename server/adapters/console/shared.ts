/** Something that pages use together: it is there while at least one uses it. */
interface Shared<Value> {
  readonly value: Value;
  users: number;
}

/** Things by key, made when they are first used and closed when nobody uses them any more. */
export class SharedThings<Value extends { close(): void }> {
  readonly #things = new Map<string, Shared<Value>>();

  /** Returns the thing and what gives it back, to be called once. */
  use(key: string, make: () => Value): { readonly value: Value; readonly giveBack: () => void } {
    const thing = this.#things.get(key) ?? { value: make(), users: 0 };
    this.#things.set(key, thing);
    thing.users++;
    return {
      value: thing.value,
      giveBack: () => {
        thing.users--;
        if (thing.users > 0) return;
        this.#things.delete(key);
        thing.value.close();
      },
    };
  }
}
