import { describe, expect, it } from "vitest";
import { claimKey, sessionKey } from "../../server/core/keys.ts";
import type { Claim } from "../../server/core/queue.ts";
import { exclusive, KeyHistory, semaphore, shared } from "../support/key-history.ts";
import { claim as claimValue } from "../support/store-calls.ts";

const names = (claims: readonly Claim[]) => claims.map(({ sessionId, id }) => `${sessionId}/${id}`);

describe("a claim", () => {
  it("is live while its own key and its session's key exist", () => {
    const keys = new KeyHistory();
    const claim = keys.claim("s1", [exclusive("a")]);
    expect(claim.stage).toBe("live");
    keys.endSession("s1");
    expect(claim.stage).toBe("ended");
    expect(keys.table.claim("s1", claim.id)).toBeUndefined();
    expect(keys.table.queues.size).toBe(0);
  });

  it("that is written without its session's key is not there", () => {
    const keys = new KeyHistory();
    keys.put(claimKey("a", "nobody", 1n), claimValue("a"));
    expect(keys.table.queues.size).toBe(0);
    expect(keys.table.claim("nobody", 1n)).toBeUndefined();
    expect(keys.table.garbageOfSession("nobody")).toEqual([claimKey("a", "nobody", 1n)]);
  });

  it("on several locks is there only when all of its keys are, and gone when one of them is", () => {
    const keys = new KeyHistory();
    keys.session("s1");
    const value = (lock: string) => claimValue(lock, { lockNames: ["a", "b"] });
    keys.put(claimKey("a", "s1", 1n), value("a"));
    expect(keys.table.queues.size).toBe(0);
    const whole = keys.claim("s2", [exclusive("c"), exclusive("d")]);
    keys.delete(claimKey("c", "s2", whole.id));
    expect(whole.stage).toBe("ended");
    expect(keys.table.queues.size).toBe(0);
    expect(keys.table.heldCount).toBe(0);
  });

  it("has a fencing token of its create revision and ordinal, which no update changes", () => {
    const keys = new KeyHistory();
    keys.session("s1");
    keys.step(() => {
      keys.claim("s1", [exclusive("a")], { ordinal: 0 });
      keys.claim("s1", [exclusive("b")], { ordinal: 127 });
    });
    const created = BigInt(keys.revision) * 128n;
    keys.update("s1", 2n, Uint8Array.of(1));
    expect(keys.table.claim("s1", 1n)?.token).toBe(created);
    expect(keys.table.claim("s1", 2n)?.token).toBe(created + 127n);
  });

  it("of the same session on the same lock is a stranger to the other", () => {
    const keys = new KeyHistory();
    const first = keys.claim("s1", [exclusive("a")]);
    const second = keys.claim("s1", [exclusive("a")]);
    expect([first.held, second.held]).toEqual([true, false]);
  });

  it("whose key is deleted and written again in later revisions is another one, at the end", () => {
    const keys = new KeyHistory();
    const first = keys.claim("s1", [exclusive("a")]);
    const waiter = keys.claim("s2", [exclusive("a")]);
    keys.end("s1", first.id);
    keys.put(claimKey("a", "s1", first.id), claimValue("a"));
    const again = keys.table.claim("s1", first.id);
    expect(again).not.toBe(first);
    expect([first.stage, waiter.held, again?.held]).toEqual(["ended", true, false]);
  });
});

describe("entitlement", () => {
  it("is of the first, and of the next one when that is gone, however it went", () => {
    const keys = new KeyHistory();
    const claims = [1, 2, 3, 4].map((i) => keys.claim(`s${i}`, [exclusive("a")]));
    const held = () => claims.map((claim) => claim.held && claim.stage === "live");
    expect(held()).toEqual([true, false, false, false]);
    keys.end("s1", 1n);
    expect(held()).toEqual([false, true, false, false]);
    keys.endSession("s2");
    expect(held()).toEqual([false, false, true, false]);
    keys.step(() => {
      for (const key of [sessionKey("s3"), ...keys.keysOf("s3", 1n)]) keys.delete(key);
    });
    expect(held()).toEqual([false, false, false, true]);
  });

  it("moves up past one that goes from the middle, and lets nobody in early", () => {
    const keys = new KeyHistory();
    const claims = [1, 2, 3].map((i) => keys.claim(`s${i}`, [exclusive("a")]));
    expect(keys.step(() => keys.end("s2", 1n)).granted).toEqual([]);
    expect(keys.step(() => keys.end("s1", 1n)).granted).toEqual([claims[2]]);
  });

  it("of claims of one revision goes by their ordinals, not by the order of their keys", () => {
    const keys = new KeyHistory();
    keys.session("z");
    keys.session("a");
    keys.step(() => {
      keys.claim("a", [exclusive("l")], { ordinal: 1 });
      keys.claim("z", [exclusive("l")], { ordinal: 0 });
    });
    expect(keys.table.claim("z", 1n)?.held).toBe(true);
    expect(keys.table.claim("a", 1n)?.held).toBe(false);
  });

  it("lets readers hold together, and a writer alone", () => {
    const keys = new KeyHistory();
    const readers = [1, 2].map((i) => keys.claim(`r${i}`, [shared("a")]));
    const writer = keys.claim("w", [exclusive("a")]);
    expect([...readers, writer].map(({ held }) => held)).toEqual([true, true, false]);
    keys.end("r1", 1n);
    expect(writer.held).toBe(false);
    keys.end("r2", 1n);
    expect(writer.held).toBe(true);
  });

  it("lets a reader behind a waiting writer wait, and the batch behind it in together", () => {
    const keys = new KeyHistory();
    keys.claim("r0", [shared("a")]);
    keys.claim("w", [exclusive("a")]);
    const batch = [1, 2, 3].map((i) => keys.claim(`r${i}`, [shared("a")]));
    keys.claim("w2", [exclusive("a")]);
    keys.claim("r4", [shared("a")]);
    expect(batch.some(({ held }) => held)).toBe(false);
    keys.end("r0", 1n);
    expect(keys.step(() => keys.end("w", 1n)).granted).toEqual(batch);
  });

  it("gives permits while they fit, in strict order: a large claim is not overtaken by small ones", () => {
    const keys = new KeyHistory();
    keys.claim("a", [semaphore("p", 2, 3)]);
    const large = keys.claim("b", [semaphore("p", 2, 3)]);
    const small = keys.claim("c", [semaphore("p", 1, 3)]);
    expect([large.held, small.held]).toEqual([false, false]);
    expect(keys.step(() => keys.end("a", 1n)).granted).toEqual([large, small]);
  });

  it("takes back all permits of a session that ends, at once", () => {
    const keys = new KeyHistory();
    keys.claim("dead", [semaphore("p", 1, 3)]);
    keys.claim("dead", [semaphore("p", 2, 3)]);
    const waiter = keys.claim("s", [semaphore("p", 3, 3)]);
    expect(keys.step(() => keys.endSession("dead")).granted).toEqual([waiter]);
  });

  it.each([
    ["another limit", semaphore("m", 1, 2)],
    ["a reader", shared("m")],
    ["a writer", exclusive("m")],
  ])("lets %s that slipped in among the claims of a semaphore wait, and harms nobody", (_, stranger) => {
    const keys = new KeyHistory();
    keys.claim("a", [semaphore("m", 1, 3)]);
    const odd = keys.claim("b", [stranger]);
    const behind = keys.claim("c", [semaphore("m", 1, 3)]);
    expect([odd.held, behind.held]).toEqual([false, false]);
    expect(keys.step(() => keys.end("a", 1n)).granted).toEqual([odd]);
    expect(keys.step(() => keys.end("b", 1n)).granted).toEqual([behind]);
  });

  it.each([
    ["first", [exclusive("taken"), exclusive("free")]],
    ["last", [exclusive("free"), exclusive("taken")]],
  ])("of a claim on several locks is of all or none: it holds none while it waits for its %s", (_, locks) => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("taken")]);
    const both = keys.claim("s2", locks);
    const behind = keys.claim("s3", [exclusive("free")]);
    // Nobody holds the other lock, yet whoever came later waits for its turn.
    expect([both.held, behind.held]).toEqual([false, false]);
    expect(keys.step(() => keys.end("s1", 1n)).granted).toEqual([both]);
    expect(keys.step(() => keys.end("s2", 1n)).granted).toEqual([behind]);
  });

  it("goes on along a chain of claims on several locks, as far as it gets", () => {
    const keys = new KeyHistory();
    keys.claim("s0", [exclusive("l0")]);
    const chain = [0, 1, 2, 3].map((i) => keys.claim(`c${i}`, [shared(`l${i}`), shared(`l${i + 1}`)]));
    const writer = keys.claim("w", [exclusive("l2")]);
    const behind = keys.claim("r", [shared("l2"), shared("x")]);
    expect(chain.map(({ held }) => held)).toEqual([false, false, false, false]);
    const { granted } = keys.step(() => keys.end("s0", 1n));
    expect(names(granted).sort()).toEqual(["c0/1", "c1/1", "c2/1", "c3/1"]);
    expect([writer.held, behind.held]).toEqual([false, false]);
  });

  it("of claims on the same locks in opposite orders goes by their place", () => {
    const keys = new KeyHistory();
    const first = keys.claim("s1", [exclusive("a"), exclusive("b")]);
    const second = keys.claim("s2", [exclusive("b"), exclusive("a")]);
    expect([first.held, second.held]).toEqual([true, false]);
    keys.end("s1", 1n);
    expect(second.held).toBe(true);
  });

  it("is decided when all of a revision is there: what it ends and begins is never half seen", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")]);
    keys.claim("s2", [exclusive("a")]);
    keys.session("s3");
    const delta = keys.step(() => {
      keys.claim("s3", [exclusive("a")], { ordinal: 3 });
      keys.end("s1", 1n);
      keys.end("s2", 1n);
    });
    expect(names(delta.ended)).toEqual(["s1/1", "s2/1"]);
    expect(names(delta.granted)).toEqual(["s3/1"]);
  });

  it("counts who holds and who waits", () => {
    const keys = new KeyHistory();
    for (const i of [1, 2, 3]) keys.claim(`s${i}`, [exclusive("a")]);
    keys.claim("s4", [exclusive("b"), exclusive("c")]);
    expect([keys.table.heldCount, keys.table.waitingCount]).toEqual([2, 2]);
    keys.endSession("s1");
    keys.endSession("s4");
    expect([keys.table.heldCount, keys.table.waitingCount]).toEqual([1, 1]);
    keys.table.giveUp(keys.table.claim("s3", 1n)!);
    expect([keys.table.heldCount, keys.table.waitingCount]).toEqual([1, 0]);
  });
});

describe("what a step tells", () => {
  it("is the sessions that were written or ended, the claims that ended, entered and became held, and the locks", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")]);
    keys.claim("s2", [exclusive("a"), exclusive("b")]);
    const delta = keys.step(() => {
      keys.session("s3");
      keys.claim("s3", [exclusive("c")]);
      keys.endSession("s1");
    });
    expect(delta.sessions.map(({ id, now }) => [id, now?.modRevision])).toEqual([
      ["s1", undefined],
      ["s3", keys.revision],
    ]);
    expect(names(delta.ended)).toEqual(["s1/1"]);
    expect(names(delta.entered)).toEqual(["s3/1"]);
    expect(names(delta.granted).sort()).toEqual(["s2/1", "s3/1"]);
    expect([...delta.locks].sort()).toEqual(["a", "b", "c"]);
  });

  it("is each grant once, and those of a lock in order of place", () => {
    const keys = new KeyHistory();
    keys.claim("w", [exclusive("a"), exclusive("b")]);
    for (let i = 0; i < 5; i++) keys.claim(`r${i}`, i % 2 === 0 ? [shared("a"), shared("b")] : [shared("b")]);
    const { granted } = keys.step(() => keys.end("w", 1n));
    expect(names(granted)).toEqual(["r0/1", "r1/1", "r2/1", "r3/1", "r4/1"]);
  });

  it("is an update once, though the claim is on several locks", () => {
    const keys = new KeyHistory();
    const claim = keys.claim("s1", [exclusive("a"), exclusive("b")]);
    const delta = keys.step(() => keys.update("s1", claim.id, Uint8Array.of(7)));
    expect(names(delta.updated)).toEqual(["s1/1"]);
    expect([...delta.locks].sort()).toEqual(["a", "b"]);
    expect(claim.seats.map(({ record }) => record.value[0])).toEqual([7, 7]);
  });

  it("says nothing new of a session written again but its revision", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")]);
    const delta = keys.step(() => keys.session("s1", "server-2"));
    expect(delta.ended.concat(delta.entered, delta.granted)).toEqual([]);
    expect(keys.table.sessions.get("s1")).toMatchObject({ modRevision: keys.revision, createRevision: 2 });
  });
});

describe("garbage", () => {
  it("is the claim keys that a session's end has left behind, and lets nobody wait", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a"), exclusive("b")]);
    keys.claim("s1", [exclusive("a")]);
    keys.endSession("s1");
    expect(keys.claim("s2", [exclusive("a")]).held).toBe(true);
    const garbage = keys.table.garbageOfSession("s1");
    expect(garbage.sort()).toEqual([...keys.keysOf("s1", 1n), ...keys.keysOf("s1", 2n)].sort());
    const delta = keys.step(() => {
      for (const key of garbage) keys.delete(key);
    });
    expect([delta.ended, delta.granted]).toEqual([[], []]);
    expect(keys.table.garbageOfSession("s1")).toEqual([]);
  });
});

describe("a claim that was given up", () => {
  it("lets in whoever is next, though etcd still has it, and ends when it is deleted", () => {
    const keys = new KeyHistory();
    const first = keys.claim("s1", [exclusive("a")]);
    const next = keys.claim("s2", [exclusive("a")]);
    const delta = keys.table.giveUp(first);
    expect(delta.granted).toEqual([next]);
    expect([...delta.locks]).toEqual(["a"]);
    expect(keys.table.claim("s1", 1n)).toBe(first);
    const gone = keys.step(() => keys.end("s1", 1n));
    expect(gone.ended).toEqual([first]);
    expect(gone.granted).toEqual([]);
    expect(keys.table.claim("s1", 1n)).toBeUndefined();
  });

  it("takes nothing from those that are ahead of it", () => {
    const keys = new KeyHistory();
    const holder = keys.claim("s1", [exclusive("a")]);
    const middle = keys.claim("s2", [exclusive("a")]);
    const last = keys.claim("s3", [exclusive("a")]);
    keys.table.giveUp(middle);
    expect([holder.held, last.held]).toEqual([true, false]);
    keys.end("s1", 1n);
    expect(last.held).toBe(true);
  });

  it("can be given up twice, or after its end, without effect", () => {
    const keys = new KeyHistory();
    const first = keys.claim("s1", [exclusive("a")]);
    keys.claim("s2", [exclusive("a")]);
    keys.table.giveUp(first);
    expect(keys.table.giveUp(first).granted).toEqual([]);
    keys.end("s1", 1n);
    expect(keys.table.giveUp(first).granted).toEqual([]);
    expect(keys.table.queues.get("a")?.givenUpCount).toBe(0);
  });

  it("ends with its session, and is garbage then", () => {
    const keys = new KeyHistory();
    const first = keys.claim("s1", [exclusive("a")]);
    keys.table.giveUp(first);
    const delta = keys.step(() => keys.endSession("s1"));
    expect(delta.ended).toEqual([first]);
    expect(keys.table.queues.size).toBe(0);
    expect(keys.table.garbageOfSession("s1")).toEqual(keys.keysOf("s1", 1n));
  });

  it("counts as present for a try until it is gone", () => {
    const keys = new KeyHistory();
    keys.session("s1");
    for (const spec of [exclusive("a"), shared("b"), semaphore("c", 2, 3)]) keys.table.giveUp(keys.claim("s1", [spec]));
    const outlooks = () =>
      [exclusive("a"), exclusive("b"), shared("b"), semaphore("c", 1, 3), semaphore("c", 2, 3), shared("c")].map(
        (spec) => keys.table.outlook([spec]),
      );
    expect(outlooks()).toEqual(["taken", "taken", "free", "free", "taken", "taken"]);
    keys.endSession("s1");
    expect(outlooks()).toEqual(["free", "free", "free", "free", "free", "free"]);
  });

  it("that waited may or may not be in the way of a try: nobody can tell until it is gone", () => {
    const keys = new KeyHistory();
    const writer = keys.claim("s1", [exclusive("a")]);
    const reader = keys.claim("s2", [shared("a")]);
    keys.table.giveUp(reader);
    keys.end("s1", writer.id);
    expect(keys.table.outlook([shared("a")])).toBe("unclear");
    expect(keys.table.outlook([exclusive("a")])).toBe("taken");
    keys.end("s2", reader.id);
    expect(keys.table.outlook([shared("a")])).toBe("free");
  });

  it("lets nobody tell whether those wait whom it let in on other locks as well", () => {
    const keys = new KeyHistory();
    const first = keys.claim("s1", [exclusive("a")]);
    const both = keys.claim("s2", [exclusive("a"), shared("b")]);
    expect(keys.table.outlook([shared("b")])).toBe("taken");
    keys.table.giveUp(first);
    expect(both.held).toBe(true);
    expect(keys.table.outlook([shared("b")])).toBe("unclear");
    keys.end("s1", first.id);
    expect(keys.table.outlook([shared("b")])).toBe("free");
  });
});

describe("the outlook of a try", () => {
  it("is free only if nobody waits on its locks and all who hold them allow it", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [shared("a")]);
    expect(keys.table.outlook([shared("a"), exclusive("b")])).toBe("free");
    expect(keys.table.outlook([exclusive("a")])).toBe("taken");
    keys.claim("s2", [exclusive("a")]);
    expect(keys.table.outlook([shared("a")])).toBe("taken");
    expect(keys.table.outlook([exclusive("b"), shared("a")])).toBe("taken");
  });
});

describe("lock names", () => {
  it.each(["a b", "käse/☕", "%2F", ".hidden", '"quoted"', "a/b", "claim/x", "session/s1", "\u{10ffff}", "x/y/z/0"])(
    "may be odd: %s is a lock of its own",
    (name) => {
      const keys = new KeyHistory();
      const claim = keys.claim("s1", [exclusive(name)]);
      const behind = keys.claim("s2", [exclusive(name), exclusive("a")]);
      expect([claim.held, behind.held]).toEqual([true, false]);
      expect(keys.table.queues.get(name)?.size).toBe(2);
      keys.end("s1", 1n);
      expect(behind.held).toBe(true);
    },
  );

  it("that start alike are unrelated locks", () => {
    const keys = new KeyHistory();
    const held = ["a", "a/b", "a/b/c", "ab"].map((name, i) => keys.claim(`s${i}`, [exclusive(name)]).held);
    expect(held).toEqual([true, true, true, true]);
  });
});
