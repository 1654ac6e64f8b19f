import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { Etcd3 } from "etcd3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, connect, type HeldLock } from "../../clients/typescript/src/index.ts";
import { claimOf, guardedPut } from "../../examples/guarded-resource/etcd.ts";
import { guardedDocument, putDocument } from "../../examples/guarded-resource/http.ts";
import { deposit, schema } from "../../examples/guarded-resource/postgres.ts";
import { startPostgres } from "../support/postgres.ts";
import { useService } from "../support/service.ts";

const service = useService();

/** A lock that its holder takes for held, and the lock of the one who holds it by now. */
async function lateAndNext(name: string): Promise<{ late: HeldLock; next: HeldLock } & AsyncDisposable> {
  const [first, second]: [Client, Client] = [connect(service().address()), connect(service().address())];
  const late = await first.acquire(name);
  // A plain object stands for the program that stood still: it does not hear that its lock is gone.
  const asleep = { name, token: late.token, signal: new AbortController().signal } as HeldLock;
  await first.close();
  return {
    late: asleep,
    next: await second.acquire(name),
    [Symbol.asyncDispose]: () => second.close(),
  };
}

describe("a resource that refuses old tokens", () => {
  let parts: AsyncDisposableStack;
  beforeAll(() => {
    parts = new AsyncDisposableStack();
  });
  afterAll(() => parts.disposeAsync());

  it("PostgreSQL refuses a write by an earlier holder, in the statement that writes", async () => {
    const db = await parts.use(await startPostgres()).connect();
    parts.defer(() => db.end());
    await db.query(schema);
    await db.query("INSERT INTO account (name, balance) VALUES ('ann', 100)");
    await using locks = await lateAndNext("account/ann");
    await deposit(db, locks.next, "ann", 10);
    await deposit(db, locks.next, "ann", 10);
    await expect(deposit(db, locks.late, "ann", -100)).rejects.toThrow(/is too old/);
    const { rows } = await db.query("SELECT balance, fence FROM account");
    expect(rows).toEqual([{ balance: "120", fence: locks.next.token.toString() }]);
  });

  it("an HTTP endpoint refuses a request that shows an old token, or none", async () => {
    const server = guardedDocument().listen(0, "127.0.0.1");
    await once(server, "listening");
    parts.defer(() => {
      server.close();
      server.closeAllConnections();
    });
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    await using locks = await lateAndNext("document");
    await putDocument(url, locks.next, "by the next");
    await expect(putDocument(url, locks.late, "by the late")).rejects.toThrow(/^412 .* is too old/);
    expect((await fetch(url, { method: "PUT", body: "by nobody" })).status).toBe(428);
    expect(await (await fetch(url)).text()).toBe("by the next");
  });

  it("etcd refuses a write from the moment at which the lock is lost, before the next holder has written", async () => {
    const etcd = new Etcd3({ hosts: service().etcd.endpoint });
    parts.defer(() => etcd.close());
    const client = connect(service().address());
    const lock = await client.acquire("config");
    const claim = await claimOf(client, lock);
    expect(await guardedPut(etcd, "holdfast/", claim, ["app/config", "1"])).toBe(true);
    expect(await guardedPut(etcd, "holdfast/", { ...claim, token: claim.token + 128n }, ["app/config", "2"])).toBe(
      false,
    );
    await client.close();
    expect(await guardedPut(etcd, "holdfast/", claim, ["app/config", "3"])).toBe(false);
    expect(await etcd.get("app/config").string()).toBe("1");
    await etcd.delete().key("app/config");
  });
});
