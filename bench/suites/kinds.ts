import { kindNames } from "../load/kinds.ts";
import type { Scale } from "../scale.ts";
import type { Cell, Suite } from "./suite.ts";
import { pairsLoad } from "./uncontended.ts";

/** Claims in flight, of one session. */
export const KINDS_IN_FLIGHT = 64;

/** Lock and unlock by every kind of claim, so that each can be held against the exclusive one. */
export const kinds: Suite = {
  name: "kinds",
  groups: (scale) => [
    {
      rounds: scale.rounds,
      cells: kindNames.flatMap((kind) => [cell("client", kind, scale), cell("stub", kind, scale)]),
    },
  ],
};

function cell(way: "client" | "stub", kind: string, scale: Scale): Cell {
  return {
    row: `kinds/${kind}/${way}`,
    measure: ({ server }) => pairsLoad(server.address, scale, { way, inFlight: KINDS_IN_FLIGHT, kind }),
  };
}
