import { isIPv6 } from "node:net";

/** The schemes of gRPC's own. */
const SCHEME = /^(?:dns|unix|unix-abstract|ipv4|ipv6|passthrough|vsock|xds):/;

/** Whether a text is "host:port": a name or an IPv4 address, or an IPv6 address in brackets, and a port from 1 to 65535. */
export function isHostPort(text: string): boolean {
  const match = /^(?:\[([^\]]+)\]|[^:/\s[\]]+):(\d{1,5})$/.exec(text);
  // "unix:7400" is a file for gRPC.
  if (match === null || (match[1] !== undefined && !isIPv6(match[1])) || SCHEME.test(text)) return false;
  const port = Number(match[2]);
  return port >= 1 && port <= 65_535;
}

/** Whether a text is a target that gRPC resolves in a way of its own, by the scheme that it begins with. */
const isTarget = (text: string): boolean => /^(?:dns|unix|unix-abstract|ipv4|ipv6):./.test(text);

/** Says what is wrong with an address that somebody configured; `undefined` if nothing is. */
export function addressProblem(address: unknown): string | undefined {
  if (typeof address === "string" && (isHostPort(address) || isTarget(address))) return undefined;
  return `${JSON.stringify(address)} is not "host:port", such as 127.0.0.1:7400`;
}
