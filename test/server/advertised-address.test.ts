import { expect, it } from "vitest";
import { advertisedAddress } from "../../server/advertised-address.ts";
import { readConfig } from "../../server/config.ts";

const about = { netmask: "", mac: "", cidr: null };
const loopback = { ...about, address: "127.0.0.1", family: "IPv4", internal: true } as const;
const ofThisLink = { ...about, address: "fe80::1", family: "IPv6", internal: false, scopeid: 2 } as const;
const six = { ...about, address: "2001:db8::1", family: "IPv6", internal: false, scopeid: 0 } as const;
const four = { ...about, address: "10.0.0.5", family: "IPv4", internal: false } as const;

type Flags = Parameters<typeof readConfig>[0];

const advertised = (flags: Flags, list: readonly (typeof four | typeof six | typeof ofThisLink)[] = [four]) =>
  advertisedAddress(readConfig({ insecure: true, ...flags }, {}), 7777, () => ({ lo: [loopback], eth: list }));

it("clients are told where the server listens, with the port that it got", () => {
  expect(advertised({})).toBe("127.0.0.1:7777");
  expect(advertised({ "grpc-address": "db1.example:0" })).toBe("db1.example:7777");
  expect(advertised({ "grpc-address": "[2001:db8::7]:0" })).toBe("[2001:db8::7]:7777");
});

it("in the place of a wildcard clients are told this machine's first address that others can reach", () => {
  for (const wildcard of ["0.0.0.0:0", "[::]:0"]) {
    expect(advertised({ "grpc-address": wildcard }, [ofThisLink, six, four])).toBe("10.0.0.5:7777");
    expect(advertised({ "grpc-address": wildcard }, [ofThisLink, six])).toBe("[2001:db8::1]:7777");
    expect(() => advertised({ "grpc-address": wildcard }, [ofThisLink])).toThrow(/give --advertise-address/);
  }
});

it("clients are told what is configured, or nothing", () => {
  expect(advertised({ "advertise-address": "locks.example:443" })).toBe("locks.example:443");
  expect(advertised({ "advertise-address": "locks.example:0" })).toBe("locks.example:7777");
  expect(advertised({ "advertise-address": "0.0.0.0:0" })).toBe("10.0.0.5:7777");
  expect(advertised({ "advertise-address": "none", "grpc-address": "0.0.0.0:0" }, [])).toBe("");
  expect(() => advertised({ "advertise-address": "nowhere" })).toThrow(
    /--advertise-address: "nowhere" is not host:port/,
  );
});
