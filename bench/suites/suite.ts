import type { HoldfastServer } from "../process/holdfast-server.ts";
import type { Figures } from "../report/book.ts";
import type { Scale } from "../scale.ts";

/** What measurements are taken against: one etcd, and one server in front of it. */
export interface Bench {
  readonly etcd: { readonly endpoint: string; readonly pid: number };
  readonly server: HoldfastServer;
  /** Path of the program `tools/peers`. */
  readonly peers: string;
  readonly scale: Scale;
  /** A further server, with flags besides: for what is about memory, one that has forgotten nothing yet. */
  startServer(flags?: readonly string[]): Promise<HoldfastServer>;
}

/** One measurement, taken once in each round. */
export interface Cell {
  /** Under which its figures are found again. */
  readonly row: string;
  measure(bench: Bench): Promise<Figures>;
}

/** Measurements that are compared with each other: taken in turn, round by round, so that all meet the same weather. */
export interface Group {
  readonly rounds: number;
  readonly cells: readonly Cell[];
}

export interface Suite {
  readonly name: string;
  groups(scale: Scale): readonly Group[];
}
