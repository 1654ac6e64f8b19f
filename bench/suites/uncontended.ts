import { Generator, measured } from "../process/generator.ts";
import type { Figures } from "../report/book.ts";
import type { Scale } from "../scale.ts";
import type { Bench, Cell, Suite } from "./suite.ts";

/** Operations in flight that share a session, ours or a peer's: as the threads of one program would. */
const PER_SESSION = 64;

/** More leases at a time than this, and npm's `etcd3` measures only how fast etcd makes them. */
const ETCD3_IN_FLIGHT = 64;

/** Lock and unlock on locks that nobody else wants. */
export const uncontended: Suite = {
  name: "uncontended",
  groups: (scale) => scale.inFlight.map((inFlight) => ({ rounds: scale.rounds, cells: cellsOf(scale, inFlight) })),
};

function cellsOf(scale: Scale, inFlight: number): readonly Cell[] {
  return [
    peer("puts", scale, inFlight),
    peer("mutex", scale, inFlight),
    peer("v3lock", scale, inFlight),
    ...(inFlight <= ETCD3_IN_FLIGHT ? [pairs("etcd3", scale, inFlight)] : []),
    pairs("client", scale, inFlight),
    pairs("stub", scale, inFlight),
  ];
}

function peer(load: "puts" | "mutex" | "v3lock", scale: Scale, inFlight: number): Cell {
  const flags = [
    ...["-in-flight", `${inFlight}`],
    ...["-warmup", `${scale.warmupSeconds}`],
    ...["-seconds", `${scale.seconds}`],
  ];
  return {
    row: `uncontended/${inFlight}/${load}`,
    measure: ({ peers, etcd }) => measured(Generator.program(peers, load, "-endpoint", etcd.endpoint, ...flags)),
  };
}

/** Also used where something else is to be seen while this load is on. */
export function pairs(way: "client" | "stub" | "etcd3", scale: Scale, inFlight: number): Cell {
  return {
    row: `uncontended/${inFlight}/${way}`,
    measure: ({ etcd, server }: Pick<Bench, "etcd" | "server">) =>
      pairsLoad(way === "etcd3" ? etcd.endpoint : server.address, scale, { way, inFlight, kind: "exclusive" }),
  };
}

/** Lock and unlock at `address`, by claims of one of the kinds of `load/kinds.ts`. */
export function pairsLoad(
  address: string,
  scale: Scale,
  { way, inFlight, kind }: { readonly way: string; readonly inFlight: number; readonly kind: string },
): Promise<Figures> {
  return measured(
    Generator.node(
      "load.ts",
      "pairs",
      ...["--way", way],
      ...["--address", address],
      ...["--kind", kind],
      ...["--in-flight", `${inFlight}`],
      ...["--sessions", `${Math.ceil(inFlight / PER_SESSION)}`],
      ...["--warmup", `${scale.warmupSeconds}`],
      ...["--seconds", `${scale.seconds}`],
    ),
  );
}
