import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { experimental, status } from "@grpc/grpc-js";

const SCHEME = "holdfast-etcd";

/** Names are not looked up more often than this. */
const MIN_INTERVAL_MS = 1_000;

/** What a channel over all of these endpoints ("host:port" each) is opened with. Tried in the order given. */
export function targetOf(endpoints: readonly string[]): string {
  return `${SCHEME}:${endpoints.join(",")}`;
}

/** The host of "host:port", without the brackets of an IPv6 address. */
export function hostOf(endpoint: string): string {
  return experimental.splitHostPort(endpoint)?.host ?? endpoint;
}

/**
 * Finds the addresses of several endpoints for one channel. Of grpc-js' own resolvers `ipv4:` takes several
 * endpoints but no names, and `dns:` takes a name but only one.
 */
class EndpointsResolver implements experimental.Resolver {
  private readonly endpoints: readonly string[];
  private readonly listener: experimental.ResolverListener;
  private pause: NodeJS.Timeout | undefined;
  private again = false;
  private generation = 0;

  constructor(target: experimental.GrpcUri, listener: experimental.ResolverListener) {
    this.endpoints = target.path.split(",");
    this.listener = listener;
  }

  updateResolution(): void {
    if (this.pause !== undefined) {
      this.again = true;
      return;
    }
    this.pause = setTimeout(() => {
      this.pause = undefined;
      if (!this.again) return;
      this.again = false;
      this.updateResolution();
    }, MIN_INTERVAL_MS).unref();
    void this.resolve(++this.generation);
  }

  destroy(): void {
    this.generation++;
    this.again = false;
    clearTimeout(this.pause);
    this.pause = undefined;
  }

  static getDefaultAuthority(target: experimental.GrpcUri): string {
    return target.path.split(",")[0] ?? "";
  }

  private async resolve(generation: number): Promise<void> {
    const results = await Promise.allSettled(this.endpoints.map(addressesOf));
    if (generation !== this.generation) return;
    const found = results.flatMap((result) => (result.status === "fulfilled" ? result.value : []));
    const failure = results.find((result) => result.status === "rejected");
    if (found.length === 0 && failure !== undefined) {
      const refusal = { code: status.UNAVAILABLE, details: String(failure.reason) };
      this.listener(experimental.statusOrFromError(refusal), {}, null, "");
      return;
    }
    const answer = found.map((address) => ({ addresses: [address] }));
    this.listener(experimental.statusOrFromValue(answer), {}, null, "");
  }
}

async function addressesOf(endpoint: string): Promise<readonly { host: string; port: number }[]> {
  const { host, port } = experimental.splitHostPort(endpoint) ?? {};
  if (host === undefined || port === undefined) throw new Error(`"${endpoint}" is not "host:port"`);
  if (isIP(host)) return [{ host, port }];
  const addresses = await lookup(host, { all: true });
  return addresses.map(({ address }) => ({ host: address, port }));
}

experimental.registerResolver(SCHEME, EndpointsResolver);
