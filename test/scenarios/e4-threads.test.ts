import { describe, expect, it } from "vitest";
import { connect, type HoldfastError, semaphore, shared } from "../../clients/typescript/src/index.ts";
import { useService } from "../support/service.ts";

const service = useService({ servers: 2 });

const client = (server = 0) => connect(service().address(server));

const reasonOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "no error",
    (error: HoldfastError) => error.reason,
  );

describe("threads of control in the TypeScript client", () => {
  it("E4 a nested withLock re-enters with the same token, and the lock goes with the last", async () => {
    await using c = client();
    await c.withLock("e4/nested", async (outer) => {
      const before = await service().etcd.revision();
      await c.withLock("e4/nested", async (inner) => {
        expect(inner.token).toBe(outer.token);
        await c.withLock(shared("e4/nested"), async (innermost) => expect(innermost.token).toBe(outer.token));
      });
      expect(outer.held).toBe(true);
      expect(await service().etcd.writesSince(before)).toBe(0);
      expect((await c.getLock("e4/nested")).holderCount).toBe(1);
    });
    expect((await c.getLock("e4/nested")).state).toBe("free");
  });

  it("E4 an inner call that nobody awaits keeps the lock until it is done", async () => {
    await using c = client();
    const gate = Promise.withResolvers<void>();
    let floating: Promise<boolean> | undefined;
    await c.withLock("e4/floating", async () => {
      floating = c.withLock("e4/floating", async (lock) => {
        await gate.promise;
        return lock.held;
      });
    });
    expect((await c.getLock("e4/floating")).holderCount).toBe(1);
    gate.resolve();
    expect(await floating).toBe(true);
    expect((await c.getLock("e4/floating")).state).toBe("free");
  });

  it("E4 calls made side by side inside one function exclude each other", async () => {
    await using c = client();
    let inside = 0;
    let most = 0;
    const enter = () =>
      c.withLock("e4/side", async () => {
        most = Math.max(most, ++inside);
        await service().getLock("e4/side");
        inside--;
      });
    await c.withLock("e4/around", () => Promise.all([enter(), enter(), enter()]));
    expect(most).toBe(1);
  });

  it("E4 a call that would wait for the withLock around it is refused at once", async () => {
    await using c = client();
    await c.withLock(shared("e4/self"), async () => {
      expect(await reasonOf(c.withLock("e4/self", () => "in"))).toBe("deadlock");
      expect(await reasonOf(c.acquire("e4/self"))).toBe("deadlock");
      expect(await reasonOf(c.acquire("e4/self", { waitMs: 0 }))).toBe("busy");
      await c.withLock(["e4/other", shared("e4/self")], async (lock) => expect(lock.locks).toHaveLength(2));
    });
    await c.withLock(semaphore("e4/permits", { limit: 2 }), () =>
      c.withLock(semaphore("e4/permits", { limit: 2, permits: 1 }), (lock) => expect(lock.held).toBe(true)),
    );
  });

  it("E4 with reentrant false a nested call is a stranger", async () => {
    await using c = client();
    await c.withLock("e4/opt-out", async () => {
      expect(await reasonOf(c.withLock("e4/opt-out", { reentrant: false, waitMs: 0 }, () => "in"))).toBe("busy");
    });
  });

  it("E4 more than 100 times inside is too deep", async () => {
    await using c = client();
    const dive = (depth: number): Promise<number> =>
      c.withLock("e4/deep", async () => (depth === 100 ? depth : await dive(depth + 1)));
    expect(await dive(1)).toBe(100);
    const tooDeep = (depth: number): Promise<number> => c.withLock("e4/deep", () => tooDeep(depth + 1));
    expect(await reasonOf(tooDeep(1))).toBe("too-deep");
    expect((await c.getLock("e4/deep")).state).toBe("free");
  });

  it("E5 two threads that wait for each other in nested locks: the younger is refused, the other goes on", async () => {
    await using c = client(0);
    const bothIn = Promise.withResolvers<void>();
    let inside = 0;
    const nest = (first: string, second: string) =>
      c.withLock(first, async () => {
        if (++inside === 2) bothIn.resolve();
        await bothIn.promise;
        return c.withLock(second, () => "through");
      });
    const outcomes = await Promise.all([reasonOf(nest("e5/x", "e5/y")), reasonOf(nest("e5/y", "e5/x"))]);
    expect(outcomes.sort()).toEqual(["deadlock", "no error"]);
  });
});
