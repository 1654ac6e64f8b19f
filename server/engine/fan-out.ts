import type { Telemetry } from "../ports/telemetry.ts";

/** Tells each of several what is noted, in order. */
export function fanOut(first: Telemetry, second: Telemetry, third: Telemetry): Telemetry {
  // Written out: this is called some ten thousand times a second.
  return {
    note(note) {
      first.note(note);
      second.note(note);
      third.note(note);
    },
  };
}
