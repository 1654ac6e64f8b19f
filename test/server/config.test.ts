import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ConfigError, readConfig } from "../../server/config.ts";
import { environmentName, settings } from "../../server/settings.ts";
import { newAuthority } from "../support/certificates.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const pair = newAuthority().issue("localhost");
// Of another algorithm than the pair's, which OpenSSL does not mind.
const rsaKey = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs8", format: "pem" });
const certificate = file("cert.pem", pair.certificate);
const key = file("key.pem", pair.key);

type Flags = Parameters<typeof readConfig>[0];

/** The complaint about these settings. */
function complaint(flags: Flags, environment: Record<string, string> = {}): string {
  try {
    readConfig(flags, environment);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    const { message } = error as ConfigError;
    expect(message).not.toContain("\n");
    return message;
  }
  throw new Error("it was accepted");
}

describe("settings of a server", () => {
  it("have defaults that need nothing but loopback", () => {
    expect(readConfig({}, {})).toEqual({
      grpcAddress: { host: "127.0.0.1", port: 7400 },
      advertiseAddress: undefined,
      httpAddress: { host: "127.0.0.1", port: 7401 },
      consoleHosts: new Set(),
      tls: undefined,
      insecure: false,
      adminToken: undefined,
      etcd: { kind: "embedded", dataFolder: ".data", binary: undefined },
      prefix: "holdfast/",
      stateFile: ".data/seen.json",
      drainDelayMs: 0,
      drainMs: 0,
      limits: { maxTtlMs: 600_000, maxClaimsPerSession: 1_000, maxWaitersPerLock: 10_000, maxReentryDepth: 100 },
      metrics: true,
      lockClasses: [],
      otlp: undefined,
      traceRatio: 0,
      logLevel: "info",
      logFormat: "auto",
    });
  });

  it("keep no metrics where they are off", () => {
    expect(readConfig({ metrics: "off" }, {}).metrics).toBe(false);
    expect(complaint({ metrics: "no" })).toBe('--metrics: "no" is none of on, off');
  });

  it("send metrics and traces to a collector, with what it wants to be told", () => {
    const flags: Flags = { "otlp-endpoint": "http://collector:4318/", "otlp-interval": "5s", "trace-ratio": "0.25" };
    const config = readConfig(flags, { HOLDFAST_OTLP_HEADERS: "Authorization=Bearer a=b, x-team=locks" });
    expect(config).toMatchObject({
      otlp: {
        endpoint: "http://collector:4318",
        intervalMs: 5_000,
        headers: { authorization: "Bearer a=b", "x-team": "locks" },
      },
      traceRatio: 0.25,
    });
    expect(complaint({ "otlp-endpoint": "collector:4318" })).toContain("no http:// or https:// URL");
    expect(complaint({ "trace-ratio": "1" })).toBe("--trace-ratio: means nothing without --otlp-endpoint");
    const secret = complaint(flags, { HOLDFAST_OTLP_HEADERS: "s3cret" });
    expect(secret).toBe("HOLDFAST_OTLP_HEADERS: write name=value, several with commas");
  });

  it("are taken from the flag, else from the environment, else from the default", () => {
    const environment = { HOLDFAST_GRPC_ADDRESS: "127.0.0.1:1", HOLDFAST_HTTP_ADDRESS: "[::1]:2", HOLDFAST_PREFIX: "" };
    const config = readConfig({ "grpc-address": "localhost:3" }, environment);
    expect(config.grpcAddress).toEqual({ host: "localhost", port: 3 });
    expect(config.httpAddress).toEqual({ host: "::1", port: 2 });
    expect(config.prefix).toBe("holdfast/");
  });

  it("can each be given in the environment", () => {
    const anyText = { HOLDFAST_DATA: "folder", HOLDFAST_ETCD_BINARY: "program", HOLDFAST_STATE_FILE: "seen" };
    const config = readConfig({}, anyText);
    expect(config.etcd).toEqual({ kind: "embedded", dataFolder: "folder", binary: "program" });
    expect(config.stateFile).toBe("seen");
    const existing = { HOLDFAST_ETCD_ENDPOINTS: "one:2379" };
    for (const { name } of settings.filter(({ name }) => !(environmentName(name) in anyText)))
      expect(
        complaint({}, { ...(name.startsWith("drain-") ? existing : {}), [environmentName(name)]: "\0" }),
      ).toContain(environmentName(name));
  });

  it("name an etcd that is there, with TLS and a user", () => {
    const flags: Flags = {
      "etcd-endpoints": "https://one:2379, https://two:2379/",
      "etcd-ca": certificate,
      "etcd-cert": certificate,
      "etcd-key": key,
      "etcd-user": "locks",
      "etcd-password-file": file("password", "from the file\n"),
    };
    expect(readConfig(flags, {}).etcd).toEqual({
      kind: "existing",
      endpoints: ["one:2379", "two:2379"],
      tls: {
        ca: pair.certificate,
        client: pair,
      },
      user: { name: "locks", password: "from the file" },
    });
    expect(readConfig({ "etcd-endpoints": "one:2379" }, {}).etcd).toMatchObject({ tls: undefined, user: undefined });
    expect(
      readConfig({ "etcd-endpoints": "one:2379", "etcd-user": "locks" }, { HOLDFAST_ETCD_PASSWORD: "secret" }).etcd,
    ).toMatchObject({ user: { name: "locks", password: "secret" } });
  });

  it("read the administration token from a file or the environment, and refuse one that can be guessed", () => {
    const token = "0123456789abcdef";
    const path = file("token", `${token}\nwhoever reads this\n`);
    expect(readConfig({ "admin-token-file": path }, {}).adminToken).toBe(token);
    expect(readConfig({}, { HOLDFAST_ADMIN_TOKEN: token }).adminToken).toBe(token);
    expect(complaint({ "admin-token-file": file("short", "secret\n") })).toBe(
      "--admin-token-file: the token must have 16 to 512 visible ASCII characters, such as `openssl rand -hex 32` gives",
    );
    expect(complaint({ "admin-token-file": file("empty", "") })).toContain("must have 16 to 512");
    expect(complaint({}, { HOLDFAST_ADMIN_TOKEN: "0123456789 abcdef" })).toMatch(
      /^HOLDFAST_ADMIN_TOKEN: the token must/,
    );
  });

  it("let plain text beyond loopback only when told to", () => {
    expect(complaint({ "grpc-address": "0.0.0.0:7400" })).toBe(
      "--grpc-address: 0.0.0.0:7400 can be reached from elsewhere: give --tls-cert and --tls-key, or --insecure",
    );
    expect(complaint({}, { HOLDFAST_HTTP_ADDRESS: "[::]:1" })).toContain("HOLDFAST_HTTP_ADDRESS: [::]:1 can be");
    expect(complaint({ "grpc-address": "127.0.0.1.example.org:1" })).toContain("can be reached from elsewhere");
    expect(readConfig({ "grpc-address": "0.0.0.0:1", insecure: true }, {}).insecure).toBe(true);
    expect(readConfig({ "grpc-address": "0.0.0.0:1" }, { HOLDFAST_INSECURE: "true" }).insecure).toBe(true);
    expect(readConfig({ "grpc-address": "0.0.0.0:1", "tls-cert": certificate, "tls-key": key }, {}).tls).toEqual(pair);
  });

  const wrong: readonly (readonly [string, Flags, Record<string, string>, string])[] = [
    ["an address without a port", { "grpc-address": "localhost" }, {}, '--grpc-address: "localhost" is not host:port'],
    ["a port that is none", { "http-address": "localhost:65536" }, {}, '--http-address: "localhost:65536" is not'],
    ["a duration without a unit", { "max-ttl": "600" }, {}, '--max-ttl: "600" is not a duration such as 500ms, 15s'],
    ["a TTL that is too short", {}, { HOLDFAST_MAX_TTL: "1s" }, 'HOLDFAST_MAX_TTL: "1s" is not from 2s to 86400s'],
    [
      "a limit of zero",
      { "max-waiters-per-lock": "0" },
      {},
      '--max-waiters-per-lock: "0" is not a whole number from 1',
    ],
    ["a limit in words", { "max-claims-per-session": "1e3" }, {}, '--max-claims-per-session: "1e3" is not'],
    ["a prefix that could run into another", { prefix: "holdfast" }, {}, '--prefix: "holdfast" must end with "/"'],
    ["an unknown level", { "log-level": "loud" }, {}, '--log-level: "loud" is none of debug, info, warn, error'],
    [
      "a switch that is neither",
      {},
      { HOLDFAST_INSECURE: "yes" },
      'HOLDFAST_INSECURE: "yes" is neither true nor false',
    ],
    ["a path that is empty", { data: "" }, {}, "--data: is empty: give a path"],
    ["swapped files", { "tls-cert": key, "tls-key": certificate }, {}, "--tls-cert: cannot be used with --tls-key: "],
    [
      "the key of another certificate",
      { "tls-cert": certificate, "tls-key": file("rsa.pem", rsaKey) },
      {},
      "--tls-cert: cannot be used with --tls-key: the key is that of another certificate; are they swapped, or is",
    ],
    [
      "authorities that are none",
      { "etcd-endpoints": "a:1", "etcd-ca": key },
      {},
      "--etcd-ca: has no certificate in PEM",
    ],
    ["half a certificate", { "tls-cert": certificate }, {}, "--tls-cert: needs --tls-key"],
    ["the other half", { "tls-key": key }, {}, "--tls-key: means nothing without --tls-cert"],
    ["a file that is not there", { "tls-cert": "/nowhere/x" }, {}, "--tls-cert: cannot be read: ENOENT"],
    ["an endpoint without a port", { "etcd-endpoints": "a:1,b" }, {}, '--etcd-endpoints: "b" is not host:port'],
    ["endpoints of two kinds", { "etcd-endpoints": "https://a:1,b:1" }, {}, "--etcd-endpoints: some endpoints begin"],
    [
      "TLS without TLS",
      { "etcd-endpoints": "http://a:1", "etcd-ca": certificate },
      {},
      "--etcd-endpoints: http:// contra",
    ],
    ["TLS to no etcd", { "etcd-ca": certificate }, {}, "--etcd-ca: means nothing without --etcd-endpoints"],
    [
      "a user without a password",
      { "etcd-endpoints": "a:1", "etcd-user": "u" },
      {},
      "--etcd-user: needs --etcd-password-",
    ],
    [
      "nobody's password",
      { "etcd-endpoints": "a:1" },
      { HOLDFAST_ETCD_PASSWORD: "x" },
      "HOLDFAST_ETCD_PASSWORD: means",
    ],
    [
      "a misspelt variable",
      {},
      { HOLDFAST_GRPC_ADRESS: "x" },
      "HOLDFAST_GRPC_ADRESS: no such setting; `holdfast server",
    ],
  ];
  it.each(wrong)("name what is wrong in one line: %s", (_what, flags, environment, start) => {
    expect(complaint(flags, environment).slice(0, start.length)).toBe(start);
  });

  it("leave alone what clients and Kubernetes put into the environment", () => {
    const environment = {
      HOLDFAST_SERVER: "127.0.0.1:7400",
      HOLDFAST_TOKEN: "1",
      HOLDFAST_LOCK: "x",
      HOLDFAST_SERVICE_HOST: "10.0.0.1",
      HOLDFAST_SERVICE_PORT_GRPC: "7400",
      HOLDFAST_PORT: "tcp://10.0.0.1:7400",
      HOLDFAST_PORT_7400_TCP_ADDR: "10.0.0.1",
    };
    expect(readConfig({}, environment)).toEqual(readConfig({}, {}));
  });
});
