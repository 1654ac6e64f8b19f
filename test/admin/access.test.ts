import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { detailsOf } from "../service/harness.ts";
import { Admin } from "../support/admin.ts";
import { startEtcd, type TestEtcd } from "../support/etcd.ts";
import { outerAddress } from "../support/outer-address.ts";
import { type ServerProcess, startServer } from "../support/server.ts";
import { leaveNoProcess } from "../support/service.ts";
import { StubSession } from "../support/stub-session.ts";

const TOKEN = "0123456789abcdef0123456789abcdef";

leaveNoProcess();

let etcd: TestEtcd;
let folder: string;
let outer: ReturnType<typeof outerAddress>;
beforeAll(async () => {
  etcd = await startEtcd();
  outer = outerAddress();
  folder = await mkdtemp(join(tmpdir(), "holdfast-token-"));
  await writeFile(join(folder, "token"), `${TOKEN}\nand a note\n`);
});
afterAll(async () => {
  await etcd[Symbol.asyncDispose]();
  outer[Symbol.dispose]();
  await rm(folder, { recursive: true });
});

/** A server that listens on all addresses, and where it is reached from elsewhere. */
async function exposed(...flags: readonly string[]): Promise<ServerProcess & { readonly fromElsewhere: string }> {
  const address = ["--grpc-address", "0.0.0.0:0", "--insecure", "--log-format", "json"];
  const server = await startServer({ etcd: etcd.endpoint, flags: [...address, ...flags] });
  return Object.assign(server, { fromElsewhere: `${outer.host}:${server.grpcAddress.split(":")[1]}` });
}

const refusal = (call: Promise<unknown>): Promise<ServiceError> =>
  call.then(
    () => {
      throw new Error("it was done");
    },
    (error) => error,
  );

describe("from another machine, on a server without a token", () => {
  it("everything can be seen and nothing changed, and the refusal says what to do", async () => {
    await using server = await exposed();
    await using session = await StubSession.open(server.fromElsewhere, { ttlMs: 60_000 });
    const { token } = await session.take("outer/a");
    using admin = new Admin(server.fromElsewhere, { token: TOKEN });
    const { serverId } = await admin.getStatus();
    expect((await admin.listSessions()).sessions).toHaveLength(1);
    expect((await admin.listEvents({ lockName: "outer/a" })).events).toHaveLength(1);
    for (const call of [
      admin.releaseLock({ name: "outer/a", fencingToken: token, justification: "x" }),
      admin.closeSession({ sessionId: session.id, justification: "x" }),
      admin.drainServer({ serverId, leaveWithin: undefined }),
    ]) {
      const error = await refusal(call);
      expect(error.code).toBe(status.PERMISSION_DENIED);
      expect(detailsOf(error).info?.reason).toBe("REASON_NOT_PERMITTED");
      expect(error.details).toContain("start it with --admin-token-file");
    }
    expect((await admin.getSession(session.id)).claims).toMatchObject([{ locks: [{ fencingToken: token }] }]);
    await server.untilLogged(/"event":"change.refused","method":"\/holdfast.v1.AdminService\//);
    expect(server.log).not.toContain(TOKEN);
    // From the machine itself it can.
    using local = new Admin(`127.0.0.1:${server.grpcAddress.split(":")[1]}`);
    await local.releaseLock({ name: "outer/a", fencingToken: token, justification: "x" });
  });
});

describe("from another machine, on a server with a token", () => {
  it("who sends it may change things, and is named in the log; others may not", async () => {
    await using server = await exposed("--admin-token-file", join(folder, "token"));
    await using session = await StubSession.open(server.fromElsewhere, { ttlMs: 60_000 });
    const { token } = await session.take("outer/b");
    const request = { name: "outer/b", fencingToken: token, justification: "found dead" };
    using nobody = new Admin(server.fromElsewhere);
    expect((await refusal(nobody.releaseLock(request))).details).toContain('"authorization: Bearer <token>"');
    using stranger = new Admin(server.fromElsewhere, { token: `${TOKEN.slice(0, -1)}0` });
    expect((await refusal(stranger.releaseLock(request))).details).toContain("is not this server's");
    using admin = new Admin(server.fromElsewhere, { token: TOKEN });
    await admin.releaseLock(request);
    await server.untilLogged(
      new RegExp(`"event":"claim.forced","lock":"outer/b".*"actor":"${outer.host.replaceAll(".", "\\.")}:\\d+"`),
    );
    expect(server.log).not.toContain(TOKEN);
  });
});
