import { execFileSync } from "node:child_process";
import { networkInterfaces } from "node:os";

/** An address of documentation (RFC 5737), for a machine that has none but loopback. */
const SPARE = "192.0.2.1";

/**
 * An address of this machine that is not a loopback one, so that who calls it looks like another machine. If there is
 * none, one is put on the loopback interface until disposed of, which takes root.
 */
export function outerAddress(): { readonly host: string } & Disposable {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const found = own.find(({ family, internal }) => family === "IPv4" && !internal);
  if (found !== undefined) return { host: found.address, [Symbol.dispose]: () => undefined };
  const ip = (what: "add" | "del") => execFileSync("ip", ["address", what, `${SPARE}/32`, "dev", "lo"]);
  ip("add");
  return { host: SPARE, [Symbol.dispose]: () => void ip("del") };
}
