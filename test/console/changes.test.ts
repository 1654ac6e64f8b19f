import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connect } from "../../clients/typescript/src/index.ts";
import { outerAddress } from "../support/outer-address.ts";
import { useService } from "../support/service.ts";
import { StubSession } from "../support/stub-session.ts";
import { askConsole, type ConsoleAnswer, livePath, OWN } from "./ask-console.ts";
import { startExposed } from "./exposed.ts";

const TOKEN = "0123456789abcdef0123456789abcdef";

const service = useService();
let outer: ReturnType<typeof outerAddress>;
beforeAll(() => {
  outer = outerAddress();
});
afterAll(() => outer[Symbol.dispose]());

const exposed = (env: Record<string, string>) => startExposed({ etcd: service().etcd.endpoint, host: outer.host, env });

function change(
  address: string,
  path: string,
  body: object,
  headers: Record<string, string> = {},
): Promise<ConsoleAnswer> {
  const json = { ...OWN, "content-type": "application/json", ...headers };
  return askConsole(address, { path, method: "POST", headers: json, body: JSON.stringify(body) });
}

const release = (address: string, name: string, token: bigint | string, headers?: Record<string, string>) =>
  change(
    address,
    "/api/release-lock",
    { name, fencingToken: String(token), justification: "stuck since noon" },
    headers,
  );

const own = () => service().servers[0]!.httpAddress;

describe("a release by force through the console", () => {
  it("hits the grant with this token, tells its client why, and lets the next one in", async () => {
    await using holder = connect(service().address());
    await using next = connect(service().address());
    const lock = await holder.acquire("force/a");
    const waiting = next.acquire("force/a");
    const { status, body } = await release(own(), "force/a", lock.token);
    expect(status).toBe(200);
    expect(JSON.parse(body).claim.fencingToken).toBe(String(lock.token));
    expect((await waiting).token).toBeGreaterThan(lock.token);
    await new Promise<void>((lost) => {
      if (lock.signal.aborted) lost();
      lock.signal.addEventListener("abort", () => lost());
    });
    expect(lock.loss).toMatchObject({
      reason: "released-by-force",
      message: expect.stringContaining("stuck since noon"),
    });
  });

  it("hits nobody who came later", async () => {
    await using session = await StubSession.open(service().address());
    const { token } = await session.take("force/b");
    const { status, body } = await release(own(), "force/b", token - 1n);
    expect([status, JSON.parse(body).reason]).toEqual([409, "wrong-token"]);
    expect(await service().checkToken("force/b", token)).toBe("live");
  });

  it("wants a reason, a name and a number", async () => {
    const wrong = [
      { name: "force/c", fencingToken: "7", justification: "" },
      { name: "force/c", fencingToken: "7", justification: "x".repeat(257) },
      { name: "//", fencingToken: "7", justification: "x" },
      { name: "force/c", fencingToken: "seven", justification: "x" },
      {},
    ];
    for (const body of wrong) {
      const answer = await change(own(), "/api/release-lock", body);
      expect([answer.status, JSON.parse(answer.body).reason]).toEqual([400, "invalid"]);
    }
  });
});

describe("a session closed by force through the console", () => {
  it("ends with all its claims, and its client is told", async () => {
    await using session = await StubSession.open(service().address());
    await session.take("force/d");
    const body = { sessionId: session.id, justification: "deploy gone wrong" };
    const first = await change(own(), "/api/close-session", body);
    expect([first.status, JSON.parse(first.body)]).toEqual([200, { releasedClaims: 1 }]);
    expect(await session.ended).toMatchObject({ reason: "closed-by-force" });
    expect((await change(own(), "/api/close-session", body)).status).toBe(404);
  });
});

describe("changes from another machine", () => {
  const accessOf = async (address: string, headers: Record<string, string> = {}) => {
    const { body } = await askConsole(address, { path: livePath({}), headers: { ...OWN, ...headers } }, "\n\n");
    return JSON.parse(/^data: (.*)$/m.exec(body)![1]!).access;
  };

  it("are not made without a token, and the page is told so", async () => {
    await using server = await exposed({});
    expect(await accessOf(server.fromElsewhere)).toMatchObject({ allowed: false, byToken: false });
    const { status, body } = await release(server.fromElsewhere, "x", 7n, { authorization: `Bearer ${TOKEN}` });
    expect([status, JSON.parse(body).reason]).toEqual([403, "not-permitted"]);
    await server.untilLogged(/"event":"change.refused","method":"ReleaseLock","peer":"[\d.]+:\d+"/);
    // From this machine they are.
    expect(await accessOf(server.fromHere)).toMatchObject({ allowed: true });
    expect((await release(server.fromHere, "x", 7n)).status).toBe(409);
  });

  it("are made with the token, and only with that", async () => {
    await using server = await exposed({ HOLDFAST_ADMIN_TOKEN: TOKEN });
    expect(await accessOf(server.fromElsewhere)).toMatchObject({ allowed: false, byToken: true });
    const shown = async (authorization: string) =>
      (await release(server.fromElsewhere, "x", 7n, { authorization })).status;
    expect(await shown(`Bearer ${TOKEN}`)).toBe(409);
    for (const wrong of [`Bearer ${TOKEN}0`, TOKEN, "Bearer", `Basic ${TOKEN}`])
      expect([wrong, await shown(wrong)]).toEqual([wrong, 403]);
  });

  it("are from another machine too if a proxy on this one brings them", async () => {
    const viaProxy = { "x-forwarded-for": "10.1.2.3" };
    expect((await release(own(), "x", 7n, viaProxy)).status).toBe(403);
    expect(await accessOf(own(), viaProxy)).toMatchObject({ allowed: false });
  });
});
