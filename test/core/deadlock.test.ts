import { describe, expect, it } from "vitest";
import { findDeadlock } from "../../server/core/deadlock.ts";
import type { Claim } from "../../server/core/queue.ts";
import { type TrueClaim, trueClaims, trueHolders } from "../simulation/reference.ts";
import { exclusive, KeyHistory, semaphore, shared } from "../support/key-history.ts";
import { Random } from "../support/random.ts";

const as = (reentryId: string) => ({ reentryId });

describe("a deadlock", () => {
  it("is found between two threads that hold one lock each and wait for the other's", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")], as("t"));
    keys.claim("s2", [exclusive("b")], as("t"));
    keys.claim("s1", [exclusive("b")], as("t"));
    expect(findDeadlock(keys.table)).toBeUndefined();
    const last = keys.claim("s2", [exclusive("a")], as("t"));
    expect(findDeadlock(keys.table)?.victim).toBe(last);
  });

  it("is denied at its youngest claim, whichever closed the circle first", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")], as("t"));
    keys.claim("s2", [exclusive("b")], as("t"));
    keys.claim("s3", [exclusive("c")], as("t"));
    keys.claim("s1", [exclusive("b")], as("t"));
    keys.claim("s3", [exclusive("a")], as("t"));
    const youngest = keys.claim("s2", [exclusive("c")], as("t"));
    expect(findDeadlock(keys.table)?.victim).toBe(youngest);
  });

  it("is not a chain of waiting threads with a free end", () => {
    const keys = new KeyHistory();
    for (const i of [1, 2, 3, 4]) keys.claim(`s${i}`, [exclusive(`l${i}`)], as("t"));
    for (const i of [1, 2, 3]) keys.claim(`s${i}`, [exclusive(`l${i + 1}`)], as("t"));
    expect(findDeadlock(keys.table)).toBeUndefined();
  });

  it("is not the claim behind a circle, only the circle", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")], as("t"));
    keys.claim("s2", [exclusive("b")], as("t"));
    keys.claim("s1", [exclusive("b")], as("t"));
    const closing = keys.claim("s2", [exclusive("a")], as("t"));
    keys.claim("s3", [exclusive("c")], as("t"));
    keys.claim("s3", [exclusive("a")], as("t"));
    expect(findDeadlock(keys.table)?.victim).toBe(closing);
  });

  it("goes through one of several readers: that the others can move is not enough", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [shared("a")], as("t"));
    keys.claim("s2", [shared("a")], as("t"));
    keys.claim("s3", [exclusive("b")], as("t"));
    keys.claim("s3", [exclusive("a")], as("t"));
    expect(findDeadlock(keys.table)).toBeUndefined();
    const reader = keys.claim("s2", [exclusive("b")], as("t"));
    expect(findDeadlock(keys.table)?.victim).toBe(reader);
  });

  it("is two readers that each want the lock for themselves", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [shared("a")], as("t"));
    keys.claim("s2", [shared("a")], as("t"));
    const first = keys.claim("s1", [exclusive("a")], as("t"));
    const second = keys.claim("s2", [exclusive("a")], as("t"));
    expect(findDeadlock(keys.table)?.victim).toBe(second);
    keys.end("s2", second.id);
    expect(findDeadlock(keys.table)?.victim).toBe(first);
  });

  it("goes through a waiting writer that two readers wait behind", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [shared("a")], as("t"));
    keys.claim("s2", [exclusive("b")], as("t"));
    const writer = keys.claim("s3", [exclusive("a")], as("t"));
    // Reader s2 is compatible with the holder s1, yet waits behind the writer.
    keys.claim("s2", [shared("a")], as("t"));
    expect(findDeadlock(keys.table)).toBeUndefined();
    const last = keys.claim("s1", [exclusive("b")], as("t"));
    expect(findDeadlock(keys.table)?.victim).toBe(last);
    expect(writer.held).toBe(false);
  });

  it("goes through the permits of a semaphore, if those that can move are not enough", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [semaphore("pool", 2, 3)], as("t"));
    const free = keys.claim("s2", [semaphore("pool", 1, 3)]);
    keys.claim("s3", [exclusive("a")], as("t"));
    keys.claim("s1", [exclusive("a")], as("t"));
    const two = keys.claim("s3", [semaphore("pool", 2, 3)], as("t"));
    expect(findDeadlock(keys.table)?.victim).toBe(two);
    keys.end("s3", two.id);
    keys.claim("s3", [semaphore("pool", 1, 3)], as("t"));
    expect(free.held).toBe(true);
    expect(findDeadlock(keys.table)).toBeUndefined();
  });

  it("goes through claims on several locks, by whichever lock they wait", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a"), exclusive("b")], as("t"));
    keys.claim("s2", [exclusive("c")], as("t"));
    keys.claim("s3", [exclusive("x")], as("t"));
    // Waits for b, and is ahead of others on d, which is free.
    const several = keys.claim("s3", [exclusive("d"), exclusive("b")], as("t"));
    keys.claim("s2", [exclusive("d")], as("t"));
    expect(findDeadlock(keys.table)).toBeUndefined();
    const last = keys.claim("s1", [exclusive("c")], as("t"));
    expect(findDeadlock(keys.table)?.victim).toBe(last);
    keys.end("s3", several.id);
    expect(findDeadlock(keys.table)).toBeUndefined();
  });

  it("cannot come of opposite orders within claims on several locks", () => {
    const keys = new KeyHistory();
    for (let i = 0; i < 20; i++) {
      keys.claim("s1", [exclusive("a"), exclusive("b")], as(`t${i}`));
      keys.claim("s2", [exclusive("b"), exclusive("a")], as(`t${i}`));
    }
    expect(findDeadlock(keys.table)).toBeUndefined();
  });

  it("cannot go through a holder without reentry id: it can always move", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")]);
    keys.claim("s2", [exclusive("b")], as("t"));
    keys.claim("s1", [exclusive("b")], as("t"));
    keys.claim("s2", [exclusive("a")], as("t"));
    expect(findDeadlock(keys.table)).toBeUndefined();
  });

  it("can go through a waiter without reentry id, which is never the one denied", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")], as("t"));
    keys.claim("s2", [exclusive("b")], as("t"));
    keys.claim("s1", [exclusive("b")], as("t"));
    const stranger = keys.claim("s3", [exclusive("a")]);
    const last = keys.claim("s2", [exclusive("a")], as("t"));
    expect(findDeadlock(keys.table)?.victim).toBe(last);
    keys.end("s2", last.id);
    expect(findDeadlock(keys.table)).toBeUndefined();
    expect(stranger.held).toBe(false);
  });

  it("is not one of two threads of a session that have nothing to do with each other", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")], as("t"));
    keys.claim("s2", [exclusive("b")], as("t"));
    keys.claim("s1", [exclusive("b")], as("another"));
    keys.claim("s2", [exclusive("a")], as("t"));
    expect(findDeadlock(keys.table)).toBeUndefined();
  });

  it("is over when one of its claims is given up, though etcd still has it", () => {
    const keys = new KeyHistory();
    const given = keys.claim("s1", [exclusive("a")], as("t"));
    keys.claim("s2", [exclusive("b")], as("t"));
    const waiting = keys.claim("s1", [exclusive("b")], as("t"));
    keys.claim("s2", [exclusive("a")], as("t"));
    keys.table.giveUp(waiting);
    expect(findDeadlock(keys.table)).toBeUndefined();
    expect(findDeadlock(keys.table, [waiting])).toBeUndefined();
    expect(given.held).toBe(true);
  });

  it("is found again, one after the other, when a thread is on several circles", () => {
    const keys = new KeyHistory();
    for (const i of [1, 2, 3]) keys.claim(`s${i}`, [exclusive(`l${i}`)], as("t"));
    keys.claim("hub", [exclusive("hub")], as("t"));
    const victims: Claim[] = [];
    for (const i of [1, 2, 3]) keys.claim(`s${i}`, [exclusive("hub")], as("t"));
    // The thread of the hub waits for all three at once.
    keys.step(() => {
      for (const i of [1, 2, 3]) keys.claim("hub", [exclusive(`l${i}`)], { ...as("t"), ordinal: i });
    });
    for (let found = findDeadlock(keys.table); found !== undefined; found = findDeadlock(keys.table)) {
      victims.push(found.victim);
      keys.end(found.victim.sessionId, found.victim.id);
    }
    expect(victims.map(({ sessionId, ordinal }) => `${sessionId} ${ordinal}`)).toEqual(["hub 3", "hub 2", "hub 1"]);
  });

  it("is a thread that waits behind itself", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")], as("t"));
    const again = keys.claim("s1", [exclusive("a")], as("t"));
    expect(findDeadlock(keys.table)?.victim).toBe(again);
    expect(findDeadlock(keys.table)?.message).toContain(
      'session s1 reentry_id "t" waits for "a", held by session s1 reentry_id "t"',
    );
  });

  it("is looked for only around the suspects, if some are named", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")], as("t"));
    keys.claim("s1", [exclusive("a")], as("t"));
    keys.claim("s2", [exclusive("b")], as("t"));
    keys.claim("s2", [exclusive("c")], as("t"));
    const other = keys.claim("s3", [exclusive("b")], as("t"));
    const behind = keys.claim("s2", [exclusive("a")], as("t"));
    expect(findDeadlock(keys.table, [other])).toBeUndefined();
    expect(findDeadlock(keys.table, [behind])).toBeDefined();
  });

  it("is spelled out: who waits for which lock, held or queued for by whom", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("orders/1")], as("worker-1"));
    keys.claim("s2", [shared("orders/2")], as("worker-2"));
    keys.claim("s3", [exclusive("orders/2")]);
    keys.claim("s1", [shared("orders/2")], as("worker-1"));
    keys.claim("s2", [exclusive("orders/1")], as("worker-2"));
    expect(findDeadlock(keys.table)?.message).toBe(
      'deadlock: session s2 reentry_id "worker-2" waits for "orders/1", held by session s1 reentry_id "worker-1", ' +
        'which waits for "orders/2", held by session s2 reentry_id "worker-2": ' +
        "this is the youngest claim of the circle; release what it waits with, then try again",
    );
  });

  it("names one that is only queued for as such", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [shared("a")], as("t"));
    keys.claim("s2", [exclusive("b")], as("t"));
    keys.claim("s3", [exclusive("a")], as("t"));
    keys.claim("s3", [exclusive("b")], as("t"));
    keys.claim("s2", [shared("a")], as("t"));
    expect(findDeadlock(keys.table)?.message).toContain(
      'session s2 reentry_id "t" waits for "a", queued for before it by session s3 reentry_id "t", ' +
        'which waits for "b", held by session s2 reentry_id "t"',
    );
  });

  it("is told in bounded length, however long the circle and the names", () => {
    const keys = new KeyHistory();
    const name = (i: number) => `${"é".repeat(200)}/${i}`;
    for (let i = 0; i < 100; i++) keys.claim(`s${i}`, [exclusive(name(i))], as(`${"x".repeat(120)}${i}`));
    for (let i = 0; i < 100; i++) keys.claim(`s${i}`, [exclusive(name((i + 1) % 100))], as(`${"x".repeat(120)}${i}`));
    const message = findDeadlock(keys.table)?.message ?? "";
    expect(message).toContain("... 92 more locks in between ...");
    expect(message.length).toBeLessThan(2500);
    expect(message.isWellFormed()).toBe(true);
  });
});

describe("against a search that tries everything", () => {
  it("the same victim is found in 12,000 random states, and none where everybody can go on", {
    timeout: 120_000,
  }, () => {
    let deadlocks = 0;
    for (let seed = 1; seed <= 12_000; seed++) {
      const { keys, present } = randomState(new Random(seed));
      const victim = findDeadlock(keys.table)?.victim;
      const wanted = bruteVictim(present);
      expect(victim && `${victim.sessionId}/${victim.id}`, `seed ${seed}`).toBe(
        wanted && `${wanted.sessionId}/${wanted.claimId}`,
      );
      expect(victim === undefined, `seed ${seed}`).toBe(canAllFinish(present));
      if (victim !== undefined) deadlocks++;
    }
    // It says something only if both happen often.
    expect(deadlocks).toBeGreaterThan(2000);
    expect(deadlocks).toBeLessThan(10_000);
  });

  it("looking around each claim as it enters finds every circle, in 3,000 random histories", {
    timeout: 120_000,
  }, () => {
    let deadlocks = 0;
    for (let seed = 1; seed <= 3000; seed++) {
      const random = new Random(seed);
      const keys = new KeyHistory();
      for (let i = 0; i < 14; i++) {
        const claim = randomClaim(keys, random);
        if (random.happens(0.15)) endRandomHolder(keys, random);
        for (let found = findDeadlock(keys.table, [claim]); found; found = findDeadlock(keys.table, [claim])) {
          deadlocks++;
          keys.end(found.victim.sessionId, found.victim.id);
        }
        expect(findDeadlock(keys.table), `seed ${seed}, claim ${i}`).toBeUndefined();
      }
    }
    expect(deadlocks).toBeGreaterThan(1000);
  });
});

describe("the cost of looking", () => {
  it("is nothing for 100,000 claims without reentry id", () => {
    const keys = new KeyHistory();
    keys.step(() => {
      for (let i = 0; i < 100_000; i++) keys.claim(`s${i % 200}`, [exclusive(`l${i % 1000}`)], { ordinal: i });
    });
    const visited = countLookups(keys, () => expect(findDeadlock(keys.table)).toBeUndefined());
    expect(keys.table.waitingCount).toBe(99_000);
    expect(visited).toBe(0);
  });

  it("is one look at each thread for 10,000 threads with one claim each on a hot lock", () => {
    const keys = new KeyHistory();
    keys.step(() => {
      for (let i = 0; i < 10_000; i++) keys.claim(`s${i}`, [exclusive("hot")], { ...as("t"), ordinal: i });
    });
    const looked = countLookups(keys, () => expect(findDeadlock(keys.table)).toBeUndefined());
    expect(looked).toBe(9999);
  });

  it("is linear for 20,000 threads that hold one lock and all wait for another", { timeout: 20_000 }, () => {
    const keys = new KeyHistory();
    keys.step(() => {
      for (let i = 0; i < 20_000; i++) keys.claim(`s${i}`, [exclusive(`own${i}`)], { ...as("t"), ordinal: i });
      for (let i = 0; i < 20_000; i++) keys.claim(`s${i}`, [exclusive("hot")], { ...as("t"), ordinal: 20_000 + i });
    });
    const looked = countLookups(keys, () => expect(findDeadlock(keys.table)).toBeUndefined());
    expect(looked).toBe(20_000);
    // The holder of the hot lock now waits for what the last in the queue holds: all of them are stuck.
    const last = keys.claim("s0", [exclusive("own19999")], as("t"));
    expect(findDeadlock(keys.table)?.victim).toBe(last);
  });
});

/** How often the claims of a session are asked for. */
function countLookups({ table }: KeyHistory, look: () => void): number {
  let count = 0;
  const original = table.claimsOfSession;
  table.claimsOfSession = (id) => {
    count++;
    return original.call(table, id);
  };
  look();
  table.claimsOfSession = original;
  return count;
}

function randomState(random: Random): { keys: KeyHistory; present: TrueClaim[] } {
  const keys = new KeyHistory();
  const givenUp = new Set<string>();
  const count = 3 + random.below(12);
  for (let i = 0; i < count; i++) {
    const claim = randomClaim(keys, random);
    if (random.happens(0.1)) endRandomHolder(keys, random);
    if (random.happens(0.05) && claim.stage === "live") {
      keys.table.giveUp(claim);
      givenUp.add(`${claim.sessionId}/${claim.id}`);
    }
    if (random.happens(0.03)) keys.endSession(claim.sessionId);
  }
  const live = trueClaims(keys.entries.values());
  return { keys, present: live.filter((claim) => !givenUp.has(`${claim.sessionId}/${claim.claimId}`)) };
}

function randomClaim(keys: KeyHistory, random: Random): Claim {
  // The id of a session that has ended is never used again.
  let session = `s${random.below(3)}`;
  while (keys.hadSession(session)) session += "'";
  const names = ["a", "b", "c"].filter(() => random.happens(0.4));
  const locks = (names.length === 0 ? [random.pick(["a", "b"])] : names).map((name) => {
    if (name === "c") return semaphore(name, 1 + random.below(2), random.happens(0.9) ? 3 : 2);
    return random.happens(0.6) ? exclusive(name) : shared(name);
  });
  const reentryId = random.happens(0.8) ? random.pick(["t", "u"]) : "";
  let claim: Claim | undefined;
  keys.step(() => keys.claim(session, locks, { reentryId }));
  for (const each of keys.table.claimsOfSession(session)) claim = each;
  return claim as Claim;
}

function endRandomHolder(keys: KeyHistory, random: Random): void {
  const holders = [...keys.table.queues.values()].flatMap((queue) => queue.first?.claim ?? []);
  if (holders.length === 0) return;
  const { sessionId, id } = random.pick(holders);
  keys.end(sessionId, id);
}

const threadOf = (claim: TrueClaim) => (claim.reentryId === "" ? "" : `${claim.sessionId} ${claim.reentryId}`);

/** The victim by the words of DESIGN 4.12, with no eye to speed. */
function bruteVictim(present: readonly TrueClaim[]): TrueClaim | undefined {
  let left = present;
  for (let before = -1; before !== left.length; ) {
    before = left.length;
    const held = trueHolders(left);
    const busy = new Set(left.filter((claim) => !held.has(claim)).map(threadOf));
    left = left.filter((claim) => !held.has(claim) || (claim.reentryId !== "" && busy.has(threadOf(claim))));
  }
  const held = trueHolders(left);
  const waiting = left.filter((claim) => !held.has(claim));
  const waitsFor = (claim: TrueClaim): TrueClaim[] => {
    const ahead = left.slice(0, left.indexOf(claim)).filter((other) => sharesLock(other, claim));
    const byThread = waiting.filter((w) => ahead.some((d) => threadOf(d) !== "" && threadOf(d) === threadOf(w)));
    return [...ahead.filter((other) => !held.has(other)), ...byThread];
  };
  const isOnCircle = (claim: TrueClaim): boolean => {
    const seen = new Set(waitsFor(claim));
    for (const each of seen) for (const next of waitsFor(each)) seen.add(next);
    return seen.has(claim);
  };
  return waiting.filter((claim) => claim.reentryId !== "" && isOnCircle(claim)).at(-1);
}

/** Whether everybody is let in in the end, if each thread releases all it holds as soon as it waits for nothing. */
function canAllFinish(present: readonly TrueClaim[]): boolean {
  let left = present;
  for (;;) {
    const held = trueHolders(left);
    const next = left.find(
      (claim) =>
        held.has(claim) &&
        (claim.reentryId === "" || left.every((other) => threadOf(other) !== threadOf(claim) || held.has(other))),
    );
    if (next === undefined) return left.length === 0;
    left = left.filter((claim) => claim !== next);
  }
}

const sharesLock = (a: TrueClaim, b: TrueClaim) => a.locks.some((x) => b.locks.some((y) => x.name === y.name));
