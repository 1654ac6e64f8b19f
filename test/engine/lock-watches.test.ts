import { describe, expect, it } from "vitest";
import type { LockView } from "../../server/core/frames.ts";
import { compareBytewise } from "../../server/core/lock-name.ts";
import { LockWatches, listLocks } from "../../server/engine/lock-watches.ts";
import { findToken } from "../../server/engine/tokens.ts";
import { exclusive, KeyHistory, semaphore, shared } from "../support/key-history.ts";
import { Random } from "../support/random.ts";

const brief = ({ name, state, holderCount, waiterCount }: LockView) => `${name} ${state} ${holderCount}+${waiterCount}`;

function watching(keys: KeyHistory, query: { prefix?: string; name?: string } = {}) {
  const watches = new LockWatches(keys.table);
  const ends: (() => void)[] = [];
  let readies = 0;
  const watch = watches.open(
    { prefix: "", name: "", holderLimit: 3, waiterLimit: 2, ...query },
    () => readies++,
    (fn) => ends.push(fn),
  );
  const step = (write: () => void) => watches.changed(keys.step(write).locks);
  const take = (limit = 100) => {
    const { locks, caughtUp } = watch.take(limit);
    return [...locks.map(brief), ...(caughtUp ? ["caught up"] : [])];
  };
  const endTurn = () => {
    for (const fn of ends.splice(0)) fn();
  };
  return { watches, watch, step, take, endTurn, readies: () => readies };
}

describe("a watch of locks", () => {
  it("begins with the locks that are there, and says once when it has caught up", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")]);
    keys.claim("s2", [exclusive("a"), exclusive("b")]);
    const { take, endTurn, readies } = watching(keys);
    expect(readies()).toBe(0);
    endTurn();
    expect(readies()).toBe(1);
    expect(take(1)).toEqual(["a contended 1+1"]);
    expect(take(1)).toEqual(["b contended 0+1", "caught up"]);
    expect(take()).toEqual([]);
  });

  it("of nothing has caught up at once", () => {
    const { take } = watching(new KeyHistory());
    expect(take()).toEqual(["caught up"]);
    expect(take()).toEqual([]);
  });

  it("shows each lock that changed as it then is, and one that is gone as free", () => {
    const keys = new KeyHistory();
    const { step, take } = watching(keys);
    take();
    keys.session("s1");
    step(() => keys.claim("s1", [exclusive("a")]));
    step(() => keys.claim("s1", [exclusive("a")]));
    expect(take()).toEqual(["a contended 1+1"]);
    step(() => keys.endSession("s1"));
    expect(take()).toEqual(["a free 0+0"]);
  });

  it("is told that there is something when there was nothing, and not again before that is taken", () => {
    const keys = new KeyHistory();
    const { step, take, endTurn, readies } = watching(keys);
    endTurn();
    take();
    keys.session("s1");
    step(() => keys.claim("s1", [exclusive("a")]));
    step(() => keys.claim("s1", [exclusive("b")]));
    expect(readies()).toBe(2);
    take();
    step(() => keys.claim("s1", [exclusive("c")]));
    expect(readies()).toBe(3);
  });

  it("gives a slow reader the latest state and no backlog: never more than there are locks", () => {
    const keys = new KeyHistory();
    const { step, take } = watching(keys);
    take();
    keys.session("s1");
    for (let i = 0; i < 100; i++) step(() => keys.claim("s1", [exclusive(`l${i % 3}`)]));
    expect(take()).toEqual(["l0 contended 1+33", "l1 contended 1+32", "l2 contended 1+32"]);
  });

  it("shows no older state after a newer one, also of those that change before it has caught up", () => {
    const keys = new KeyHistory();
    keys.session("s1");
    for (const name of ["a", "b", "c"]) keys.claim("s1", [exclusive(name)]);
    const { step, take } = watching(keys);
    expect(take(1)).toEqual(["a held 1+0"]);
    step(() => keys.claim("s1", [exclusive("a")]));
    step(() => keys.claim("s1", [exclusive("new")]));
    step(() => keys.claim("s1", [exclusive("b")]));
    expect(take(1)).toEqual(["b contended 1+1"]);
    // All that existed at the start has been taken; what came since comes after.
    expect(take(1)).toEqual(["c held 1+0", "caught up"]);
    expect(take(5)).toEqual(["a contended 1+1", "new held 1+0"]);
  });

  it("follows names that start with its prefix, or one name and none that starts like it", () => {
    const keys = new KeyHistory();
    keys.session("s1");
    for (const name of ["a", "a/b", "ab", "b/a"]) keys.claim("s1", [exclusive(name)]);
    const byPrefix = watching(keys, { prefix: "a/" });
    const byName = watching(keys, { name: "a" });
    expect(byPrefix.take()).toEqual(["a/b held 1+0", "caught up"]);
    expect(byName.take()).toEqual(["a held 1+0", "caught up"]);
    byName.step(() => keys.claim("s1", [exclusive("a/b")]));
    expect(byName.take()).toEqual([]);
  });

  it("that was closed hears nothing more", () => {
    const keys = new KeyHistory();
    const { watch, step, take, endTurn, readies } = watching(keys);
    watch.close();
    endTurn();
    keys.session("s1");
    step(() => keys.claim("s1", [exclusive("a")]));
    expect(readies()).toBe(0);
    expect(take()).toEqual(["caught up"]);
  });

  it("shows what a random history did to each lock, in the end exactly as it is", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = new Random(seed);
      const keys = new KeyHistory();
      for (const id of ["s0", "s1"]) keys.session(id);
      const { watch, step } = watching(keys);
      const seen = new Map<string, string>();
      const read = (limit: number) => {
        for (const view of watch.take(limit).locks) seen.set(view.name, brief(view));
      };
      for (let i = 0; i < 60; i++) {
        if (random.happens(0.6)) step(() => keys.claim(`s${random.below(2)}`, [shared(`l${random.below(4)}`)]));
        else step(() => keys.end(`s${random.below(2)}`, BigInt(1 + random.below(20))));
        if (random.happens(0.3)) read(1 + random.below(2));
      }
      read(100);
      for (const [name, shown] of seen) {
        const queue = keys.table.queues.get(name);
        const [held, waiting] = [queue?.heldCount ?? 0, queue?.waitingCount ?? 0];
        expect(shown, `seed ${seed}`).toBe(`${name} ${held === 0 ? "free" : "held"} ${held}+${waiting}`);
      }
    }
  });
});

describe("the list of locks", () => {
  const query = { prefix: "", state: undefined, after: "", pageSize: 100, holderLimit: 1 };

  function named(...names: string[]): KeyHistory {
    const keys = new KeyHistory();
    keys.session("s1");
    keys.step(() => {
      for (const [ordinal, name] of names.entries()) keys.claim("s1", [exclusive(name)], { ordinal });
    });
    return keys;
  }

  it("is in byte order of the names, where characters beyond the basic plane come last", () => {
    const keys = named("b", "\u{1f512}", "a", "\uffff", "a/b", "é", "B", "\u{10ffff}", "\ue000");
    const { locks } = listLocks(keys.table, query);
    expect(locks.map(({ name }) => name)).toEqual([
      "B",
      "a",
      "a/b",
      "b",
      "é",
      "\ue000",
      "\uffff",
      "\u{1f512}",
      "\u{10ffff}",
    ]);
  });

  it("comes in pages that follow each other without gap or overlap, and says whether more follow", () => {
    const random = new Random(5);
    const letters = ["a", "b", "/x", "\uffff", "\u{10000}"];
    const names = new Set<string>();
    while (names.size < 3000) names.add(`${random.below(1000)}${random.pick(letters)}${random.pick(letters)}`);
    const keys = named(...names);
    const wanted = [...names].sort(compareBytewise);
    for (const pageSize of [1, 7, 1000, 3000, 5000]) {
      if (pageSize === 1) {
        expect(listLocks(keys.table, { ...query, pageSize }).locks.map(({ name }) => name)).toEqual([wanted[0]]);
        continue;
      }
      const got: string[] = [];
      for (let more = true; more; ) {
        const page = listLocks(keys.table, { ...query, pageSize, after: got.at(-1) ?? "" });
        got.push(...page.locks.map(({ name }) => name));
        more = page.more;
        expect(page.locks.length).toBe(more ? pageSize : ((wanted.length - 1) % pageSize) + 1);
      }
      expect(got).toEqual(wanted);
    }
  });

  it("can be of those with a prefix, after a name that need not exist, and of one state", () => {
    const keys = named("a/1", "a/2", "a/3", "b/1");
    keys.claim("s2", [exclusive("a/2")]);
    const names = (change: object) => listLocks(keys.table, { ...query, ...change }).locks.map(({ name }) => name);
    expect(names({ prefix: "a/" })).toEqual(["a/1", "a/2", "a/3"]);
    expect(names({ after: "a/15" })).toEqual(["a/2", "a/3", "b/1"]);
    expect(names({ state: "contended" })).toEqual(["a/2"]);
    expect(names({ state: "held", prefix: "a/" })).toEqual(["a/1", "a/3"]);
  });

  it("leaves out locks on which nothing but given-up claims are left, and shows no waiters", () => {
    const keys = named("a", "b");
    keys.claim("s2", [exclusive("b")]);
    keys.table.giveUp(keys.table.claim("s1", 1n)!);
    const { locks } = listLocks(keys.table, query);
    expect(locks.map(brief)).toEqual(["b contended 1+1"]);
    expect(locks[0]?.waiters).toEqual([]);
    expect(locks[0]?.holders).toHaveLength(1);
  });
});

describe("a fencing token", () => {
  it("is live for as long as its claim is, whether this server sees it granted or not", () => {
    const keys = new KeyHistory();
    const holder = keys.claim("s1", [exclusive("a")]);
    const waiter = keys.claim("s2", [exclusive("a")]);
    expect(findToken(keys.table, "a", holder.token)).toMatchObject({
      state: "live",
      claim: { sessionId: "s1", held: true },
    });
    expect(findToken(keys.table, "a", waiter.token)).toMatchObject({ state: "live", claim: { held: false } });
    keys.end("s1", holder.id);
    expect(findToken(keys.table, "a", holder.token)).toEqual({ state: "ended", claim: undefined });
    expect(findToken(keys.table, "a", waiter.token).state).toBe("live");
  });

  it("of a claim that was given up has ended, whatever etcd still has", () => {
    const keys = new KeyHistory();
    const holder = keys.claim("s1", [exclusive("a")]);
    keys.table.giveUp(holder);
    expect(findToken(keys.table, "a", holder.token).state).toBe("ended");
  });

  it("beyond the table's revision was not issued yet; of another lock, or below, it has ended", () => {
    const keys = new KeyHistory();
    const holder = keys.claim("s1", [semaphore("a", 1, 2)]);
    const next = BigInt(keys.revision + 1) * 128n;
    expect(findToken(keys.table, "a", next).state).toBe("not-issued");
    expect(findToken(keys.table, "a", next - 1n).state).toBe("ended");
    expect(findToken(keys.table, "b", holder.token).state).toBe("ended");
    expect(findToken(keys.table, "a", 0n).state).toBe("ended");
  });

  it("tells apart the claims of one revision by their ordinals", () => {
    const keys = new KeyHistory();
    keys.session("s1");
    keys.step(() => {
      for (const ordinal of [0, 1, 2]) keys.claim("s1", [shared("a")], { ordinal });
    });
    const base = BigInt(keys.revision) * 128n;
    const claims = [0n, 1n, 2n, 3n].map((ordinal) => findToken(keys.table, "a", base + ordinal).claim?.claimId);
    expect(claims).toEqual([1n, 2n, 3n, undefined]);
  });
});
