import { describe, expect, it } from "vitest";
import { connectAdmin } from "../../clients/typescript/src/admin.ts";
import { HoldfastError } from "../../clients/typescript/src/index.ts";
import { useService } from "../support/service.ts";

const service = useService({ servers: 2 });

const failureOf = (call: Promise<unknown>): Promise<HoldfastError> =>
  call.then(
    () => {
      throw new Error("it was done");
    },
    (error) => error,
  );

describe("the library for the people on call", () => {
  it("asks the first server that answers, and goes on with it", async () => {
    await using admin = connectAdmin(["127.0.0.1:1", service().address(1)]);
    const { serverId } = await admin.getStatus();
    await using direct = connectAdmin(service().address(1));
    expect((await direct.getStatus()).serverId).toBe(serverId);
    expect((await admin.listEvents()).serverId).toBe(serverId);
  });

  it("says that nobody answers, and that it cannot connect like this", async () => {
    await using admin = connectAdmin(["127.0.0.1:1"], { callTimeoutMs: 1_000 });
    const error = await failureOf(admin.getStatus());
    expect(error).toBeInstanceOf(HoldfastError);
    expect(error.reason).toBe("unreachable");
    expect(() => connectAdmin([])).toThrow(expect.objectContaining({ reason: "invalid" }));
    expect(() => connectAdmin("a:1", { token: "two\nlines" })).toThrow(expect.objectContaining({ reason: "invalid" }));
  });

  it("lists all sessions, however many pages they take", async () => {
    await using sessions = await service().sessionsAt(
      Array.from({ length: 150 }, (_, i) => i % 2),
      {
        ttlMs: 60_000,
      },
    );
    await using admin = connectAdmin(service().address(0));
    const ids: string[] = [];
    for await (const { sessionId } of admin.listSessions()) ids.push(sessionId);
    expect(ids).toEqual(sessions.list.map(({ id }) => id).sort());
  });

  it("tells by reasons what was refused, and who holds the lock", async () => {
    await using sessions = await service().sessionsAt([0], { ttlMs: 60_000, name: "holder" });
    const { token } = await sessions.list[0].take("library/a");
    await using admin = connectAdmin(service().address(1));
    const wrong = await failureOf(admin.releaseLock("library/a", token + 1n, "by mistake"));
    expect(wrong).toMatchObject({ reason: "wrong-token", lock: "library/a", holders: [{ token }], holderCount: 1 });
    expect(await failureOf(admin.closeSession("nobody", "x"))).toMatchObject({ reason: "not-found" });
    const [other] = (await admin.getStatus()).servers.filter(({ address }) => address === service().address(0));
    expect(await failureOf(admin.drainServer(other!.serverId))).toMatchObject({ reason: "wrong-server" });
    expect((await admin.releaseLock("library/a", token, "really")).claim?.fencingToken).toBe(token);
  });

  it("follows statistics until it is told to stop", async () => {
    await using admin = connectAdmin(service().address(0));
    const stop = new AbortController();
    let seen = 0;
    for await (const samples of admin.watchStatistics(stop.signal)) {
      seen += samples.length;
      if (seen >= 2) stop.abort();
    }
    expect(seen).toBeGreaterThanOrEqual(2);
    for await (const _ of admin.watchStatistics(AbortSignal.abort())) throw new Error("it was told to stop before");
  });
});
