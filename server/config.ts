import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { type LockClass, parseLockClasses } from "./adapters/telemetry/lock-classes.ts";
import type { OtlpTarget } from "./adapters/telemetry/otlp.ts";
import {
  type Address,
  durationFrom,
  formatAddress,
  integerUpTo,
  isLoopback,
  oneOf,
  parseAddress,
  parseAdvertised,
  parseEndpoints,
  parseHeaders,
  parseNames,
  parsePrefix,
  parseRatio,
  parseUrl,
} from "./setting-values.ts";
import { environmentName, type Setting, type SettingName, settings } from "./settings.ts";

/** What a server is to do: complete, checked, and with the files read that it names. */
export interface Config {
  readonly grpcAddress: Address;
  /** Where clients are told to find this server; port 0: the one it listens on. `undefined`: where it listens. */
  readonly advertiseAddress: Address | "none" | undefined;
  readonly httpAddress: Address;
  /** Names besides those of this machine itself under which the console may be reached, in lower case. */
  readonly consoleHosts: ReadonlySet<string>;
  /** `undefined`: plain text. */
  readonly tls: CertificateAndKey | undefined;
  /** Whether plain text may go beyond loopback. */
  readonly insecure: boolean;
  /** What lets administrators on other machines change things. `undefined`: nothing does. */
  readonly adminToken: string | undefined;
  readonly etcd: EmbeddedEtcdConfig | ExistingEtcdConfig;
  readonly prefix: string;
  /** Where this server remembers how far it has seen etcd's history; `undefined`: nowhere. */
  readonly stateFile: string | undefined;
  /** How long the server says that it does not serve before it turns anybody away. */
  readonly drainDelayMs: number;
  /** How long clients have to go elsewhere when the server is told to end. */
  readonly drainMs: number;
  readonly limits: {
    readonly maxTtlMs: number;
    readonly maxClaimsPerSession: number;
    readonly maxWaitersPerLock: number;
    readonly maxReentryDepth: number;
  };
  /** Whether metrics are kept. */
  readonly metrics: boolean;
  readonly lockClasses: readonly LockClass[];
  /** `undefined`: nothing is sent anywhere. */
  readonly otlp: OtlpTarget | undefined;
  /** The share of acquires to trace that come without a trace. */
  readonly traceRatio: number;
  readonly logLevel: LogLevel;
  readonly logFormat: "auto" | "text" | "json";
}

/** Both in PEM. */
export interface CertificateAndKey {
  readonly certificate: Buffer;
  readonly key: Buffer;
}

/** An etcd of our own, as a child. */
export interface EmbeddedEtcdConfig {
  readonly kind: "embedded";
  readonly dataFolder: string;
  /** `undefined`: the pinned one. */
  readonly binary: string | undefined;
}

/** An etcd that is there. */
export interface ExistingEtcdConfig {
  readonly kind: "existing";
  /** "host:port" each. */
  readonly endpoints: readonly string[];
  /** `undefined`: plain text. */
  readonly tls: { readonly ca: Buffer | undefined; readonly client: CertificateAndKey | undefined } | undefined;
  readonly user: { readonly name: string; readonly password: string } | undefined;
}

const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

/** A setting that is wrong, in one line that names it and says what to give instead. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads a server's settings: `flags` by name without dashes (`true` for one without a value), which go before the
 * environment, which goes before what is the default. An empty variable is as good as none. Reads the files that
 * are named.
 *
 * Throws `ConfigError` for the first that is wrong: a value, a contradiction, a file that cannot be read, or a
 * variable that begins with HOLDFAST_ and is none of ours, which is likely misspelt.
 */
export function readConfig(
  flags: Readonly<Partial<Record<SettingName, string | true>>>,
  environment: Environment,
): Config {
  refuseUnknown(environment);
  const given = new Given(flags, environment);
  const etcd = readEtcd(given);
  const config: Config = {
    grpcAddress: given.parsed("grpc-address", parseAddress),
    advertiseAddress: given.parsed("advertise-address", parseAdvertised),
    httpAddress: given.parsed("http-address", parseAddress),
    consoleHosts: given.parsed("console-hosts", parseNames),
    tls: readPair(given, "tls-cert", "tls-key"),
    insecure: given.isSet("insecure"),
    adminToken: readAdminToken(given),
    etcd,
    prefix: given.parsed("prefix", parsePrefix),
    stateFile: given.text("state-file") ?? (etcd.kind === "embedded" ? join(etcd.dataFolder, "seen.json") : undefined),
    // Where etcd ends too, there is nowhere to go.
    drainDelayMs: etcd.kind === "embedded" ? 0 : given.parsed("drain-delay", durationFrom(0, 600_000)),
    drainMs: etcd.kind === "embedded" ? 0 : given.parsed("drain-time", durationFrom(0, 600_000)),
    limits: {
      maxTtlMs: given.parsed("max-ttl", durationFrom(2_000, 86_400_000)),
      maxClaimsPerSession: given.parsed("max-claims-per-session", integerUpTo(100_000)),
      maxWaitersPerLock: given.parsed("max-waiters-per-lock", integerUpTo(10_000_000)),
      maxReentryDepth: given.parsed("max-reentry-depth", integerUpTo(1_000_000)),
    },
    metrics: given.parsed("metrics", oneOf(["on", "off"] as const)) === "on",
    lockClasses: given.parsed("lock-classes", parseLockClasses),
    otlp: readOtlp(given),
    traceRatio: given.parsed("trace-ratio", parseRatio),
    logLevel: given.parsed("log-level", oneOf(logLevels)),
    logFormat: given.parsed("log-format", oneOf(["auto", "text", "json"] as const)),
  };
  refuseExposed(given, config);
  return config;
}

const settingOf = (name: SettingName): Setting => settings.find((one) => one.name === name)!;

/** What was given, and where, so that a complaint can name it. */
class Given {
  private readonly flags: Readonly<Partial<Record<SettingName, string | true>>>;
  private readonly environment: Environment;

  constructor(flags: Readonly<Partial<Record<SettingName, string | true>>>, environment: Environment) {
    this.flags = flags;
    this.environment = environment;
  }

  /** The value given, if one was. */
  text(name: SettingName): string | undefined {
    const flag = this.flags[name];
    const { value } = settingOf(name);
    if (flag === "" && (value === "file" || value === "folder")) throw this.wrong(name, "is empty: give a path");
    return flag === undefined ? this.environment[environmentName(name)] || undefined : String(flag);
  }

  /** The value given or the default, as `parse` reads it; that throws what is wrong with it. */
  parsed<Value>(name: SettingName, parse: (text: string) => Value): Value {
    const text = this.text(name) ?? settingOf(name).fallback ?? "";
    try {
      return parse(text);
    } catch (error) {
      throw this.wrong(name, error instanceof Error ? error.message : String(error));
    }
  }

  isSet(name: SettingName): boolean {
    const text = this.text(name) ?? "false";
    if (text !== "true" && text !== "false") throw this.wrong(name, `"${text}" is neither true nor false`);
    return text === "true";
  }

  file(name: SettingName): Buffer | undefined {
    const path = this.text(name);
    if (path === undefined) return undefined;
    try {
      return readFileSync(path);
    } catch (error) {
      throw this.wrong(name, `cannot be read: ${(error as Error).message}`);
    }
  }

  wrong(name: SettingName, problem: string): ConfigError {
    return new ConfigError(`${this.flags[name] === undefined ? environmentName(name) : `--${name}`}: ${problem}`);
  }
}

function readOtlp(given: Given): OtlpTarget | undefined {
  const endpoint = given.parsed("otlp-endpoint", parseUrl);
  const headers = given.parsed("otlp-headers", parseHeaders);
  const intervalMs = given.parsed("otlp-interval", durationFrom(1_000, 3_600_000));
  if (endpoint !== undefined) return { endpoint, headers, intervalMs };
  for (const name of ["otlp-headers", "trace-ratio"] as const)
    if (given.text(name) !== undefined) throw given.wrong(name, "means nothing without --otlp-endpoint");
  return undefined;
}

function readEtcd(given: Given): EmbeddedEtcdConfig | ExistingEtcdConfig {
  const endpoints = given.text("etcd-endpoints");
  if (endpoints !== undefined) return readExisting(given);
  for (const name of ["etcd-ca", "etcd-cert", "etcd-key", "etcd-user", "etcd-password", "etcd-password-file"] as const)
    if (given.text(name) !== undefined) throw given.wrong(name, "means nothing without --etcd-endpoints");
  return { kind: "embedded", dataFolder: given.parsed("data", String), binary: given.text("etcd-binary") };
}

function readExisting(given: Given): ExistingEtcdConfig {
  const parsed = given.parsed("etcd-endpoints", parseEndpoints);
  const ca = given.file("etcd-ca");
  if (ca?.includes("-----BEGIN CERTIFICATE-----") === false) throw given.wrong("etcd-ca", "has no certificate in PEM");
  const client = readPair(given, "etcd-cert", "etcd-key");
  const wantsTls = parsed.scheme === "https" || ca !== undefined || client !== undefined;
  if (wantsTls && parsed.scheme === "http")
    throw given.wrong("etcd-endpoints", "http:// contradicts --etcd-ca and --etcd-cert: write https://");
  return {
    kind: "existing",
    endpoints: parsed.endpoints,
    tls: wantsTls ? { ca, client } : undefined,
    user: readUser(given),
  };
}

function readUser(given: Given): ExistingEtcdConfig["user"] {
  const name = given.text("etcd-user");
  const file = given.file("etcd-password-file");
  const password = given.text("etcd-password") ?? file?.toString("utf8").split(/\r?\n/)[0];
  if (name === undefined && password === undefined) return undefined;
  if (name === undefined)
    throw given.wrong(file ? "etcd-password-file" : "etcd-password", "means nothing without --etcd-user");
  if (!password) throw given.wrong("etcd-user", "needs --etcd-password-file or HOLDFAST_ETCD_PASSWORD");
  return { name, password };
}

/** Long enough that nobody guesses it, and of what may stand in a header. */
const TOKEN = /^[\x21-\x7e]{16,512}$/;

function readAdminToken(given: Given): string | undefined {
  const name = given.text("admin-token") === undefined ? "admin-token-file" : "admin-token";
  const token = given.text("admin-token") ?? given.file("admin-token-file")?.toString("utf8").split(/\r?\n/)[0];
  if (token !== undefined && !TOKEN.test(token))
    throw given.wrong(
      name,
      "the token must have 16 to 512 visible ASCII characters, such as `openssl rand -hex 32` gives",
    );
  return token;
}

function readPair(given: Given, certName: SettingName, keyName: SettingName): CertificateAndKey | undefined {
  const certificate = given.file(certName);
  const key = given.file(keyName);
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined) throw given.wrong(keyName, `means nothing without --${certName}`);
  if (key === undefined) throw given.wrong(certName, `needs --${keyName}`);
  const problem = pairProblem(certificate, key);
  if (problem !== undefined)
    throw given.wrong(
      certName,
      `cannot be used with --${keyName}: ${problem}; are they swapped, or is the key encrypted?`,
    );
  return { certificate, key };
}

function pairProblem(cert: Buffer, key: Buffer): string | undefined {
  try {
    createSecureContext({ cert, key });
    // OpenSSL itself compares those of the same algorithm only.
    if (new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) return undefined;
    return "the key is that of another certificate";
  } catch (error) {
    return (error as Error).message;
  }
}

function refuseExposed(given: Given, config: Config): void {
  for (const name of ["grpc-address", "http-address"] as const) {
    const address = name === "grpc-address" ? config.grpcAddress : config.httpAddress;
    if (!isLoopback(address) && config.tls === undefined && !config.insecure)
      throw given.wrong(
        name,
        `${formatAddress(address)} can be reached from elsewhere: give --tls-cert and --tls-key, or --insecure`,
      );
  }
}

/** What clients read, and what `holdfast lock` tells its child. */
const ofClients = [
  ...["HOLDFAST_SERVER", "HOLDFAST_TLS", "HOLDFAST_TLS_CA"],
  ...["HOLDFAST_TOKEN", "HOLDFAST_LOCK", "HOLDFAST_TOKENS", "HOLDFAST_LOCKS", "HOLDFAST_ELECTION"],
];

/** What Kubernetes puts into the environment of every container for a service whose name begins with ours. */
const ofKubernetes = /_SERVICE_(HOST|PORT)(_\w+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$/;

function refuseUnknown(environment: Environment): void {
  const known = new Set([...settings.map(({ name }) => environmentName(name)), ...ofClients]);
  for (const name of Object.keys(environment))
    if (name.startsWith("HOLDFAST_") && !known.has(name) && !ofKubernetes.test(name))
      throw new ConfigError(`${name}: no such setting; \`holdfast server --help\` lists them`);
}
