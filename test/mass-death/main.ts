/**
 * Has 5,000 sessions die at once, in each way and on each disk, and judges how the others fared: `make mass-death`. Needs
 * root on Linux for the slow disk, and a machine that does nothing else. `--sessions N`, `--disk MS`, `--end keep`.
 */
import { parseArgs } from "node:util";
import { describeResult, type MassDeathOptions, runMassDeath } from "./mass-death.ts";

/** What has to be reached (issue: "Mass death"). */
const ACKS_P99_MS = 100;
const HAND_OVER_MS = 2_000;

const { values } = parseArgs({
  options: {
    sessions: { type: "string", default: "5000" },
    /** Delay of each fdatasync of etcd, in milliseconds; several, with commas. */
    disk: { type: "string", default: "0,10" },
    end: { type: "string", default: "keep,release" },
    servers: { type: "string", default: "1" },
    /** Prints what the servers logged, opened and ended sessions left out. */
    logs: { type: "boolean", default: false },
  },
});

const runs: MassDeathOptions[] = values.disk.split(",").flatMap((disk) =>
  values.end.split(",").map((end) => ({
    sessions: Number(values.sessions),
    servers: Number(values.servers),
    end: end === "release" ? "release" : "keep",
    diskDelayMs: Number(disk),
  })),
);

for (const options of runs) {
  const { sessions, end, diskDelayMs } = options;
  const result = await runMassDeath(options);
  const isReached =
    result.lost === 0 && result.acks.p99Ms < ACKS_P99_MS && result.handOver.lastMs < HAND_OVER_MS
      ? "reached"
      : "MISSED";
  console.log(
    `${sessions} sessions, ${end}, disk delayed by ${diskDelayMs} ms: ${isReached}\n${describeResult(result)}`,
  );
  if (values.logs) console.log(result.logs.replaceAll(/.*session\.(opened|ended).*\n/g, ""));
  if (isReached !== "reached") process.exitCode = 1;
}
