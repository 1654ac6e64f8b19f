import { Generator } from "../process/generator.ts";
import { settledBytes } from "../process/usage.ts";
import type { Figures } from "../report/book.ts";
import { median } from "../report/statistics.ts";
import { lostOf, warmUp } from "./idle.ts";
import type { Bench, Suite } from "./suite.ts";
import { pairs } from "./uncontended.ts";

/** Many claims in the lock table, half of them waiting: what one costs, and whether the others feel it. */
export const claims: Suite = {
  name: "claims",
  groups: () => [{ rounds: 1, cells: [{ row: "claims", measure }] }],
};

async function measure(bench: Bench): Promise<Figures> {
  const { scale, startServer } = bench;
  await using server = await startServer();
  await warmUp(server.address);
  const load = Generator.node(
    "idle.ts",
    ...["--address", server.address],
    ...["--sessions", `${scale.claimSessions}`],
    ...["--claims", `${scale.claimsPerSession}`],
    ...["--ttl-seconds", "60"],
  );
  await load.line();
  const before = await settledBytes(server.pid, scale.patienceMs);
  load.tell("claim");
  const { claimed } = await load.line<{ claimed: number }>();
  const after = await settledBytes(server.pid, scale.patienceMs);
  const besidePerSecond = await pairsPerSecond({ ...bench, server });
  const lost = await lostOf(load);
  return {
    claims: claimed,
    claimBytes: (after - before) / claimed,
    residentBytes: after,
    besidePerSecond,
    alonePerSecond: await pairsPerSecond({ ...bench, server }),
    lost,
  };
}

/** On other locks, 64 in flight: the median over the rounds. */
async function pairsPerSecond(bench: Bench): Promise<number> {
  const values: number[] = [];
  for (let round = 0; round < bench.scale.rounds; round++) {
    const { perSecond } = await pairs("stub", bench.scale, 64).measure(bench);
    values.push(perSecond!);
  }
  return median(values);
}
