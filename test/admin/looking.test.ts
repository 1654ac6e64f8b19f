import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  EventKind,
  eventKindToJSON,
  type GetStatusResponse,
  type StatisticsSample,
} from "../../clients/typescript/src/gen/holdfast/v1/admin_service.ts";
import { Liveness, OnDisconnect } from "../../clients/typescript/src/gen/holdfast/v1/lock_service.ts";
import { lockNameProblem } from "../../server/core/lock-name.ts";
import { hostileTexts } from "../console/hostile-texts.ts";
import { Admin } from "../support/admin.ts";
import { eventually } from "../support/eventually.ts";
import { useService } from "../support/service.ts";

const service = useService({ servers: 2 });

let admins: [Admin, Admin];
beforeAll(() => {
  admins = [new Admin(service().address(0)), new Admin(service().address(1))];
});
afterAll(() => {
  for (const admin of admins) admin[Symbol.dispose]();
});

const failureOf = (call: Promise<unknown>) =>
  call.then(
    () => "it was answered",
    (error) => error,
  );

describe("ListSessions and GetSession", () => {
  it("tell of every session, whichever server has it, and which one that is", async () => {
    await using sessions = await service().sessionsAt([0, 1], { keep: true, ttlMs: 60_000, name: "billing" });
    const [here, there] = sessions.list;
    await here.take("seen/a", { purpose: "to be seen" });
    const waiting = there.acquire(["seen/a", "seen/b"], { reentryId: "t-1" });
    await waiting.waits();
    for (const [index, admin] of admins.entries()) {
      const { sessions: listed, nextPageToken } = await admin.listSessions();
      expect(nextPageToken).toBe("");
      expect(listed.map(({ sessionId }) => sessionId)).toEqual([here.id, there.id].sort());
      const { session, claims } = await admin.getSession(there.id);
      expect(session).toMatchObject({
        client: { name: "billing" },
        ttl: { seconds: 60n },
        onDisconnect: OnDisconnect.KEEP,
        liveness: Liveness.HEARTBEAT,
        heldCount: 0,
        waitingCount: 1,
      });
      expect(session?.peer).toMatch(/^127\.0\.0\.1:\d+$/);
      expect(claims).toMatchObject([{ claimId: 1n, locks: [{ name: "seen/a" }, { name: "seen/b" }] }]);
      // Only the server that has its stream knows how much of its TTL is left.
      const left = Number(session?.validFor?.seconds ?? -1);
      if (index === 1) expect(left).toBeGreaterThanOrEqual(0);
      else expect(session?.validFor).toBeUndefined();
      expect(left).toBeLessThan(60);
    }
  });

  it("give pages that together have each session once", async () => {
    await using sessions = await service().sessionsAt([0, 1, 0, 1, 0], { ttlMs: 60_000 });
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await admins[0].listSessions({ pageSize: 2, pageToken });
      expect(page.sessions.length).toBeLessThanOrEqual(2);
      seen.push(...page.sessions.map(({ sessionId }) => sessionId));
      ({ nextPageToken: pageToken } = page);
    } while (pageToken !== "");
    expect(seen).toEqual(sessions.list.map(({ id }) => id).sort());
  });

  it("say what is wrong with what is asked", async () => {
    expect(await failureOf(admins[0].getSession("nobody"))).toMatchObject({ code: status.NOT_FOUND });
    expect(await failureOf(admins[0].getSession(""))).toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(await failureOf(admins[0].listSessions({ pageToken: "x" }))).toMatchObject({
      code: status.INVALID_ARGUMENT,
    });
  });
});

describe("ListEvents", () => {
  it("tells what a server saw of the sessions that it has, newest first", async () => {
    await using sessions = await service().sessionsAt([0, 1], { ttlMs: 60_000, name: "eventful" });
    const [here, there] = sessions.list;
    const { claimId } = await here.take("told/a", { purpose: "for the record" });
    const waiting = there.acquire("told/a");
    await waiting.waits();
    await here.release(claimId);
    const { token } = await waiting.granted;
    const kindsAt = async (server: 0 | 1) => {
      const { events } = await admins[server].listEvents({ lockName: "told/a" });
      return events.map(({ kind }) => eventKindToJSON(kind).replace("EVENT_KIND_", ""));
    };
    await eventually(() => kindsAt(0), ["RELEASED", "GRANTED"]);
    expect(await kindsAt(1)).toEqual(["GRANTED", "WAITING"]);
    const { events, serverId } = await admins[1].listEvents({ sessionId: there.id, kinds: [EventKind.GRANTED] });
    expect(events).toMatchObject([{ fencingToken: token, claimId: 1n, client: { name: "eventful" } }]);
    expect(events[0]?.waited?.nanos).toBeGreaterThan(0);
    expect(serverId).toMatch(/^[\w-]{22}$/);
    expect(serverId).toBe((await admins[1].getStatus()).serverId);
    const [released] = (await admins[0].listEvents({ lockName: "told/a" })).events;
    expect(released).toMatchObject({ purpose: "for the record", sessionId: here.id });
    expect(released?.held).toBeDefined();
  });

  it("goes on from the newest seen, and back from the oldest", async () => {
    await using sessions = await service().sessionsAt([0], { ttlMs: 60_000 });
    const [session] = sessions.list;
    const before = await admins[0].listEvents();
    await session.take("told/b");
    await session.take("told/c");
    const later = await admins[0].listEvents({ after: before.newestSeq });
    expect(later.events.map(({ lockNames }) => lockNames)).toEqual([["told/c"], ["told/b"]]);
    const newest = await admins[0].listEvents({ maxEvents: 1, kinds: [EventKind.GRANTED] });
    const older = await admins[0].listEvents({ before: newest.events[0]!.seq, maxEvents: 1 });
    expect(older.events[0]?.lockNames).toEqual(["told/b"]);
  });

  it("says what is wrong with what is asked", async () => {
    const invalid = { code: status.INVALID_ARGUMENT };
    expect(await failureOf(admins[0].listEvents({ lockName: "a//b" }))).toMatchObject(invalid);
    expect(await failureOf(admins[0].listEvents({ kinds: [99 as EventKind] }))).toMatchObject(invalid);
    expect(await failureOf(admins[0].listEvents({ kinds: [0] }))).toMatchObject(invalid);
  });
});

describe("GetWaitGraph", () => {
  it("shows who waits for whom through whichever server they came", async () => {
    await using sessions = await service().sessionsAt([0, 1], { ttlMs: 60_000 });
    const [one, two] = sessions.list;
    await one.take("graph/a");
    await two.acquire("graph/a").waits();
    for (const admin of admins) {
      const { nodes, edges } = await admin.getWaitGraph({ prefix: "graph/" });
      const idOf = (sessionId: string) => nodes.find((node) => node.sessionId === sessionId)?.nodeId;
      expect(nodes).toHaveLength(2);
      expect(edges).toEqual([{ fromNodeId: idOf(two.id), toNodeId: idOf(one.id), lockName: "graph/a", held: true }]);
    }
  });
});

describe("GetStatus", () => {
  it("tells of the server that answers, of etcd and of the table", async () => {
    await using sessions = await service().sessionsAt([0, 1, 1], { ttlMs: 60_000 });
    await sessions.list[0].take("status/a");
    let answer!: GetStatusResponse;
    // It waits for nothing: the other server's table may be behind, and etcd busy.
    const seen = async () => {
      answer = await admins[1].getStatus();
      const { lockCount, heldCount, waitingCount, sessionCount } = answer.table!;
      const isMeasured = answer.store?.commitLatency !== undefined && answer.store.members[0]?.reachable;
      return { lockCount, heldCount, waitingCount, sessionCount, servers: answer.servers.length, isMeasured };
    };
    const expected = { lockCount: 1, heldCount: 1, waitingCount: 0, sessionCount: 3, servers: 2, isMeasured: true };
    await eventually(seen, expected);
    const self = answer.servers.find(({ serverId }) => serverId === answer.serverId);
    expect(self).toMatchObject({ address: service().address(1), version: "0.1.0", draining: false, sessionCount: 2 });
    expect(answer.problem).toBe("");
    expect(Number(answer.uptime?.seconds)).toBeLessThan(600);
    const [member] = answer.store!.members;
    expect(answer.store).toMatchObject({ answering: true });
    expect(answer.store?.quotaBytes).toBeGreaterThan(0n);
    expect(member).toMatchObject({ reachable: true, leader: true, endpoint: service().etcd.endpoint, alarms: [] });
    expect(member?.version).toMatch(/^3\.\d+\.\d+/);
    expect(member?.databaseBytes).toBeGreaterThanOrEqual(member!.databaseInUseBytes);
  });

  it("names itself, and is among its servers once: the engine's parts knew no server id", async () => {
    const { serverId, servers } = await admins[0].getStatus();
    expect(serverId).toMatch(/^[\w-]{20,}$/);
    expect(servers.map((server) => server.serverId).filter((id) => id === serverId)).toEqual([serverId]);
    expect(servers).toHaveLength(admins.length);
  });
});

describe("WatchStatistics", () => {
  it("sends a sample for each second that is remembered, and then one each second", async () => {
    await using sessions = await service().sessionsAt([0, 1], { ttlMs: 60_000 });
    const samples: StatisticsSample[] = [];
    const call = admins[0].watchStatistics();
    call.on("error", () => undefined);
    call.on("data", ({ samples: more }) => samples.push(...more));
    const grants = () => samples.reduce((sum, sample) => sum + sample.grants, 0);
    for (let i = 0; i < 5; i++) await sessions.list[0].take(`counted/${i}`);
    await sessions.list[1].take("not counted here");
    // Each grant of this server is an event, and in one of the samples.
    const { events } = await admins[0].listEvents({ kinds: [EventKind.GRANTED], maxEvents: 1_000 });
    await eventually(grants, events.length);
    const withGrants = samples.findLast((sample) => sample.grants > 0)!;
    expect(withGrants.acquireTime?.count).toBe(withGrants.grants);
    expect(withGrants.acquireTime?.bucketCounts.reduce((a, b) => a + b, 0)).toBe(withGrants.grants);
    await eventually(() => samples.at(-1)?.heldCount, 6);
    call.cancel();
  });
});

describe("texts that others chose", () => {
  it("come through every answer as they were sent, to the last character", async () => {
    const texts = [...hostileTexts(200), "漢".repeat(42), "x".repeat(128)].map((text) => text.slice(0, 100));
    const names = texts.map((text) => (lockNameProblem(text) === undefined ? text : `fine/${texts.indexOf(text)}`));
    await using sessions = await service().sessionsAt([0], { ttlMs: 60_000, name: texts[21]! });
    const [session] = sessions.list;
    const acquired = [...texts.entries()].map(([at, purpose]) =>
      session.acquire([names[at]!], { purpose, reentryId: purpose.slice(0, 40) }),
    );
    await Promise.all(acquired.map(({ granted }) => granted));
    const held = async () => (await admins[1].getSession(session.id)).session?.heldCount;
    await eventually(held, texts.length);
    const { session: seen, claims } = await admins[1].getSession(session.id);
    expect(seen?.client?.name).toBe(texts[21]);
    expect(claims.map(({ locks }) => locks[0]?.name)).toEqual(names);
    const { events } = await admins[0].listEvents({
      sessionId: session.id,
      kinds: [EventKind.GRANTED],
      maxEvents: 500,
    });
    const told = new Map(events.map(({ claimId, purpose, lockNames }) => [Number(claimId), [purpose, lockNames[0]]]));
    for (const [at, purpose] of texts.entries()) expect(told.get(at + 1)).toEqual([purpose, names[at]]);
    await using others = await service().sessionsAt([1], { ttlMs: 60_000 });
    for (const name of names) others.list[0].acquire(name, { reentryId: name.slice(0, 40) });
    await eventually(async () => (await admins[0].getWaitGraph({ maxNodes: 1_000 })).edges.length, names.length);
    const { edges } = await admins[0].getWaitGraph({ maxNodes: 1_000 });
    expect(edges.map(({ lockName }) => lockName).sort()).toEqual([...names].sort());
  });
});

describe("GetStatus without a store", () => {
  it("answers with what it knew last, and says so", async () => {
    await admins[0].getStatus();
    // What of earlier tests' leases is not revoked when etcd dies is there until it expires, in a minute.
    await service().becomesEmpty();
    await service().etcd.kill9();
    try {
      const unreachable = async () => {
        const { store } = await admins[0].getStatus();
        const [member] = store!.members;
        return { answering: store!.answering, reachable: member?.reachable, version: member?.version !== "" };
      };
      await eventually(unreachable, { answering: false, reachable: false, version: true }, 60_000);
      await eventually(async () => (await admins[0].getStatus()).problem !== "", true, 60_000);
    } finally {
      await service().etcd.start();
    }
    await Promise.all(service().servers.map((server) => server.untilReadiness(/^serving$/)));
    await eventually(async () => (await admins[0].getStatus()).store?.answering, true);
  }, 120_000);
});
