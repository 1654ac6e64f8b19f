import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";

/** The header that every request for something other than a file carries: no page of another origin can send it. */
const OWN_HEADER = "x-holdfast-console";

/** What is looked at of a request before anything is done for it. */
export interface Visit {
  readonly headers: IncomingHttpHeaders;
  /** The address of our end of the connection. */
  readonly localAddress: string;
  /** The other end, as "address:port". */
  readonly peer: string;
  readonly encrypted: boolean;
}

export interface Refusal {
  readonly status: number;
  readonly message: string;
}

/**
 * Why a request is not answered, if it is not. The name it was sent to must be one of ours, or a page of another site
 * could have its own name point here and read everything (DNS rebinding): names of this machine itself, the
 * address that was connected to, and those in `hosts`, whatever the port, since a tunnel has its own.
 */
export function refuseStranger(
  { headers, localAddress, encrypted }: Visit,
  hosts: ReadonlySet<string>,
): Refusal | undefined {
  const host = headers.host ?? "";
  const name = nameIn(host);
  if (name === undefined || !(isLoopbackName(name) || sameAddress(name, localAddress) || hosts.has(name)))
    return { status: 421, message: "this is not a name of the console: add it to --console-hosts if it should be" };
  const { origin } = headers;
  // A proxy that ends TLS makes "https" of what is plain here; nothing else may differ.
  const own = encrypted ? [`https://${host}`] : [`http://${host}`, `https://${host}`];
  if (origin !== undefined && !own.includes(origin))
    return { status: 403, message: "requests of pages from elsewhere are not answered" };
  const site = headers["sec-fetch-site"];
  const mode = headers["sec-fetch-mode"];
  // Following a link to the console is fine; fetching or embedding anything of it is not.
  if (site !== undefined && site !== "same-origin" && site !== "none" && mode !== "navigate")
    return { status: 403, message: "requests of pages from elsewhere are not answered" };
  return undefined;
}

/** Why a request for data is not answered: without the own header it may be a form or an image of any page. */
export function refuseUnmarked(headers: IncomingHttpHeaders): Refusal | undefined {
  if (headers[OWN_HEADER] === "1") return undefined;
  return { status: 403, message: `the header ${OWN_HEADER}: 1 is missing` };
}

/**
 * Whether somebody on another machine may be behind a request, whatever address it has: a proxy says so, or it was sent
 * to a name that is not this machine's own.
 */
export function isProxied(headers: IncomingHttpHeaders): boolean {
  const marks = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];
  return marks.some((name) => headers[name] !== undefined) || !isLoopbackName(nameIn(headers.host ?? "") ?? "");
}

/** Whether browsers take the origin of a request for one that nobody between them and us can feign. */
export const isTrustworthy = ({ headers, encrypted }: Visit): boolean =>
  encrypted || headers["x-forwarded-proto"] === "https" || isLoopbackName(nameIn(headers.host ?? "") ?? "");

/** The name or address in a Host header, without its port and brackets, in lower case. */
function nameIn(host: string): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(host);
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

const isLoopbackName = (name: string): boolean => name === "localhost" || isLoopbackAddress(name);

function isLoopbackAddress(address: string): boolean {
  const plain = withoutMapping(address);
  return plain === "::1" || (isIP(plain) === 4 && plain.startsWith("127."));
}

const sameAddress = (name: string, address: string): boolean => isIP(name) !== 0 && name === withoutMapping(address);

/** An IPv4 address that came over an IPv6 socket, as itself. */
const withoutMapping = (address: string): string => address.toLowerCase().replace(/^::ffff:(?=\d+\.)/, "");
