import type { Entry } from "../../core/entry.ts";

/** Keys and what they have. Those of one lock are found without looking at any other's. */
export class KeyTable {
  /** By what comes before the session in the key of a claim; all other keys together. */
  private readonly buckets = new Map<string, Map<string, Entry>>();

  get(key: string): Entry | undefined {
    return this.buckets.get(bucketOf(key))?.get(key);
  }

  put(entry: Entry): void {
    const name = bucketOf(entry.key);
    const bucket = this.buckets.get(name);
    if (bucket === undefined) this.buckets.set(name, new Map([[entry.key, entry]]));
    else bucket.set(entry.key, entry);
  }

  delete(key: string): void {
    const name = bucketOf(key);
    const bucket = this.buckets.get(name);
    bucket?.delete(key);
    if (bucket?.size === 0) this.buckets.delete(name);
  }

  all(): readonly Entry[] {
    return [...this.buckets.values()].flatMap((bucket) => [...bucket.values()]);
  }

  startingWith(prefix: string): readonly Entry[] {
    const name = bucketOf(prefix);
    const candidates = name === "" ? this.all() : [...(this.buckets.get(name)?.values() ?? [])];
    return candidates.filter(({ key }) => key.startsWith(prefix));
  }
}

/** Empty: the key is of no lock. */
const bucketOf = (key: string): string => key.slice(0, Math.max(0, key.indexOf("//")));
