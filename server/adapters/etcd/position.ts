/**
 * How far an etcd cluster is in its history, as a member tells right after it has answered a linearizable read. In the
 * life of one cluster no number of it ever gets smaller, whichever member tells: a read is answered only by a member
 * that has applied everything committed before.
 */
export interface Position {
  /** Computed from the addresses of the first members and the cluster token: equal for a cluster made anew alike. */
  readonly clusterId: bigint;
  readonly term: number;
  /** How many entries of its log the member has applied. */
  readonly index: number;
  readonly revision: number;
}

/** Why `later`, told later than `earlier`, is not of the same history; `undefined`: nothing speaks against it. */
export function contradiction(earlier: Position, later: Position): string | undefined {
  if (later.clusterId !== earlier.clusterId)
    return `etcd is cluster ${hex(later.clusterId)}, but this server has seen ${hex(earlier.clusterId)}`;
  for (const [what, name] of NUMBERS) {
    if (later[what] < earlier[what])
      return `etcd is at ${name} ${later[what]}, but this server has seen ${earlier[what]}`;
  }
  return undefined;
}

const NUMBERS = [
  ["term", "raft term"],
  ["index", "raft index"],
  ["revision", "revision"],
] as const;

/** An id of etcd's as its own tools write it. */
export const hex = (id: bigint): string => id.toString(16);

/** The latest of two positions of one history, each number by itself. */
export const latest = (a: Position, b: Position): Position => ({
  clusterId: b.clusterId,
  term: Math.max(a.term, b.term),
  index: Math.max(a.index, b.index),
  revision: Math.max(a.revision, b.revision),
});
