import { type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EventKind } from "../../clients/typescript/src/gen/holdfast/v1/admin_service.ts";
import { connect } from "../../clients/typescript/src/index.ts";
import { detailsOf } from "../service/harness.ts";
import { Admin } from "../support/admin.ts";
import { eventually } from "../support/eventually.ts";
import { useService } from "../support/service.ts";

const service = useService({ servers: 2, flags: ["--log-format", "json"] });

let admins: [Admin, Admin];
beforeAll(() => {
  admins = [new Admin(service().address(0)), new Admin(service().address(1))];
});
afterAll(() => {
  for (const admin of admins) admin[Symbol.dispose]();
});

const failureOf = (call: Promise<unknown>): Promise<ServiceError> =>
  call.then(
    () => {
      throw new Error("it was done");
    },
    (error) => error,
  );

/** The line of a server's log that tells of an event about something. */
const logged = async (server: 0 | 1, event: string, about: string) =>
  JSON.parse(await service().servers[server]!.untilLogged(new RegExp(`"event":"${event}".*"${about}"`)));

describe("G4 a release by force", () => {
  it.each([
    ["the holder's own server", 0],
    ["another server", 1],
  ] as const)(
    "through %s frees the lock, tells the victim why, and is logged with who, what and why",
    async (_, at) => {
      await using sessions = await service().sessionsAt([0, 1], { ttlMs: 60_000, keep: true, name: "stuck" });
      const [holder, waiter] = sessions.list;
      const name = `forced/${at}`;
      const { token } = await holder.take(name);
      const waiting = waiter.acquire(name);
      await waiting.waits();
      const justification = "it hangs since noon";
      const { claim } = await admins[at].releaseLock({ name, fencingToken: token, justification });
      expect(claim).toMatchObject({ sessionId: holder.id, fencingToken: token, client: { name: "stuck" } });
      const lost = await holder.inbox.first((event) => (event.$case === "lost" ? event.value : undefined));
      expect(lost.message).toBe(
        `the claim on "${name}" was ended by an administrator, who says: ${justification}: stop using what it guards`,
      );
      const { locks } = await waiting.granted;
      // Each server knows that it was by force, whichever did it.
      expect(locks[0]?.previous).toMatchObject({ fencingToken: token, end: 4 });
      const line = await logged(at, "claim.forced", name);
      expect(line).toMatchObject({
        level: "warn",
        session: holder.id,
        token: String(token),
        justification,
        known: true,
      });
      expect(line.actor).toMatch(/^127\.0\.0\.1:\d+$/);
      const forced = await admins[at].listEvents({ lockName: name, kinds: [EventKind.FORCED] });
      expect(forced.events).toMatchObject([{ actor: line.actor, message: justification, fencingToken: token }]);
      const seen = await admins[0].listEvents({ lockName: name, kinds: [EventKind.LOST] });
      expect(seen.events).toMatchObject([{ actor: line.actor, message: lost.message }]);
      // The session lives on.
      await holder.take(`${name}/again`);
    },
  );

  it("tells a program that uses the client library", async () => {
    await using client = connect(service().address(0));
    const lock = await client.acquire(["forced/x", "forced/y"]);
    const lost = new Promise((resolve) => lock.signal.addEventListener("abort", () => resolve(lock.loss)));
    const request = { name: "forced/y", fencingToken: lock.token, justification: "two at once" };
    await admins[1].releaseLock(request);
    expect(await lost).toMatchObject({ reason: "released-by-force", message: expect.stringContaining("two at once") });
    for (const name of ["forced/x", "forced/y"])
      expect(await service().getLock(name)).toMatchObject({ holderCount: 0 });
  });

  it("needs the token of a holder: with another it does nothing and tells who holds the lock", async () => {
    await using sessions = await service().sessionsAt([0], { ttlMs: 60_000, name: "innocent" });
    const [holder] = sessions.list;
    const { token } = await holder.take("forced/guarded");
    const request = { name: "forced/guarded", fencingToken: token - 1n, justification: "by mistake" };
    const error = await failureOf(admins[1].releaseLock(request));
    expect(error.code).toBe(status.FAILED_PRECONDITION);
    expect(detailsOf(error)).toMatchObject({
      info: { reason: "REASON_WRONG_TOKEN", metadata: { lock: "forced/guarded" } },
      denied: { holders: [{ fencingToken: token, client: { name: "innocent" } }], holderCount: 1 },
    });
    expect(await service().getLock("forced/guarded")).toMatchObject({ holderCount: 1 });
    await admins[1].releaseLock({ ...request, fencingToken: token });
    const again = await failureOf(admins[1].releaseLock({ ...request, fencingToken: token }));
    expect(detailsOf(again)).toMatchObject({ info: { reason: "REASON_WRONG_TOKEN" }, denied: { holderCount: 0 } });
  });

  it("needs a reason of at most 256 bytes, a token and a name", async () => {
    const right = { name: "a", fencingToken: 1n, justification: "x" };
    for (const wrong of [
      { justification: "" },
      { justification: " \t" },
      { justification: "é".repeat(129) },
      { fencingToken: 0n },
      { name: "a//b" },
    ])
      expect(await failureOf(admins[0].releaseLock({ ...right, ...wrong }))).toMatchObject({
        code: status.INVALID_ARGUMENT,
      });
    const longest = { ...right, justification: "é".repeat(128) };
    expect(await failureOf(admins[0].releaseLock(longest))).toMatchObject({ code: status.FAILED_PRECONDITION });
  });

  it("asked for by many at once is done once", async () => {
    await using sessions = await service().sessionsAt([0], { ttlMs: 60_000 });
    const { token } = await sessions.list[0].take("forced/race");
    const request = { name: "forced/race", fencingToken: token, justification: "race" };
    const calls = Array.from({ length: 20 }, (_, i) =>
      admins[i % 2 === 0 ? 0 : 1].releaseLock(request).then(
        () => "ok",
        (error: ServiceError) => error.code,
      ),
    );
    const outcomes = await Promise.all(calls);
    expect(outcomes.filter((outcome) => outcome === "ok")).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === status.FAILED_PRECONDITION)).toHaveLength(19);
  });
});

describe("CloseSession", () => {
  it.each([
    ["its own server", 0],
    ["another server", 1],
  ] as const)("through %s ends the session, tells its client why, and frees all at once", async (_, at) => {
    await using sessions = await service().sessionsAt([0, 1], { ttlMs: 60_000, keep: true });
    const [victim, waiter] = sessions.list;
    const { token } = await victim.take(`closed/${at}`);
    await victim.take(`closed/${at}/b`);
    const waiting = waiter.acquire(`closed/${at}`);
    await waiting.waits();
    const answer = await admins[at].closeSession({ sessionId: victim.id, justification: "run away" });
    expect(answer.releasedClaims).toBe(2);
    const end = await victim.ended;
    expect(end).toMatchObject({ code: status.ABORTED, reason: "closed-by-force" });
    expect(end.details).toBe("an administrator closed the session, who says: run away");
    expect((await waiting.granted).token).toBeGreaterThan(token);
    const line = await logged(at, "session.forced", victim.id);
    expect(line).toMatchObject({ level: "warn", justification: "run away", claims: 2, known: true });
    const again = await failureOf(admins[at].closeSession({ sessionId: victim.id, justification: "again" }));
    expect(again).toMatchObject({ code: status.NOT_FOUND });
    await eventually(() => service().etcd.countKeys(`holdfast/claim/closed/${at}/b`), 0);
  });

  it("needs a session and a reason", async () => {
    const invalid = { code: status.INVALID_ARGUMENT };
    expect(await failureOf(admins[0].closeSession({ sessionId: "", justification: "x" }))).toMatchObject(invalid);
    expect(await failureOf(admins[0].closeSession({ sessionId: "x", justification: "" }))).toMatchObject(invalid);
  });
});

describe("DrainServer", () => {
  it("does nothing on a server that is not meant, and says where to call", async () => {
    const { serverId } = await admins[1].getStatus();
    const error = await failureOf(admins[0].drainServer({ serverId, leaveWithin: undefined }));
    expect(error.code).toBe(status.FAILED_PRECONDITION);
    expect(detailsOf(error).info?.reason).toBe("REASON_WRONG_SERVER");
    expect(error.details).toContain(`call ${service().address(1)}`);
    expect((await admins[1].getStatus()).servers.every(({ draining }) => !draining)).toBe(true);
    const unknown = await failureOf(admins[0].drainServer({ serverId: "nobody", leaveWithin: undefined }));
    expect(unknown.details).toContain("no such server is registered");
  });

  it("refuses times that are none", async () => {
    const { serverId } = await admins[0].getStatus();
    for (const seconds of [-1n, 3_601n])
      expect(await failureOf(admins[0].drainServer({ serverId, leaveWithin: { seconds, nanos: 0 } }))).toMatchObject({
        code: status.INVALID_ARGUMENT,
      });
  });
});
