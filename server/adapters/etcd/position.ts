import { type Metadata, status } from "@grpc/grpc-js";
import {
  KVService,
  MaintenanceService,
  RangeRequest,
  type StatusResponse,
} from "../../gen/etcd/api/etcdserverpb/rpc.ts";
import type { CallFailure, EtcdConnection } from "./connection.ts";

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
  /** The index less the revision. Each entry makes at most one revision, so in one history it grows as well. */
  readonly spareEntries: number;
}

/** What a member says of itself after a read. */
export interface MemberWord {
  readonly leads: boolean;
  readonly position: Position;
}

interface Question {
  /** A key that may be read. */
  readonly key: Buffer;
  readonly metadata: Metadata;
  /** Since 1970. */
  readonly deadlineMs: number;
}

/**
 * Asks a member for a linearizable read, and then where it is. `failure`: it is silent, has no leader, or no quorum. No
 * word either: it is well, but does not let us read.
 */
export function askMember(
  connection: EtcdConnection,
  { key, ...options }: Question,
  done: (failure: CallFailure | null, word: MemberWord | undefined) => void,
): void {
  connection.call(KVService.range, RangeRequest.create({ key }), options, (failure) => {
    if (failure !== null) return done(isSilence(failure) ? failure : null, undefined);
    connection.call(MaintenanceService.status, {}, options, (refused, response) => {
      done(refused !== null && isSilence(refused) ? refused : null, response && wordOf(response));
    });
  });
}

function wordOf({ header, leader, raftTerm, raftAppliedIndex }: StatusResponse): MemberWord | undefined {
  if (header === undefined) return undefined;
  const { clusterId, memberId, revision } = header;
  const position = {
    clusterId,
    term: Number(raftTerm),
    index: Number(raftAppliedIndex),
    revision: Number(revision),
    spareEntries: Number(raftAppliedIndex - revision),
  };
  return { leads: leader === memberId, position };
}

/** All other failures are answers. */
const isSilence = ({ code }: CallFailure): boolean => SILENCES.includes(code);

const SILENCES = [status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.CANCELLED, status.UNKNOWN, status.INTERNAL];

/** Why `later`, told later than `earlier`, is not of the same history; `undefined`: nothing speaks against it. */
export function contradiction(earlier: Position, later: Position): string | undefined {
  if (later.clusterId !== earlier.clusterId)
    return `etcd is cluster ${hex(later.clusterId)}, but Holdfast has seen ${hex(earlier.clusterId)}`;
  for (const [what, name] of NUMBERS) {
    if (later[what] < earlier[what]) return `etcd is at ${name} ${later[what]}, but Holdfast has seen ${earlier[what]}`;
  }
  if (later.spareEntries < earlier.spareEntries - NOT_READ_AT_ONCE)
    return `etcd is at revision ${later.revision} with a raft log too short for that: Holdfast has seen ${earlier.revision}`;
  return undefined;
}

/** etcd does not read index and revision at one moment: under load they are apart, though never by so much. */
const NOT_READ_AT_ONCE = 100_000;

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
  spareEntries: Math.max(a.spareEntries, b.spareEntries),
});
