import { monitorEventLoopDelay } from "node:perf_hooks";

const RESOLUTION_MS = 20;
/** For how long the worst is remembered at least; at most twice as long. */
const WINDOW_MS = 5_000;

/** Watches how late the event loop is. */
export interface EventLoop extends Disposable {
  /** The longest delay of about the last 10 s, in milliseconds. */
  worstMs(): number;
}

/** Begins to watch, until disposed of. */
export function watchEventLoop(): EventLoop {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  let before = 0;
  // What it records is the time between two looks, the one that was asked for included.
  const worst = () => (delay.count === 0 ? 0 : Math.max(0, delay.max / 1e6 - RESOLUTION_MS));
  const turn = setInterval(() => {
    before = worst();
    delay.reset();
  }, WINDOW_MS).unref();
  return {
    worstMs: () => Math.max(before, worst()),
    [Symbol.dispose]() {
      clearInterval(turn);
      delay.disable();
    },
  };
}
