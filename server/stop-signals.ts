const names: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/** What comes so soon after the first is the same: make, npm and supervisors pass on what a whole group was sent. */
const ECHO_MS = 500;

/** Signals that ask this process to end. */
export interface StopSignals extends Disposable {
  /** Resolves with the first of them. */
  readonly first: Promise<NodeJS.Signals>;
}

/** Listens to signals until disposed of. Calls `again` for every one that comes half a second after the first or later. */
export function listenToStopSignals(again: () => void): StopSignals {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let firstAtMs: number | undefined;
  const listener = (name: NodeJS.Signals) => {
    if (firstAtMs === undefined) {
      firstAtMs = performance.now();
      resolve(name);
    } else if (performance.now() - firstAtMs >= ECHO_MS) again();
  };
  for (const name of names) process.on(name, listener);
  return {
    first: promise,
    [Symbol.dispose]() {
      for (const name of names) process.off(name, listener);
    },
  };
}
