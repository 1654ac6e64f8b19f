import { describe, expect, it } from "vitest";
import type { LockSpec } from "../../server/core/frames.ts";
import { claimKey } from "../../server/core/keys.ts";
import { LockTable } from "../../server/core/lock-table.ts";
import { type TrueClaim, trueClaims, trueHolders, wouldHold } from "../simulation/reference.ts";
import { compareTable } from "../simulation/table-check.ts";
import { exclusive, KeyHistory, semaphore, shared } from "../support/key-history.ts";
import { Random } from "../support/random.ts";
import { claim as claimValue } from "../support/store-calls.ts";

/** Writes a random history, revision by revision: what clients, servers, administrators and etcd itself may do. */
class RandomHistory {
  readonly keys = new KeyHistory();
  private readonly random: Random;
  private readonly sessions: string[] = [];
  private readonly ended: string[] = [];

  constructor(random: Random) {
    this.random = random;
    for (let i = 0; i < 3; i++) this.openSession();
  }

  private openSession(): void {
    const id = `s${this.sessions.length + this.ended.length}`;
    this.sessions.push(id);
    this.keys.session(id);
  }

  private endSession(id: string): void {
    this.sessions.splice(this.sessions.indexOf(id), 1);
    this.ended.push(id);
    this.openSession();
  }

  spec(name: string): LockSpec {
    const { random } = this;
    // The odd one that slipped in among others, too.
    if (name === "pool" ? random.happens(0.95) : random.happens(0.03))
      return semaphore(name, 1 + random.below(2), random.happens(0.95) ? 3 : 2);
    return random.happens(0.5) ? exclusive(name) : shared(name);
  }

  specs(): LockSpec[] {
    const { random } = this;
    if (random.happens(0.7)) return [this.spec(random.pick(["a", "a/b", "pool"]))];
    return ["pool", "a/b", "a"].filter(() => random.happens(0.66)).map((name) => this.spec(name));
  }

  /** Claims of a live session with all their keys, by session and claim id. */
  private claims(): TrueClaim[] {
    return trueClaims(this.keys.entries.values());
  }

  step(): void {
    const { keys, random } = this;
    const claims = this.claims();
    const kind = random.next();
    if (kind < 0.45 || claims.length === 0) this.enterSome();
    else if (kind < 0.7) {
      // Several end in one revision, and somebody enters in it.
      const ends = claims.filter(() => random.happens(0.3));
      keys.step(() => {
        for (const { sessionId, claimId } of ends) keys.end(sessionId, claimId);
        if (random.happens(0.3)) this.enter(0);
      });
    } else if (kind < 0.8) keys.update(...this.pickClaim(claims), Uint8Array.of(random.below(256)));
    else if (kind < 0.85) {
      const id = random.pick(this.sessions);
      keys.endSession(id);
      this.endSession(id);
    } else if (kind < 0.89) {
      const id = random.pick(this.sessions);
      keys.step(() => {
        for (const key of [...keys.entries.keys()]) if (key.includes(`//${id}/`)) keys.delete(key);
        keys.endSession(id);
      });
      this.endSession(id);
    } else if (kind < 0.93) {
      const garbage = this.ended.flatMap((id) => keys.table.garbageOfSession(id));
      keys.step(() => {
        for (const key of garbage.filter(() => random.happens(0.5))) keys.delete(key);
      });
    } else if (kind < 0.96) {
      const [sessionId, claimId] = this.pickClaim(claims);
      keys.delete(random.pick(keys.keysOf(sessionId, claimId)));
    } else if (kind < 0.98) keys.session(random.pick(this.sessions), `server-${random.below(3)}`);
    else keys.put(claimKey("a", `nobody${random.below(3)}`, BigInt(1 + random.below(3))), claimValue("a"));
  }

  private pickClaim(claims: readonly TrueClaim[]): [string, bigint] {
    const { sessionId, claimId } = this.random.pick(claims);
    return [sessionId, claimId];
  }

  private enterSome(): void {
    const count = 1 + this.random.below(4);
    this.keys.step(() => {
      for (const ordinal of shuffled([...Array(count).keys()], this.random)) this.enter(ordinal);
    });
  }

  private enter(ordinal: number): void {
    const locks = this.specs();
    if (locks.length > 0) this.keys.claim(this.random.pick(this.sessions), locks, { ordinal });
  }
}

function shuffled<Item>(items: Item[], random: Random): Item[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [items[i], items[j]] = [items[j] as Item, items[i] as Item];
  }
  return items;
}

const truthOf = (keys: KeyHistory) => {
  const claims = trueClaims(keys.entries.values());
  return { revision: keys.revision, atMs: 0, claims, held: trueHolders(claims) };
};

const SEEDS = 150;
const STEPS = 60;

describe("in random histories of all kinds of claims", () => {
  it("a table that followed every revision, one from a snapshot, and one with gaps say what the keys say", () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new Random(seed);
      const history = new RandomHistory(random);
      const { keys } = history;
      const gappy = new LockTable();
      let followed = 0;
      for (let step = 0; step < STEPS; step++) {
        history.step();
        const truth = truthOf(keys);
        const at = `seed ${seed}, revision ${keys.revision}`;
        expect(compareTable(keys.table, truth), `${at}, from the log`).toBeUndefined();
        const snapshot = [...keys.entries.values()];
        const fresh = new LockTable();
        fresh.replace(keys.revision, shuffled(snapshot, random));
        expect(compareTable(fresh, truth), `${at}, from a snapshot`).toBeUndefined();
        expect(countsOf(fresh), `${at}, counts`).toEqual(countsOf(keys.table));
        if (random.happens(0.2)) continue;
        if (random.happens(0.3)) gappy.replace(keys.revision, snapshot);
        else for (const { revision, changes } of keys.log.slice(followed)) gappy.apply(revision, changes);
        followed = keys.log.length;
        expect(compareTable(gappy, truth), `${at}, with gaps`).toBeUndefined();
        expect(gappy.disagreement({ revision: keys.revision, entries: snapshot }, new Set()), at).toBeUndefined();
      }
    }
  });

  it("each step tells exactly which claims entered, became held and ended", () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const history = new RandomHistory(new Random(seed));
      const { keys } = history;
      const { apply } = keys.table;
      let before = truthOf(keys);
      keys.table.apply = (revision, changes) => {
        const delta = apply.call(keys.table, revision, changes);
        const now = truthOf(keys);
        const at = `seed ${seed}, revision ${revision}`;
        const places = (claims: Iterable<TrueClaim>) => [...claims].map(({ id, token }) => `${id}@${token}`).sort();
        const told = (claims: typeof delta.granted) =>
          claims.map((claim) => `${claim.sessionId}/${hex(claim.id)}@${claim.token}`).sort();
        expect(told(delta.entered), at).toEqual(without(places(now.claims), places(before.claims)));
        expect(told(delta.ended), at).toEqual(without(places(before.claims), places(now.claims)));
        expect(told(delta.granted), at).toEqual(without(places(now.held), places(before.held)));
        before = now;
        return delta;
      };
      for (let step = 0; step < STEPS; step++) history.step();
    }
  });

  it("grants of one lock are told in order of place, with growing tokens, and are never taken back", () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const history = new RandomHistory(new Random(seed));
      const { table } = history.keys;
      const last = new Map<string, bigint>();
      const { apply } = table;
      table.apply = (revision, changes) => {
        const delta = apply.call(table, revision, changes);
        for (const claim of delta.granted)
          for (const lock of claim.lockNames) {
            expect(claim.token, `seed ${seed}, revision ${revision}, ${lock}`).toBeGreaterThan(last.get(lock) ?? 0n);
            last.set(lock, claim.token);
          }
        return delta;
      };
      for (let step = 0; step < STEPS; step++) history.step();
    }
  });

  it("what was given up is left out, until etcd has forgotten it too", () => {
    let givenUp = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new Random(seed);
      const history = new RandomHistory(random);
      const { keys } = history;
      for (let step = 0; step < STEPS; step++) {
        history.step();
        const live = trueClaims(keys.entries.values());
        if (live.length > 0 && random.happens(0.4)) {
          const { sessionId, claimId } = random.pick(live);
          keys.table.giveUp(keys.table.claim(sessionId, claimId)!);
          givenUp++;
        }
        expect(compareTable(keys.table, truthOf(keys)), `seed ${seed}, revision ${keys.revision}`).toBeUndefined();
      }
    }
    expect(givenUp).toBeGreaterThan(500);
  });

  it("the outlook of a try is true of the keys that etcd has, or says that it cannot tell", () => {
    const seen = { free: 0, taken: 0, unclear: 0 };
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new Random(seed);
      const history = new RandomHistory(random);
      const { keys } = history;
      for (let step = 0; step < STEPS; step++) {
        history.step();
        const live = trueClaims(keys.entries.values());
        if (live.length > 0 && random.happens(0.3)) {
          const { sessionId, claimId } = random.pick(live);
          keys.table.giveUp(keys.table.claim(sessionId, claimId)!);
        }
        const locks = history.specs();
        const outlook = keys.table.outlook(locks);
        seen[outlook]++;
        if (outlook === "unclear") continue;
        const wanted = wouldHold(live, locks) ? "free" : "taken";
        expect(outlook, `seed ${seed}, revision ${keys.revision}, ${JSON.stringify(locks)}`).toBe(wanted);
      }
    }
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(100);
  });
});

const countsOf = ({ heldCount, waitingCount, queues, sessions, waitingThreads }: LockTable) => ({
  heldCount,
  waitingCount,
  queues: [...queues.keys()].sort(),
  sessions: [...sessions.keys()].sort(),
  waitingThreads: waitingThreads.size,
});

const hex = (claimId: bigint): string => claimId.toString(16).padStart(16, "0");

const without = (all: readonly string[], some: readonly string[]): string[] =>
  all.filter((each) => !some.includes(each));
