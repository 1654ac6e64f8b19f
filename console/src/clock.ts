import { live } from "./topics.ts";
import { useValue, Value } from "./value.ts";

const tick = new Value(Date.now());
setInterval(() => tick.set(Date.now()), 1_000);

/** The server's time in milliseconds, anew each second: ages are counted from its clock, not from ours. */
export function useServerNow(): number {
  return useValue(tick) + useValue(live.skewMs);
}

/** Our own time in milliseconds, anew each second. */
export const useNow = (): number => useValue(tick);
