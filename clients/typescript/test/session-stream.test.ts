import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { connectionsAfter } from "../../../test/support/late-listener.ts";
import { connectTo } from "../src/channel.ts";
import type { Command } from "../src/frames.ts";
import { SessionRequest } from "../src/gen/holdfast/v1/lock_service.ts";
import { VERSION } from "../src/index.ts";
import { settingsFrom } from "../src/options.ts";
import { frames, SessionStream } from "../src/session-stream.ts";
import { fromWire, sizeBound, toWire } from "../src/wire.ts";
import { request } from "./machine-run.ts";

const encode = (commands: readonly Command[]) => SessionRequest.encode({ commands: commands.map(toWire) }).finish();

function acquire(claimId: bigint, name: string, valueBytes: number): Command {
  const value = Buffer.alloc(valueBytes, 1);
  return { ...request(name, 3_600_000.001), kind: "acquire", claimId, reentryId: name, purpose: name, value };
}

describe("frames", () => {
  it("carry all commands of a turn in order, in one if they fit", () => {
    const commands: Command[] = [acquire(1n, "a", 10), { kind: "release", claimId: 1n }, { kind: "close" }];
    expect([...frames(commands)]).toEqual([commands]);
  });

  it("are split where the next command would make more than 64 KiB", () => {
    const commands = Array.from({ length: 100 }, (_, i) => acquire(BigInt(i), `lock/${i}`, 4096));
    const split = [...frames(commands)];
    expect(split.flat()).toEqual(commands);
    expect(split.length).toBeLessThan(9);
    for (const frame of split) expect(encode(frame).length).toBeLessThanOrEqual(65_536);
  });

  it("are never larger than the commands were thought to be", () => {
    const large = 2n ** 64n - 1n;
    const commands: Command[] = [
      acquire(large, "ü".repeat(256), 4096),
      acquire(large, "𝄞".repeat(128), 0),
      acquire(large, "a", 0),
      { ...request("x"), kind: "acquire", claimId: large, locks: Array(16).fill(request("€".repeat(170)).locks[0]) },
      { kind: "release", claimId: large },
      { kind: "heartbeat", seq: large },
      { kind: "update", claimId: large, value: Buffer.alloc(4096) },
      { kind: "close" },
    ];
    for (const command of commands) expect(encode([command]).length).toBeLessThanOrEqual(sizeBound(command));
  });
});

it("says the version that its package has", () => {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  expect(VERSION).toBe(version);
});

it("of the servers that it is told of, takes addresses, and no other target that gRPC would know", () => {
  const servers = [
    "a:1",
    "[::1]:2",
    "10.0.0.1:7400",
    "unix:/run/x",
    "dns:///a:1",
    "a",
    ":1",
    "a:1/b",
    "a b:1",
    "[::1]",
  ];
  const event = fromWire({ event: { $case: "draining", value: { leaveWithin: undefined, servers } } });
  expect(event).toEqual({ kind: "draining", leaveWithinMs: 0, servers: ["a:1", "[::1]:2", "10.0.0.1:7400"] });
});

it("leaves no connection behind to a server that was not there, and comes back", async () => {
  const refused = (address: string) =>
    new Promise<void>((ended) => {
      const listener = { connected: () => undefined, received: () => undefined, ended: () => ended() };
      new SessionStream(connectTo(address, settingsFrom(address, {})), listener);
    });
  expect(await connectionsAfter(refused)).toBe(0);
});
