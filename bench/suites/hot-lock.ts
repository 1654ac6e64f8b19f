import { Generator, measured } from "../process/generator.ts";
import type { Scale } from "../scale.ts";
import type { Cell, Suite } from "./suite.ts";

/** Sessions that the waiters share where they do not have one each. */
const SHARED = 16;

/** One lock that many want: its queue emptied once (drain), and fought over for a while (loop). */
export const hotLock: Suite = {
  name: "hot",
  groups: (scale) =>
    (["drain", "loop"] as const).map((kind) => ({
      rounds: scale.rounds,
      cells: [
        peer(kind, "mutex", scale),
        peer(kind, "v3lock", scale),
        holdfast(kind, "client", scale, scale.waiters),
        holdfast(kind, "stub", scale, scale.waiters),
        holdfast(kind, "stub", scale, SHARED),
      ],
    })),
};

function peer(kind: string, system: string, { waiters, hotWarmupSeconds, seconds }: Scale): Cell {
  const flags = [
    ...["-system", system],
    ...["-waiters", `${waiters}`],
    ...["-warmup", `${hotWarmupSeconds}`],
    ...["-seconds", `${seconds}`],
  ];
  return {
    row: `hot/${kind}/${system}`,
    measure: ({ peers, etcd }) => measured(Generator.program(peers, kind, "-endpoint", etcd.endpoint, ...flags)),
  };
}

function holdfast(kind: string, way: "client" | "stub", scale: Scale, sessions: number): Cell {
  return {
    row: `hot/${kind}/${sessions === scale.waiters ? way : `${way}-shared`}`,
    measure: ({ server }) =>
      measured(
        Generator.node(
          "load.ts",
          kind,
          ...["--way", way],
          ...["--address", server.address],
          ...["--waiters", `${scale.waiters}`],
          ...["--sessions", `${sessions}`],
          ...["--warmup", `${scale.hotWarmupSeconds}`],
          ...["--seconds", `${scale.seconds}`],
        ),
      ),
  };
}
