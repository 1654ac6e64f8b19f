import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { type Sample, tableOf, whatGrew } from "./samples.ts";

const MIB = 1024 * 1024;

const sample = (atS: number, server: number, database: number): Sample => ({
  atS,
  perSecond: 1000,
  memory: { "server 1": server * MIB },
  database: database * MIB,
  databaseInUse: 2 * MIB,
});

describe("the soak", () => {
  it("calls memory flat that goes up and down, and warms up first", () => {
    const samples = [80, 200, 150, 300, 150, 290, 155, 310, 160].map((server, i) => sample(i, server, 10));
    expect(whatGrew(samples)).toEqual([]);
  });

  it("finds what grows, be it a process or the database", () => {
    const leak = Array.from({ length: 9 }, (_, i) => sample(i, 100 + 20 * i, 10));
    expect(whatGrew(leak)).toEqual(["server 1 grew from 160 to 220 MiB"]);
    const history = Array.from({ length: 9 }, (_, i) => sample(i, 100, 20 * i));
    expect(whatGrew(history)).toEqual(["etcd's database grew from 60 to 120 MiB"]);
  });

  it("prints a table of no more rows than wanted, the last sample among them", () => {
    const lines = tableOf(
      Array.from({ length: 9 }, (_, i) => sample(i * 60, 100, 10)),
      3,
    ).split("\n");
    expect(lines[0]).toMatch(/s {2}locks\/s {2}server 1 {2}database {2}in use/);
    expect(lines).toHaveLength(4);
    expect(lines.at(-1)).toMatch(/480 +1000 +100 +10.0 +2.0/);
  });

  it("loads several servers and leaves nothing behind", { timeout: 180_000 }, async () => {
    const options = ["--minutes", "0.05", "--servers", "2", "--clients", "1", "--workers", "10"];
    const run = promisify(execFile)(process.execPath, ["test/soak/main.ts", ...options], {
      cwd: resolve(import.meta.dirname, "../.."),
    });
    // In so short a time everything grows.
    const { stdout } = await run.catch((error: { stdout: string }) => error);
    expect(stdout.replaceAll(/(; )?[a-z0-9 ']+ grew from \d+ to \d+ MiB/g, "")).not.toMatch(/FAILED: ./);
    expect(stdout).toMatch(/^\d+ locks taken in 3 s through 2 servers; nothing left in etcd$/m);
  });
});
