/** Collects what arrives, and lets a test wait for the first item of a kind. */
export class Inbox<Item> {
  readonly items: Item[] = [];
  #seekers: { readonly look: () => boolean; readonly fail: (error: Error) => void }[] = [];
  #ended: string | undefined;

  add(item: Item): void {
    if (this.#ended !== undefined) return;
    this.items.push(item);
    this.#seekers = this.#seekers.filter(({ look }) => !look());
  }

  /** Nothing arrives any more: who waits is told why. */
  end(why: string): void {
    this.#ended ??= why;
    for (const { fail } of this.#seekers.splice(0)) fail(new Error(this.#ended));
  }

  /** Resolves with the first item, from `from` on, for which `find` returns something. */
  first<Found>(find: (item: Item) => Found | undefined, from = 0): Promise<Found> {
    let at = from;
    return new Promise((resolve, reject) => {
      const look = (): boolean => {
        while (at < this.items.length) {
          const found = find(this.items[at++]!);
          if (found === undefined) continue;
          resolve(found);
          return true;
        }
        return false;
      };
      if (look()) return;
      if (this.#ended !== undefined) reject(new Error(this.#ended));
      else this.#seekers.push({ look, fail: reject });
    });
  }
}
