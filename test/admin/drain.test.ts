import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { connect } from "../../clients/typescript/src/index.ts";
import { Admin } from "../support/admin.ts";
import { startEtcd } from "../support/etcd.ts";
import { eventually } from "../support/eventually.ts";
import { startServer } from "../support/server.ts";
import { leaveNoProcess } from "../support/service.ts";
import { StubSession } from "../support/stub-session.ts";

leaveNoProcess();

describe("a server that is told to drain", () => {
  it("sends its clients elsewhere with what they hold, takes no more, and ends when they are gone", async () => {
    await using etcd = await startEtcd();
    await using first = await startServer({ etcd: etcd.endpoint });
    await using second = await startServer({ etcd: etcd.endpoint });
    await using client = connect([first.grpcAddress, second.grpcAddress]);
    const lock = await client.acquire("drained/a");
    using one = new Admin(first.grpcAddress);
    using two = new Admin(second.grpcAddress);
    // Clients begin with any of the addresses.
    const [session] = (await one.listSessions()).sessions;
    const isFirst = (await one.getStatus()).serverId === session?.serverId;
    const [leaving, admin, other] = isFirst ? [first, one, two] : [second, two, one];
    await eventually(async () => (await admin.getStatus()).servers.length, 2);
    const { serverId } = await admin.getStatus();
    const leaveWithin = { seconds: 30n, nanos: 0 };
    expect(await admin.drainServer({ serverId, leaveWithin })).toEqual({ sessionCount: 1 });
    // The client was told where to go, and its server has gone before the time was up.
    await eventually(
      async () => (await other.getStatus()).servers.map((server) => server.serverId).includes(serverId),
      false,
    );
    expect(await leaving.exited).toBe(0);
    expect(leaving.log).toMatch(
      /"event":"server.drain_asked","actor":"127.0.0.1:\d+","leave_within_ms":30000,"sessions":1/,
    );
    expect(leaving.log).toContain('"event":"server.draining","leave_within_ms":30000');
    expect(lock.held).toBe(true);
    const { sessions } = await other.listSessions();
    expect(sessions).toMatchObject([{ heldCount: 1, serverId: (await other.getStatus()).serverId }]);
  });

  it("ends at once when the time is shortened to nothing", async () => {
    await using etcd = await startEtcd();
    await using server = await startServer({ etcd: etcd.endpoint });
    await using session = await StubSession.open(server.grpcAddress, { ttlMs: 60_000 });
    using admin = new Admin(server.grpcAddress);
    const { serverId } = await admin.getStatus();
    await admin.drainServer({ serverId, leaveWithin: { seconds: 600n, nanos: 0 } });
    await eventually(async () => (await admin.getStatus()).servers[0]?.draining, true);
    await admin.drainServer({ serverId, leaveWithin: { seconds: 0n, nanos: 0 } });
    expect(await session.ended).toMatchObject({ code: status.UNAVAILABLE, reason: "draining" });
    expect(await server.exited).toBe(0);
  });
});
