import { Generator } from "../process/generator.ts";
import type { Figures } from "../report/book.ts";
import { median } from "../report/statistics.ts";
import type { Bench, Suite } from "./suite.ts";

/** Of the sessions that outlive their stream. */
export const KEEP_TTL_SECONDS = 2;

/** The holder's process is killed: when the next one has the lock. */
export const handover: Suite = {
  name: "handover",
  groups: ({ killsRelease, killsKeep }) => [
    {
      rounds: 1,
      cells: [
        { row: "handover/release", measure: (bench) => measure(bench, "--times", `${killsRelease}`) },
        {
          row: "handover/keep",
          measure: (bench) =>
            measure(bench, "--keep", "--times", `${killsKeep}`, "--ttl-seconds", `${KEEP_TTL_SECONDS}`),
        },
      ],
    },
  ],
};

async function measure({ server }: Bench, ...flags: readonly string[]): Promise<Figures> {
  const load = Generator.node("handover.ts", "--address", server.address, ...flags);
  const { ms } = await load.end<{ ms: readonly number[] }>();
  return { medianMs: median(ms), maxMs: Math.max(...ms) };
}
