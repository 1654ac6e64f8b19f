import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";
import type { Config } from "./config.ts";
import { formatAddress } from "./setting-values.ts";

/** Hosts that mean every address of this machine. */
const WILDCARDS = new Set(["0.0.0.0", "::"]);

/**
 * What clients are told to reach this server at, as "host:port"; empty: nothing. As configured; else the address that
 * it listens on, with this machine's first address that others can reach in the place of a wildcard.
 *
 * Throws an error of one line when there is no such address.
 */
export function advertisedAddress(
  { advertiseAddress, grpcAddress }: Pick<Config, "advertiseAddress" | "grpcAddress">,
  boundPort: number,
  interfaces: () => Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>> = networkInterfaces,
): string {
  if (advertiseAddress === "none") return "";
  const { host, port } = advertiseAddress ?? { ...grpcAddress, port: boundPort };
  if (!WILDCARDS.has(host)) return formatAddress({ host, port: port || boundPort });
  const own = reachable(Object.values(interfaces()).flatMap((list) => list ?? []));
  if (own === undefined)
    throw new Error("this machine has no address that others can reach: give --advertise-address host:port, or none");
  return formatAddress({ host: own, port: port || boundPort });
}

/** The first IPv4 address that is not only this machine's, else such an IPv6 address that is not only of one link. */
function reachable(list: readonly NetworkInterfaceInfo[]): string | undefined {
  const others = list.filter(({ internal }) => !internal);
  const found =
    others.find(({ family }) => family === "IPv4") ??
    others.find(({ family, address }) => family === "IPv6" && !/^fe[89ab]/i.test(address));
  return found?.address;
}
