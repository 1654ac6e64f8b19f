/** A class of locks: those whose names match one of its patterns. */
export interface LockClass {
  readonly name: string;
  readonly patterns: readonly string[];
}

/** How many classes there may be: each multiplies the time series. */
const MAX_CLASSES = 20;
/** Names that were looked up are remembered, so that a hot lock costs one look into a map. */
const REMEMBERED = 4_096;

/** What `class` says of a lock that matches none. */
const OTHER_CLASS = "other";

/**
 * Reads "orders=orders/*,jobs=nightly/*,jobs=hourly/*": class and pattern, several with commas; the first that matches
 * counts. `*` stands for any characters, everything else for itself. Empty: no classes.
 *
 * Throws with what is wrong.
 */
export function parseLockClasses(text: string): readonly LockClass[] {
  const classes = new Map<string, string[]>();
  for (const part of text.split(",").map((one) => one.trim())) {
    if (part === "") continue;
    const [, name, pattern] = /^([a-z][a-z0-9_-]{0,31})=(.+)$/.exec(part) ?? [];
    if (name === undefined || pattern === undefined)
      throw new Error(`"${part}" is no class and pattern, such as orders=orders/*`);
    if (name === OTHER_CLASS) throw new Error(`"${OTHER_CLASS}" is what locks are that match no pattern`);
    classes.set(name, [...(classes.get(name) ?? []), pattern]);
  }
  if (classes.size > MAX_CLASSES) throw new Error(`${classes.size} classes: at most ${MAX_CLASSES} are allowed`);
  return [...classes].map(([name, patterns]) => ({ name, patterns }));
}

/** All that `classifier` can say; empty if there are no classes. */
export function classNames(classes: readonly LockClass[]): readonly string[] {
  return classes.length === 0 ? [] : [...classes.map(({ name }) => name), OTHER_CLASS];
}

/** Tells the class of a lock by its name; `undefined` of every one if there are no classes. */
export function classifier(classes: readonly LockClass[]): (lock: string) => string | undefined {
  if (classes.length === 0) return () => undefined;
  const known = new Map<string, string>();
  return (lock) => {
    let found = known.get(lock);
    if (found === undefined) {
      found = classes.find(({ patterns }) => patterns.some((pattern) => fits(lock, pattern)))?.name ?? OTHER_CLASS;
      if (known.size >= REMEMBERED) known.clear();
      known.set(lock, found);
    }
    return found;
  };
}

/**
 * Whether a name is what a pattern says. No regular expression: with several stars one could take years, and names
 * are chosen by clients.
 */
function fits(name: string, pattern: string): boolean {
  const [first, ...rest] = pattern.split("*") as [string, ...string[]];
  const last = rest.pop();
  if (last === undefined) return name === pattern;
  if (!name.startsWith(first) || name.length < first.length + last.length || !name.endsWith(last)) return false;
  // What is between the stars, each as early as it can be: then there is most room for what follows.
  let at = first.length;
  const end = name.length - last.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
