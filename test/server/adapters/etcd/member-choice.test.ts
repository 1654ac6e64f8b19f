import { describe, expect, it } from "vitest";
import { chooseMember, type MemberView } from "../../../../server/adapters/etcd/member-choice.ts";

const unseen: MemberView = { kind: "unseen" };
const silent: MemberView = { kind: "silent" };
const follower: MemberView = { kind: "sound", leads: false, term: 3 };
const leader = (term = 3): MemberView => ({ kind: "sound", leads: true, term });

describe("the member to use", () => {
  it.each<[string, number, readonly MemberView[], number]>([
    ["is the leader, once it is known", 0, [follower, follower, leader()], 2],
    [
      "is the one that leads in the later term, while a deposed one still says that it does",
      0,
      [leader(3), leader(4)],
      1,
    ],
    ["stays the same when there is no leader to be seen", 1, [follower, follower, silent], 1],
    ["is another that answers when the one in use does not", 0, [silent, silent, follower], 2],
    ["stays the same while nobody answers, as in an election", 1, [silent, silent, silent], 1],
    ["stays the same until it has been looked at once", 0, [unseen, follower, follower], 0],
    ["is no leader that does not answer any more", 0, [follower, silent, follower], 0],
    ["is the only one, whatever it does", 0, [silent], 0],
  ])("%s", (_, current, members, expected) => {
    expect(chooseMember(current, members)).toBe(expected);
  });
});
