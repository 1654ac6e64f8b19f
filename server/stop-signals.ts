const names: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/** Signals that ask this process to end. */
export interface StopSignals extends Disposable {
  /** Resolves with the first of them. */
  readonly first: Promise<NodeJS.Signals>;
}

/** Listens to signals until disposed of; from the second on it calls `again`. */
export function listenToStopSignals(again: () => void): StopSignals {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let count = 0;
  const listener = (name: NodeJS.Signals) => {
    if (++count === 1) resolve(name);
    else again();
  };
  for (const name of names) process.on(name, listener);
  return {
    first: promise,
    [Symbol.dispose]() {
      for (const name of names) process.off(name, listener);
    },
  };
}
