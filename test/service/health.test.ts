import { credentials, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  HealthCheckRequest,
  type HealthCheckResponse,
  HealthClient,
  type HealthListResponse,
} from "../../server/gen/grpc/health/v1/health.ts";
import { ask, type Ending, TestServer } from "./harness.ts";

const SERVING = 1;
const NOT_SERVING = 2;
const SERVICE_UNKNOWN = 3;

let server: TestServer;
let client: HealthClient;

beforeEach(async () => {
  server = await TestServer.start();
  client = new HealthClient(server.address, credentials.createInsecure());
});

afterEach(async () => {
  client.close();
  await server[Symbol.asyncDispose]();
});

const check = (service: string) =>
  ask<HealthCheckRequest, HealthCheckResponse>((request, tell) => client.check(request, tell), { service });

function watch(service: string) {
  const call = client.watch(HealthCheckRequest.fromPartial({ service }));
  const told: number[] = [];
  let tell: () => void = () => undefined;
  call.on("error", () => undefined);
  call.on("data", ({ status: now }: HealthCheckResponse) => {
    told.push(now);
    tell();
  });
  return {
    call,
    told,
    ending: new Promise<Ending>((resolve) => call.once("status", resolve)),
    toldTimes: (count: number) =>
      new Promise<void>((resolve) => {
        tell = () => {
          if (told.length >= count) resolve();
        };
        tell();
      }),
  };
}

describe("health", () => {
  it.each(["", "holdfast.v1.LockService"])('of "%s" is what the engine says', async (service) => {
    expect(await check(service)).toEqual({ ok: { status: SERVING } });
    server.engine.serving = false;
    expect(await check(service)).toEqual({ ok: { status: NOT_SERVING } });
  });

  it("of a service that is not here is NOT_FOUND", async () => {
    expect(await check("holdfast.v1.Unheard")).toMatchObject({ failed: { code: status.NOT_FOUND } });
  });

  it("of all services is listed", async () => {
    const list = await ask<object, HealthListResponse>((request, tell) => client.list(request, tell), {});
    const statuses = { "": { status: SERVING }, "holdfast.v1.LockService": { status: SERVING } };
    expect(list).toEqual({ ok: { statuses } });
  });

  it("is told to those who watch at once, and when it changes", async () => {
    const watching = watch("holdfast.v1.LockService");
    await watching.toldTimes(1);
    server.engine.serving = false;
    await watching.toldTimes(2);
    server.engine.serving = true;
    await watching.toldTimes(3);
    expect(watching.told).toEqual([SERVING, NOT_SERVING, SERVING]);
    watching.call.cancel();
  });

  it("of a service that is not here can be watched: it may come", async () => {
    const watching = watch("holdfast.v1.Unheard");
    await watching.toldTimes(1);
    expect(watching.told).toEqual([SERVICE_UNKNOWN]);
    watching.call.cancel();
    expect((await watching.ending).code).toBe(status.CANCELLED);
  });

  it("is NOT_SERVING for those who watch when the server stops, and their calls end", async () => {
    const watching = watch("");
    await watching.toldTimes(1);
    await server.server.stop(0);
    expect((await watching.ending).code).toBe(status.UNAVAILABLE);
    expect(watching.told).toEqual([SERVING, NOT_SERVING]);
  });
});
