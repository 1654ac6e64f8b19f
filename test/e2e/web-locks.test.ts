import { describe, expect, it } from "vitest";
import { type Client, connect, LockLostError, WebLocks } from "../../clients/typescript/src/index.ts";
import { startRelay } from "../support/relay.ts";
import { useService } from "../support/service.ts";

const service = useService({ flags: ["--advertise-address", "none"] });

const client = (options: Parameters<typeof connect>[1] = {}): Client => connect(service().address(), options);

describe("the service with the face of the Web Locks API", () => {
  it("calls back with the lock, one at a time, and gives back what the callback returns", async () => {
    await using a = client();
    await using b = client();
    let inside = 0;
    const enter = (locks: WebLocks) =>
      locks.request("web/1", async ({ name, mode, held }) => {
        expect(++inside).toBe(1);
        await new Promise(setImmediate);
        inside--;
        return [name, mode, held.token > 0n];
      });
    const [locksOfA, locksOfB] = [new WebLocks(a), new WebLocks(b)];
    const results = await Promise.all([enter(locksOfA), enter(locksOfB), enter(locksOfA), enter(locksOfB)]);
    expect(results).toEqual(Array(4).fill(["web/1", "exclusive", true]));
  });

  it("lets readers in together, and calls back with null where it is not to wait", async () => {
    await using a = client();
    const locks = new WebLocks(a);
    const what = await locks.request("web/2", { mode: "shared" }, () =>
      locks.request("web/2", { mode: "shared", ifAvailable: true }, async (second) => {
        expect(second?.mode).toBe("shared");
        return locks.request("web/2", { ifAvailable: true }, (third) => third);
      }),
    );
    expect(what).toBeNull();
  });

  it("rejects with what the callback throws, and with the reason of a signal", async () => {
    await using a = client();
    const locks = new WebLocks(a);
    await expect(locks.request("web/3", () => Promise.reject(new Error("mine")))).rejects.toThrow("mine");
    await locks.request("web/3", async () => {
      const impatient = new AbortController();
      const waiting = locks.request("web/3", { signal: impatient.signal }, () => "never");
      impatient.abort(new Error("enough"));
      await expect(waiting).rejects.toThrow("enough");
      await expect(locks.request("web/3", { signal: impatient.signal }, () => "never")).rejects.toThrow("enough");
    });
  });

  it("refuses what it cannot do", async () => {
    await using a = client();
    const locks = new WebLocks(a);
    const never = () => "never";
    const refused = { name: "NotSupportedError" };
    await expect(locks.request("web/4", { steal: true }, never)).rejects.toMatchObject(refused);
    await expect(locks.request("-web", never)).rejects.toMatchObject(refused);
    const both = { ifAvailable: true, signal: AbortSignal.timeout(1) };
    await expect(locks.request("web/4", both, never)).rejects.toMatchObject(refused);
    await expect(locks.request("web//4", never)).rejects.toMatchObject({ reason: "invalid" });
  });

  it("shows who holds and who waits", async () => {
    await using a = client();
    await using b = client();
    const locks = new WebLocks(a);
    let released: Promise<unknown> | undefined;
    await locks.request("web/5/a", { mode: "shared" }, async () => {
      const onWaiting = Promise.withResolvers<void>();
      const waiting = b.acquire("web/5/a", { onWaiting: () => onWaiting.resolve() });
      await onWaiting.promise;
      expect(await locks.query({ prefix: "web/5/" })).toEqual({
        held: [{ name: "web/5/a", mode: "shared", clientId: a.sessionId }],
        pending: [{ name: "web/5/a", mode: "exclusive", clientId: b.sessionId }],
      });
      released = waiting.then((lock) => lock.release());
    });
    await released;
  });

  it("rejects when the lock is lost, and tells the callback", async () => {
    await using relay = await startRelay(service().address());
    await using a = connect(relay.endpoint, { ttlMs: 2000, closeTimeoutMs: 0 });
    const request = new WebLocks(a).request("web/6", async ({ held }) => {
      const lost = new Promise<LockLostError>((resolve) => held.onLost(resolve));
      relay.cut();
      expect(await lost).toBeInstanceOf(LockLostError);
      // Lost already: told at once.
      const again = await new Promise<LockLostError>((resolve) => held.onLost(resolve));
      expect(again).toBe(held.loss);
      return "done, or so it thinks";
    });
    await expect(request).rejects.toMatchObject({ reason: "session-expired" });
  });
});
