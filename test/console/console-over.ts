import { join } from "node:path";
import { afterEach } from "vitest";
import { loadAssets } from "../../server/adapters/console/assets.ts";
import { Console } from "../../server/adapters/console/console.ts";
import type { ServiceAnswer, Services } from "../../server/adapters/console/services.ts";
import { type HttpServer, startHttpServer } from "../../server/adapters/http/server.ts";

const running: HttpServer[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) await server[Symbol.asyncDispose]();
});

export const nothing: ServiceAnswer = { kind: "ok", json: {} };

/** A console, with its page, over services that say what a test has them say. Resolves with its "host:port". */
export async function consoleOver(services: Partial<Services>): Promise<string> {
  const all: Services = {
    read: async () => nothing,
    change: async () => nothing,
    watchLocks: () => ({ take: () => ({ locks: [], caughtUp: true }), close: () => undefined }),
    watchStatistics: () => () => undefined,
    access: () => ({ allowed: true, problem: "", byToken: false }),
    ...services,
  };
  const assets = loadAssets(join(import.meta.dirname, "../../console/dist"));
  const page = new Console({ services: all, assets, hosts: new Set<string>(), version: "1", serverId: "s" });
  const server = await startHttpServer({
    host: "127.0.0.1",
    port: 0,
    tls: undefined,
    health: () => ({ serving: true, problem: "" }),
    metrics: async () => "",
    metricsContentType: "text/plain",
    rest: (request, response) => page.answer(request, response),
  });
  running.push(server);
  return `127.0.0.1:${server.port}`;
}
