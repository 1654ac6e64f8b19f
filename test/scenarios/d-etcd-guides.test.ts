import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { toolPath } from "../support/etcd.ts";
import { EtcdCluster } from "../support/etcd-cluster.ts";
import { eventually } from "../support/eventually.ts";
import { startServer } from "../support/server.ts";
import { leaveNoProcess } from "../support/service.ts";
import { type Refused, StubSession } from "../support/stub-session.ts";

const run = promisify(execFile);

/** The shell commands of a page, those on several lines put together. */
function commandsOf(page: string): readonly string[] {
  const text = readFileSync(new URL(`../../docs/operations/${page}`, import.meta.url), "utf8");
  return [...text.matchAll(/^ *```sh\n([\s\S]*?)^ *```/gm)]
    .flatMap(([, block]) => block!.replaceAll(/\\\n\s*/g, "").split("\n"))
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

/** The one command of a page that begins so. */
function commandOf(page: string, start: string): string {
  const found = commandsOf(page).filter((line) => line.startsWith(start));
  if (found.length !== 1) throw new Error(`${page} has ${found.length} commands that begin with ${start}`);
  return found[0]!;
}

leaveNoProcess();

describe("the operator's guides", { timeout: 120_000 }, () => {
  let tools: string;

  beforeAll(async () => {
    // All of etcd's tools are in one folder, under names with their versions.
    tools = dirname(await toolPath("etcdctl"));
  }, 180_000);

  /** Runs a command of a page as it stands there, on a cluster of the test. */
  async function follow(command: string, cluster: EtcdCluster): Promise<string> {
    const here = command
      .replaceAll("10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379", cluster.endpoints)
      .replaceAll("10.0.0.1:2379", cluster.members[0]!.endpoint);
    const named = `etcdctl() { ${tools}/${(await toolPath("etcdctl")).split("/").at(-1)} "$@"; }; ${here}`;
    const { stdout } = await run("sh", ["-c", named]);
    return stdout;
  }

  it("D6 nospace.md frees a full cluster, where releases and heartbeats have gone on and errors were clear", async () => {
    await using cluster = await EtcdCluster.start({ quotaBytes: 8 * 1024 * 1024 });
    await using server = await startServer({ etcd: cluster.endpoints });
    await using holder = await StubSession.open(server.grpcAddress, { ttlMs: 60_000, keep: true });
    await using waiter = await StubSession.open(server.grpcAddress, { ttlMs: 60_000, keep: true });
    const held = await holder.take("d6");
    const waiting = waiter.acquire("d6");
    await waiting.waits();
    const value = "x".repeat(100_000);
    for (let i = 0; ; i++) {
      const put = await run("sh", [
        "-c",
        `${await toolPath("etcdctl")} --endpoints ${cluster.endpoints} put "$@"`,
        "",
        `others/${i}`,
        value,
      ]).catch((error) => error.stderr as string);
      if (typeof put === "string") {
        expect(put).toContain("database space exceeded");
        break;
      }
    }

    const denied = await holder.acquire("d6/new").refused();
    expect([denied.reason, denied.message]).toEqual(["store-unavailable", expect.stringContaining("full")]);
    const notOpened = await StubSession.open(server.grpcAddress).catch((error: Refused) => error);
    expect(notOpened).toMatchObject({ reason: "store-unavailable", message: expect.stringContaining("full") });
    await holder.acked(holder.beat());
    await holder.release(held.claimId);
    await waiting.granted;
    // Servers do what can be done.
    await server.untilReadiness(/^serving$/);

    const step = (start: string) => follow(commandOf("nospace.md", start), cluster);
    expect(await step("etcdctl --endpoints 10.0.0.1:2379 alarm list")).toContain("alarm:NOSPACE");
    expect(await step("etcdctl --endpoints 10.0.0.1:2379 endpoint status --cluster")).toContain("NOSPACE");
    await follow("etcdctl --endpoints 10.0.0.1:2379 del --prefix others/", cluster);
    await step("etcdctl --endpoints 10.0.0.1:2379 compact");
    await step("etcdctl --endpoints 10.0.0.1:2379 defrag");
    await step("etcdctl --endpoints 10.0.0.1:2379 alarm disarm");
    const taken = async () => (await holder.take("d6/after").catch((error: Refused) => error)) instanceof Error;
    await eventually(taken, false);
    expect(await step("etcdctl --endpoints 10.0.0.1:2379 alarm list")).toBe("");
  });

  it("etcd-cluster.md shows how the members are", async () => {
    await using cluster = await EtcdCluster.start();
    const all = "etcdctl --endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379 endpoint";
    expect(await follow(commandOf("etcd-cluster.md", `${all} status`), cluster)).toContain("IS LEADER");
    const health = await follow(commandOf("etcd-cluster.md", `${all} health`), cluster);
    expect(health.match(/is healthy/g)).toHaveLength(3);
  });
});
