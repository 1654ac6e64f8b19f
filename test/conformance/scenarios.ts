import type { LockFields, Scenario } from "./scenario.ts";

const read = (name: string): LockFields => ({ name, mode: "shared" });
const permits = (name: string, permits: number, limit: number): LockFields => ({
  name,
  mode: "semaphore",
  permits,
  limit,
});

/** Every scenario of the suite. What the words mean, scenario.ts says. */
export const scenarios: readonly Scenario[] = [
  // -- Taking and giving back ------------------------------------------------------------------------------
  {
    title: "a free lock is granted with a token",
    steps: [
      ["A", "acquire", { locks: "a" }, { token: "$t", tokens: ["$t"] }],
      ["A", "state", {}, { held: true, remainingMs: ">0", loss: null }],
      ["A", "release", {}, { was: "released" }],
      ["A", "state", {}, { held: false, remainingMs: 0, loss: null }],
    ],
  },
  {
    title: "a lock taken again has a larger token, and tells how the holder before ended",
    steps: [
      ["A", "acquire", { locks: "a" }, { token: "$first" }],
      ["A", "release"],
      ["B", "acquire", { locks: "a" }, { token: ">$first" }],
    ],
  },
  {
    title: "a waiter is granted when the holder releases",
    steps: [
      ["A", "acquire", { locks: "a" }, { token: "$first" }],
      ["B", "acquire", { locks: "a" }, { waits: "b", position: 1, holderCount: 1, holders: [{ token: "$first" }] }],
      ["b", "pending"],
      ["A", "release"],
      ["b", "answers", {}, { token: ">$first" }],
    ],
  },
  {
    title: "a try on a held lock is busy, and names the holder",
    steps: [
      ["A", "connect", { clientName: "alice" }],
      ["A", "session", {}, { session: "$alice" }],
      ["A", "acquire", { locks: "a", purpose: "cooking" }, { token: "$t" }],
      [
        "B",
        "acquire",
        { locks: "a", waitMs: 0 },
        {
          error: "busy",
          lock: "a",
          holderCount: 1,
          holders: [{ session: "$alice", token: "$t", client: "alice", purpose: "cooking", held: true }],
        },
      ],
    ],
  },
  {
    title: "the idiom for trying says no without an error, and yes with a lock",
    steps: [
      ["A", "try", { locks: "a" }, { held: true, token: "$t" }],
      ["B", "try", { locks: "a" }, { held: false }],
      ["A", "release"],
      ["B", "try", { locks: "a" }, { held: true, token: ">$t" }],
    ],
  },
  {
    title: "a timed wait is refused with timeout, names the holder, and leaves no place behind",
    steps: [
      ["A", "acquire", { locks: "a" }, { token: "$t" }],
      ["B", "acquire", { locks: "a", waitMs: 200 }, { error: "timeout", lock: "a", holders: [{ token: "$t" }] }],
      ["A", "getLock", { name: "a" }, { state: "held", waiterCount: 0 }],
    ],
  },
  {
    title: "releasing twice says the same twice",
    steps: [
      ["A", "acquire", { locks: "a" }],
      ["A", "release", {}, { was: "released" }],
      ["A", "release", {}, { was: "released" }],
    ],
  },
  {
    title: "cancelling a wait removes the place, and the next in line moves up",
    steps: [
      ["A", "acquire", { locks: "a" }],
      ["B", "acquire", { locks: "a" }, { waits: "b", position: 1 }],
      ["C", "acquire", { locks: "a" }, { waits: "c", position: 2 }],
      ["b", "cancel"],
      ["b", "answers", {}, "aborted"],
      ["c", "waiting", {}, { position: 1 }],
      ["A", "release"],
      ["c", "answers", {}, { token: "*" }],
    ],
  },
  {
    title: "a name with an empty segment is refused as invalid, and costs nothing else",
    steps: [
      ["A", "acquire", { locks: "a" }],
      ["A", "acquire", { as: "bad", locks: "b//c" }, "invalid"],
      ["A", "state", {}, { held: true }],
    ],
  },
  // -- Kinds -----------------------------------------------------------------------------------------------
  {
    title: "readers share, and a writer waits for all of them",
    steps: [
      ["A", "acquire", { locks: read("a") }],
      ["B", "acquire", { locks: read("a") }],
      ["C", "acquire", { locks: "a" }, { waits: "c", position: 1, holderCount: 2 }],
      ["A", "release"],
      ["c", "pending"],
      ["B", "release"],
      ["c", "answers"],
    ],
  },
  {
    title: "a semaphore gives out its permits and no more",
    steps: [
      ["A", "acquire", { locks: permits("s", 2, 3) }],
      ["B", "acquire", { locks: permits("s", 1, 3) }],
      ["C", "acquire", { locks: permits("s", 1, 3), waitMs: 0 }, { error: "busy", holderCount: 2 }],
      ["B", "release"],
      ["C", "acquire", { locks: permits("s", 1, 3), waitMs: 0 }],
      ["A", "getLock", { name: "s" }, { mode: "semaphore", limit: 3, permitsHeld: 3, holderCount: 2 }],
    ],
  },
  {
    title: "several locks are taken together, each with a token of its own",
    steps: [
      ["A", "acquire", { locks: ["a", "b"] }, { tokens: "#2" }],
      ["B", "acquire", { locks: "b", waitMs: 0 }, "busy"],
      ["A", "release"],
      ["B", "acquire", { locks: "b", waitMs: 0 }],
    ],
  },
  // -- Re-entry --------------------------------------------------------------------------------------------
  {
    title: "a scope inside a scope on the same lock enters at once, with the same token",
    steps: [
      ["A/1", "enter", { as: "outer", locks: "a" }, { token: "$t" }],
      ["A/1", "enter", { as: "inner", locks: "a" }, { token: "$t" }],
      ["A/1", "leave"],
      ["B", "try", { locks: "a" }, { held: false }],
      ["A/1", "leave"],
      ["B", "try", { locks: "a" }, { held: true, token: ">$t" }],
    ],
  },
  // -- Loss ------------------------------------------------------------------------------------------------
  {
    title: "with the network cut for longer than the TTL, the holder knows before the next is granted",
    steps: [
      ["A", "connect", { ttlMs: 2000, via: "relay" }],
      ["A", "acquire", { locks: "a" }, { token: "$t" }],
      ["B", "connect", { at: [0] }],
      ["B", "acquire", { locks: "a" }, { waits: "b" }],
      ["A", "untilLost", {}, { later: "lost" }],
      ["net", "blackHole", { of: "A" }],
      ["lost", "answers", {}, { reason: "session-expired", atNs: "$lost" }],
      ["A", "state", {}, { held: false, loss: "session-expired" }],
      ["b", "answers", {}, { token: ">$t", atNs: ">$lost", previous: { token: "$t", end: "expired" } }],
      ["A", "release", {}, { was: "lost" }],
    ],
  },
  // -- Election --------------------------------------------------------------------------------------------
  {
    title: "one leads, others see it, and after it resigns the next leads",
    steps: [
      ["A", "campaign", { election: "e", value: "here" }, { token: "$t" }],
      ["B", "leader", { election: "e" }, { leader: { token: "$t", value: "here" } }],
      ["B", "campaign", { election: "e", value: "there" }, { waits: "b" }],
      ["C", "observe", { election: "e" }],
      ["C", "hears", {}, { event: "leader", leader: { value: "here" } }],
      ["A", "proclaim", { value: "still here" }],
      ["C", "hears", {}, { event: "leader", leader: { token: "$t", value: "still here" } }],
      ["A", "resign", {}, { was: "released" }],
      ["b", "answers", {}, { token: ">$t" }],
      ["C", "hears", {}, { event: "leader", leader: { value: "there" } }],
    ],
  },
];
