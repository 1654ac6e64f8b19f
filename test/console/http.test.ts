import { describe, expect, it } from "vitest";
import { useService } from "../support/service.ts";
import { askConsole, type ConsoleRequest, livePath, OWN } from "./ask-console.ts";

const service = useService({ flags: ["--console-hosts", "Locks.example.com,other.example"] });
const address = () => service().servers[0]!.httpAddress;
const port = () => address().split(":")[1]!;
const ask = (request: ConsoleRequest, until?: string) => askConsole(address(), request, until);
const live = livePath({ status: {} });

describe("the console over HTTP", () => {
  it("serves its page, with nothing in it that runs inline", async () => {
    const { status, headers, body } = await ask({});
    expect(status).toBe(200);
    expect(headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(headers["cache-control"]).toBe("no-cache");
    const scripts = [...body.matchAll(/<script\b[^>]*>([^<]*)/g)];
    expect(scripts.length).toBeGreaterThan(0);
    expect(scripts.map((script) => script[1])).toEqual(scripts.map(() => ""));
    expect(body).not.toMatch(/<style|\son\w+=|\sstyle=/i);
    for (const [, path] of body.matchAll(/(?:src|href)="([^"]+)"/g))
      expect((await ask({ path: path! })).status).toBe(200);
  });

  it("lets a browser keep what has its content in its name, and nothing else", async () => {
    const { body } = await ask({});
    const script = /src="(\/assets\/[^"]+)"/.exec(body)![1]!;
    expect((await ask({ path: script })).headers["cache-control"]).toBe("public, max-age=31536000, immutable");
    expect((await ask({ path: "/theme.js" })).headers["cache-control"]).toBe("no-cache");
  });

  it("tells browsers with every answer what the page may do: nothing inline, nothing from or to elsewhere, no frame", async () => {
    const answers = await Promise.all([
      ask({}),
      ask({ path: "/nothing" }),
      ask({ headers: { host: "evil.example" } }),
      ask({ path: live, headers: OWN }, "event: tick"),
      ask({ path: "/api/release-lock", method: "POST" }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([200, 404, 421, 200, 403]);
    for (const { headers } of answers) {
      const policy = String(headers["content-security-policy"]);
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toMatch(/unsafe|\*|https?:/);
      expect(headers["x-content-type-options"]).toBe("nosniff");
      expect(headers["referrer-policy"]).toBe("no-referrer");
      expect(headers["access-control-allow-origin"]).toBeUndefined();
    }
    // Browsers complain of it where the page comes in plain text from another machine.
    const named = await ask({ headers: { host: "locks.example.com" } });
    const opener = [answers[0]!, named].map(({ headers }) => headers["cross-origin-opener-policy"]);
    expect(opener).toEqual(["same-origin", undefined]);
  });

  it.each([
    "/../package.json",
    "/..%2fpackage.json",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/assets/../../../package.json",
    "//etc/passwd",
    "/assets/..\\..\\package.json",
    "/index.html%00.js",
    "/assets/",
    "/constructor",
    "/__proto__",
  ])("gives nothing for %s", async (path) => {
    expect((await ask({ path })).status).toBe(404);
  });

  it("answers under the names of this machine, with whatever port a tunnel has, and under those it was told", async () => {
    const names = ["localhost", `localhost:${port()}`, "127.0.0.1", "127.0.0.1:9999", "[::1]:8080", "LOCALHOST:1"];
    for (const host of [...names, "locks.example.com", "LOCKS.example.com:443", "other.example:80"])
      expect([host, (await ask({ headers: { host } })).status]).toEqual([host, 200]);
  });

  it.each([
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "10.0.0.1",
    "example.com",
    "x@127.0.0.1",
    "127.0.0.1:port",
  ])("refuses to be called %j: a page elsewhere may have had its own name lead here", async (host) => {
    for (const path of ["/", live, "/api/release-lock"])
      expect((await ask({ path, headers: { host, ...OWN } })).status).toBe(421);
  });

  it("answers a page of its own, and no other's", async () => {
    const own = `http://${address()}`;
    const read = (headers: Record<string, string>) =>
      ask({ path: live, headers: { ...OWN, ...headers } }, "event: hello");
    expect((await read({ origin: own, "sec-fetch-site": "same-origin" })).status).toBe(200);
    for (const origin of [
      "http://evil.example",
      "null",
      `http://localhost:${port()}`,
      `${own}.evil.example`,
      "http://127.0.0.1",
    ])
      expect([origin, (await read({ origin })).status]).toEqual([origin, 403]);
    for (const site of ["cross-site", "same-site"])
      expect([site, (await read({ "sec-fetch-site": site, "sec-fetch-mode": "cors" })).status]).toEqual([site, 403]);
    // A link to it may be followed from anywhere.
    expect((await ask({ headers: { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" } })).status).toBe(200);
  });

  it("gives data only to who sends its own header, which no form and no image can", async () => {
    expect((await ask({ path: live })).status).toBe(403);
    expect((await ask({ path: live, headers: { "x-holdfast-console": "yes" } })).status).toBe(403);
    const preflight = { origin: "http://evil.example", "access-control-request-method": "POST" };
    expect((await ask({ path: "/api/release-lock", method: "OPTIONS", headers: preflight })).status).toBe(403);
    expect((await ask({ path: "/api/release-lock", method: "OPTIONS" })).status).toBe(405);
  });

  it("takes changes only as JSON, posted, with its own header, and small", async () => {
    const json = { "content-type": "application/json" };
    const post = (headers: Record<string, string>, body = "{}") =>
      ask({ path: "/api/release-lock", method: "POST", headers, body });
    expect((await ask({ path: "/api/release-lock", headers: OWN })).status).toBe(405);
    expect((await post(json)).status).toBe(403);
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data",
      "application/json-seq",
    ])
      expect([type, (await post({ ...OWN, "content-type": type })).status]).toEqual([type, 415]);
    expect((await post({ ...OWN, ...json }, "[]")).status).toBe(400);
    expect((await post({ ...OWN, ...json }, "{")).status).toBe(400);
    expect((await post({ ...OWN, ...json }, JSON.stringify({ name: "x".repeat(9_000) }))).status).toBe(413);
  });

  it.each(["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])(
    "has no use for %s where nothing is changed",
    async (method) => {
      for (const path of ["/", live, "/assets/x.js"])
        expect((await ask({ path, method, headers: OWN })).status).toBe(405);
    },
  );

  it("refuses a wish for what makes no sense, and for too much", async () => {
    const wish = (watch: string) =>
      ask({ path: `/api/live?watch=${encodeURIComponent(watch)}`, headers: OWN }, "event: hello");
    for (const watch of ["", "x", "[]", '{"locks":"all"}', '{"locks":{"prefix":1}}', '{"locks":[]}'])
      expect([watch, (await wish(watch)).status]).toEqual([watch, 400]);
    const nine = Object.fromEntries(Array.from({ length: 9 }, (_, index) => [`topic${index}`, {}]));
    expect((await wish(JSON.stringify(nine))).status).toBe(400);
    expect((await ask({ path: livePath({ lock: { name: "x".repeat(9_000) } }), headers: OWN })).status).toBe(414);
    // What this server does not know yet is left out.
    expect((await wish('{"weather":{}}')).status).toBe(200);
  });

  it.each([{}, { name: "a//b" }])("says what is wrong with the name of the lock that is followed: %j", async (lock) => {
    const { body } = await ask({ path: livePath({ lock }), headers: OWN }, "lock name");
    expect(body).toMatch(/"problem":"lock name .+ (is empty|has an empty segment)/);
  });

  it("says to whom it lets change something: to this machine itself, and not through a proxy or by another name", async () => {
    const access = async (headers: Record<string, string>) => {
      const { body } = await ask({ path: live, headers: { ...OWN, ...headers } }, "\n\n");
      return JSON.parse(/^data: (.*)$/m.exec(body)![1]!).access.allowed;
    };
    expect(await access({})).toBe(true);
    for (const proxied of ["forwarded", "via", "x-forwarded-for", "x-real-ip"])
      expect([proxied, await access({ [proxied]: "10.1.2.3" })]).toEqual([proxied, false]);
    expect(await access({ host: "locks.example.com" })).toBe(false);
  });

  it("keeps the probes open to whoever asks by whatever name, since they tell nothing", async () => {
    expect((await ask({ path: "/healthz", headers: { host: "10.9.8.7:7401" } })).body).toBe("alive\n");
  });
});
