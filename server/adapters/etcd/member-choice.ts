/** What the latest look at a member of etcd has shown. */
export type MemberView =
  /** Nobody has looked yet. */
  | { readonly kind: "unseen" }
  /** It did not answer, or has no leader that has a quorum. */
  | { readonly kind: "silent" }
  /** It answered a linearizable read. `leads`: it says that it is the leader, in a raft term. */
  | { readonly kind: "sound"; readonly leads: boolean; readonly term: number };

/**
 * Which member to use, as an index: the leader, which renews leases without asking anybody; else the one in use as long
 * as it is not silent; else any that is sound; else, still the same.
 */
export function chooseMember(current: number, members: readonly MemberView[]): number {
  const leader = leaderOf(members);
  if (leader !== -1) return leader;
  if (members[current]?.kind !== "silent") return current;
  const sound = members.findIndex(({ kind }) => kind === "sound");
  return sound === -1 ? current : sound;
}

/** One that was deposed may not have been looked at since: the later term is right. */
function leaderOf(members: readonly MemberView[]): number {
  let leader = -1;
  let term = -1;
  members.forEach((member, index) => {
    if (member.kind !== "sound" || !member.leads || member.term <= term) return;
    leader = index;
    term = member.term;
  });
  return leader;
}
