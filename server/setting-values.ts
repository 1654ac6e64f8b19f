/** How the values of settings are read. What cannot be read throws an error that says what would be right. */

export interface Address {
  /** Without the brackets of an IPv6 address. */
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
}

/** Whether only this machine can reach an address. */
export const isLoopback = ({ host }: Address): boolean => /^(localhost|127(\.\d{1,3}){3}|::1)$/i.test(host);

/** "host:port", as URLs and gRPC write it. */
export const formatAddress = ({ host, port }: Address): string => `${host.includes(":") ? `[${host}]` : host}:${port}`;

/** "host:port" or "[IPv6]:port". */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new Error(`"${text}" is not host:port, such as 127.0.0.1:7400 or [::1]:7400`);
  return { host: match[1] ?? match[2]!, port };
}

/** "host:port", "none", or nothing: not given. */
export function parseAdvertised(text: string): Address | "none" | undefined {
  if (text === "" || text === "none") return text === "" ? undefined : text;
  return parseAddress(text);
}

/** Several addresses with commas, all or none of them with the same scheme before it. */
export function parseEndpoints(text: string): { scheme: string | undefined; endpoints: readonly string[] } {
  const parts = text.split(",").map((part) => /^(?:(https?):\/\/)?(.*?)\/?$/.exec(part.trim())!);
  const endpoints = parts.map((part) => formatAddress(parseAddress(part[2]!)));
  const schemes = new Set(parts.map((part) => part[1]));
  if (schemes.size > 1) throw new Error("some endpoints begin with https:// and some do not: write all alike");
  return { scheme: parts[0]?.[1], endpoints };
}

/** Names of machines with commas, without ports, in lower case. Empty: none. */
export function parseNames(text: string): ReadonlySet<string> {
  const names = text.split(",").map((name) => name.trim().toLowerCase());
  const wrong = names.find((name) => name !== "" && !/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(name));
  if (wrong !== undefined) throw new Error(`"${wrong}" is not a name such as holdfast.example.com, without a port`);
  return new Set(names.filter((name) => name !== ""));
}

/** The URL of a collector, without a path's last slash. Empty: none. */
export function parseUrl(text: string): string | undefined {
  if (text === "") return undefined;
  if (!/^https?:$/.test(URL.parse(text)?.protocol ?? "")) throw new Error(`"${text}" is no http:// or https:// URL`);
  return text.replace(/\/+$/, "");
}

/** Headers as "name=value" with commas. Empty: none. */
export function parseHeaders(text: string): Readonly<Record<string, string>> {
  const parts = text.split(",").filter((part) => part.trim() !== "");
  return Object.fromEntries(
    parts.map((part) => {
      const [, name, value] = /^\s*([!#$%&'*+.^_`|~\w-]+)=([\x20-\x7e]*)$/.exec(part) ?? [];
      // The text may be a secret, so it is not said again.
      if (name === undefined || value === undefined) throw new Error("write name=value, several with commas");
      return [name.toLowerCase(), value.trim()];
    }),
  );
}

/** A share, 0 to 1. */
export function parseRatio(text: string): number {
  const ratio = Number(text);
  if (text.trim() === "" || !(ratio >= 0 && ratio <= 1)) throw new Error(`"${text}" is not a number from 0 to 1`);
  return ratio;
}

/** What keys begin with: ends with "/", so that no prefix is the beginning of another by chance. */
export function parsePrefix(text: string): string {
  if (!text.endsWith("/") || !text.isWellFormed() || text.length > 200)
    throw new Error(`"${text}" must end with "/" and have at most 200 characters, such as holdfast/`);
  return text;
}

/** Reads a duration between two, in milliseconds. */
export function durationFrom(minMs: number, maxMs: number): (text: string) => number {
  return (text) => {
    const ms = parseDuration(text);
    if (ms < minMs || ms > maxMs) throw new Error(`"${text}" is not from ${minMs / 1_000}s to ${maxMs / 1_000}s`);
    return ms;
  };
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  if (match === null) throw new Error(`"${text}" is not a duration such as 500ms, 15s, 10m or 1h`);
  return Number(match[1]) * unitMs[match[2]!]!;
}

/** Reads a whole number from 1 to `max`. */
export function integerUpTo(max: number): (text: string) => number {
  return (text) => {
    const number = /^\d+$/.test(text) ? Number(text) : 0;
    if (number < 1 || number > max) throw new Error(`"${text}" is not a whole number from 1 to ${max}`);
    return number;
  };
}

/** Reads one of some words. */
export function oneOf<Choice extends string>(choices: readonly Choice[]): (text: string) => Choice {
  return (text) => {
    const choice = choices.find((one) => one === text);
    if (choice === undefined) throw new Error(`"${text}" is none of ${choices.join(", ")}`);
    return choice;
  };
}
