import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type HttpServer, type HttpServerOptions, startHttpServer } from "../../../server/adapters/http/server.ts";

const running: HttpServer[] = [];
const rest: HttpServerOptions["rest"] = async ({ url }, response) => {
  response.writeHead(418).end(`the rest: ${url}`);
};
afterEach(async () => {
  for (const server of running.splice(0)) await server[Symbol.asyncDispose]();
});

const probes: HttpServerOptions = {
  host: "127.0.0.1",
  port: 0,
  tls: undefined,
  health: () => ({ serving: true, problem: "" }),
  metrics: undefined,
  metricsContentType: "text/plain; version=0.0.4",
  rest,
};

async function start(
  health = { serving: true, problem: "" },
  metrics: HttpServerOptions["metrics"] = async () => "holdfast_locks 3\n",
): Promise<string> {
  const server = await startHttpServer({ ...probes, health: () => health, metrics });
  running.push(server);
  return `http://127.0.0.1:${server.port}`;
}

async function get(url: string, init?: RequestInit): Promise<[number, string]> {
  const response = await fetch(url, init);
  return [response.status, await response.text()];
}

describe("the http endpoint", () => {
  it("says that the process runs, even while it cannot serve", async () => {
    expect(await get(`${await start({ serving: false, problem: "x" })}/healthz`)).toEqual([200, "alive\n"]);
  });

  it("says whether it serves, and if not why", async () => {
    expect(await get(`${await start()}/readyz`)).toEqual([200, "serving\n"]);
    const dead = await start({ serving: false, problem: "the store has not answered for 4 s" });
    expect(await get(`${dead}/readyz?verbose`)).toEqual([503, "the store has not answered for 4 s\n"]);
  });

  it("gives the metrics with the type that Prometheus wants", async () => {
    const response = await fetch(`${await start()}/metrics`);
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4");
    expect(await response.text()).toBe("holdfast_locks 3\n");
  });

  it("says that there are no metrics where none are kept", async () => {
    const server = await startHttpServer({ ...probes, metrics: undefined });
    running.push(server);
    expect(await get(`http://127.0.0.1:${server.port}/metrics`)).toEqual([
      404,
      "this server keeps no metrics: start it with --metrics on\n",
    ]);
  });

  it("leaves everything else to the rest, and only probes to themselves", async () => {
    const url = await start();
    expect(await get(`${url}/`)).toEqual([418, "the rest: /"]);
    expect(await get(`${url}/healthz/x?y`)).toEqual([418, "the rest: /healthz/x?y"]);
    expect(await get(`${url}/healthz`, { method: "POST", body: "x" })).toEqual([405, "only GET and HEAD\n"]);
    expect(await get(`${url}/readyz`, { method: "HEAD" })).toEqual([200, ""]);
  });

  it("ends a request that it fails to answer, and goes on", async () => {
    const url = await start(undefined, async () => {
      throw new Error("no metrics today");
    });
    await expect(fetch(`${url}/metrics`)).rejects.toThrow();
    expect(await get(`${url}/healthz`)).toEqual([200, "alive\n"]);
  });

  it("goes on after garbage", async () => {
    const url = new URL(await start());
    const socket = connect(Number(url.port), url.hostname);
    socket.end("\u0000\u0001 nonsense\r\n\r\n");
    await new Promise((resolve) => socket.once("close", resolve).resume());
    expect(await get(`${url}healthz`)).toEqual([200, "alive\n"]);
  });

  it("ends open connections when it ends", async () => {
    const url = await start();
    const held = httpRequest(`${url}/healthz`, { method: "POST", headers: { "content-length": "10" } });
    const ended = new Promise((resolve) => held.once("error", resolve));
    held.flushHeaders();
    await new Promise((resolve) => held.once("socket", (socket) => socket.once("connect", resolve)));
    await running.pop()?.[Symbol.asyncDispose]();
    expect(await ended).toMatchObject({ code: expect.stringMatching(/ECONNRESET|ECONNREFUSED/) });
  });

  it("says that a port is taken", async () => {
    const port = Number(new URL(await start()).port);
    const again = startHttpServer({
      host: "127.0.0.1",
      port,
      tls: undefined,
      health: () => ({ serving: true, problem: "" }),
      metrics: async () => "",
      metricsContentType: "text/plain",
      rest,
    });
    await expect(again).rejects.toThrow(`127.0.0.1:${port} is in use: end what listens there, or give another address`);
  });
});
