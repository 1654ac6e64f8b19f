import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { drain, loop } from "../../bench/load/hot-lock.ts";
import { type Kind, kindNames, kinds } from "../../bench/load/kinds.ts";
import type { Held, Locker } from "../../bench/load/locker.ts";
import { pairs } from "../../bench/load/pairs.ts";
import type { LockServiceClient } from "../../clients/typescript/src/gen/holdfast/v1/lock_service.ts";
import type { LockTarget } from "../../clients/typescript/src/index.ts";

/** A lock service in this process: it lets in whoever `next` picks of those who wait, by their place. */
class FakeService implements Locker {
  readonly #waiters: { readonly place: number; readonly enter: (held: Held) => void }[] = [];
  readonly #next: (places: readonly number[]) => number;
  #last = 0;
  #isHeld = false;

  constructor(next: (places: readonly number[]) => number = (places) => Math.min(...places)) {
    this.#next = next;
  }

  get looker(): LockServiceClient {
    const answer = (_: unknown, done: (error: null, answer: object) => void) =>
      done(null, { lock: { waiterCount: this.#waiters.length } });
    return { getLock: answer } as unknown as LockServiceClient;
  }

  acquire(): Promise<Held> {
    const place = ++this.#last;
    return new Promise((enter) => {
      this.#waiters.push({ place, enter });
      this.#letIn();
    });
  }

  async close(): Promise<void> {}

  #letIn(): void {
    if (this.#isHeld || this.#waiters.length === 0) return;
    this.#isHeld = true;
    const place = this.#next(this.#waiters.map((waiter) => waiter.place));
    const [waiter] = this.#waiters.splice(
      this.#waiters.findIndex((candidate) => candidate.place === place),
      1,
    );
    const release = async () => {
      await delay(1);
      this.#isHeld = false;
      this.#letIn();
    };
    waiter!.enter({ token: BigInt(place), release });
  }
}

const load = { waiters: 20, warmupSeconds: 0, seconds: 0.01 };

describe("pairs", () => {
  const asking = kinds.exclusive;
  const slow: Locker = {
    acquire: async () => {
      await delay(20);
      return { token: 1n, release: () => delay(5) };
    },
    close: async () => {},
  };

  it("are counted with the time that each part took", async () => {
    const { count, seconds, perSecond, latencies } = await pairs([slow], {
      inFlight: 2,
      asking,
      warmupSeconds: 0,
      seconds: 0.3,
    });
    expect(count).toBeGreaterThanOrEqual(2);
    expect(count).toBeLessThanOrEqual(2 * 12);
    expect(perSecond).toBeCloseTo(count / seconds);
    expect(latencies!.lock!.p50Ms).toBeGreaterThan(15);
    expect(latencies!.unlock!.p50Ms).toBeLessThan(latencies!.lock!.p50Ms);
  });

  it("are waited for when the time was too short for one", async () => {
    const { count, seconds } = await pairs([slow], { inFlight: 3, asking, warmupSeconds: 0, seconds: 0.001 });
    expect(count).toBe(3);
    expect(seconds).toBeGreaterThan(0.02);
  });

  it("fail when the lock service does", async () => {
    const broken = { ...slow, acquire: () => Promise.reject(new Error("gone")) };
    await expect(pairs([broken], { inFlight: 2, asking, warmupSeconds: 0, seconds: 1 })).rejects.toThrow("gone");
  });
});

describe("a kind of claims", () => {
  const asked = (kind: Kind) => {
    const asking = kinds[kind]("run", 32);
    const workers = Array.from({ length: 32 }, (_, worker) => worker);
    return workers.flatMap((worker) => [0, 1].map((turn) => asking(worker, turn)));
  };
  const namesOf = (claims: readonly (readonly LockTarget[])[]) =>
    new Set(claims.flat().map((target) => (typeof target === "string" ? target : target.name)));

  it("meets nobody where each has locks of its own, and everybody on one lock elsewhere", () => {
    const sizes = Object.fromEntries(kindNames.map((kind) => [kind, namesOf(asked(kind)).size]));
    expect(sizes).toEqual({
      exclusive: 32,
      shared: 1,
      "shared-and-writers": 1,
      semaphore: 1,
      "semaphore-few": 1,
      "two-locks": 64,
    });
  });

  it("writes one time in 16 where it reads and writes", () => {
    expect(asked("shared-and-writers").filter(([target]) => typeof target === "string")).toHaveLength(64 / 16);
  });

  it("has permits for all or for few", () => {
    expect(asked("semaphore").flat()).toContainEqual({ name: "run", mode: "semaphore", permits: 1, limit: 32 });
    expect(asked("semaphore-few").flat()).toContainEqual({ name: "run", mode: "semaphore", permits: 1, limit: 8 });
  });
});

describe("a hot lock", () => {
  it("is drained in order by a service that is fair", async () => {
    const service = new FakeService();
    const { count, fifo } = await drain([service, service], service.looker, load);
    expect({ count, fifo }).toEqual({ count: 20, fifo: true });
  });

  it("is seen to be out of order when one waiter is overtaken", async () => {
    const service = new FakeService((places) => (places.length === 2 ? Math.max(...places) : Math.min(...places)));
    const { count, fifo } = await drain([service, service], service.looker, load);
    expect({ count, fifo }).toEqual({ count: 20, fifo: false });
  });

  it("goes round until the time has passed and something was done", async () => {
    const service = new FakeService();
    const { count, seconds } = await loop([service, service], service.looker, { ...load, seconds: 0.001 });
    expect(count).toBeGreaterThanOrEqual(10);
    expect(seconds).toBeGreaterThan(0.01);
  });
});
