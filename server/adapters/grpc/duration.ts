import type { Duration } from "../../gen/google/protobuf/duration.ts";

/** The longest that `google/protobuf/duration.proto` allows: 10,000 years. */
const MAX_SECONDS = 315_576_000_000n;

/** Milliseconds, possibly a fraction; `undefined` if the parts are out of range or disagree about the sign. */
export function readDuration({ seconds, nanos }: Duration): number | undefined {
  if (seconds > MAX_SECONDS || seconds < -MAX_SECONDS) return undefined;
  if (nanos > 999_999_999 || nanos < -999_999_999) return undefined;
  if ((seconds > 0n && nanos < 0) || (seconds < 0n && nanos > 0)) return undefined;
  return Number(seconds) * 1000 + nanos / 1e6;
}

/** Whole milliseconds, rounded down: of what is told to a client, more than there is would be unsafe. */
export function writeDuration(ms: number): Duration {
  const whole = Math.max(0, Math.floor(ms));
  return { seconds: BigInt(Math.floor(whole / 1000)), nanos: (whole % 1000) * 1e6 };
}

/** Milliseconds to the nanosecond: of what was measured. */
export function writeExactDuration(ms: number): Duration {
  const ns = Math.max(0, Math.round(ms * 1e6));
  const seconds = Math.floor(ns / 1e9);
  return { seconds: BigInt(seconds), nanos: ns - seconds * 1e9 };
}
