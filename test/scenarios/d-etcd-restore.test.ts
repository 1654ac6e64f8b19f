import { execFile } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { connect } from "../../clients/typescript/src/index.ts";
import { EtcdCluster } from "../support/etcd-cluster.ts";
import { startServer } from "../support/server.ts";
import { leaveNoProcess } from "../support/service.ts";
import { StubSession } from "../support/stub-session.ts";

const COMMAND_LINE = new URL("../../clients/cli/main.ts", import.meta.url).pathname;

/** What `holdfast` says, and its exit code. */
function holdfast(...args: readonly string[]): Promise<{ readonly code: number; readonly text: string }> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [COMMAND_LINE, ...args], (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, text: stdout + stderr }),
    );
  });
}

leaveNoProcess();

describe("D4 an etcd of three members restored from a backup", { timeout: 120_000 }, () => {
  for (const [what, flags, tokens] of [
    ["as it was", [], /will be given out AGAIN/],
    ["with revisions turned forward", ["--bump-revision", "1000000000", "--mark-compacted"], /are larger than all/],
  ] as const)
    it(`${what}: a running server serves no more, none starts before an operator has confirmed, then all do`, async () => {
      await using cluster = await EtcdCluster.start();
      const stateFile = join(cluster.folder, "seen.json");
      const start = (...more: readonly string[]) => startServer({ etcd: cluster.endpoints, flags: more });
      await using server = await start("--state-file", stateFile);
      const session = await StubSession.open(server.grpcAddress, { ttlMs: 60_000, keep: true });
      const { token: old } = await session.take("d4/stock");
      const takeAndGive = async () => {
        for (let i = 0; i < 20; i++) await session.release((await session.take("d4/newer")).claimId);
      };
      await takeAndGive();
      // A server that starts notes where etcd is.
      await (await start()).stop();
      const backUp = await cluster.backUp();
      await takeAndGive();

      await cluster.restore(backUp, flags);
      expect(await server.untilReadiness(/restored/)).toMatch(/(this server|Holdfast) has seen/);
      expect((await session.ended).reason).toBe("store-unavailable");
      await server.kill9();

      const etcd = ["--etcd-endpoints", cluster.endpoints];
      const refused = await start().catch((error: Error) => error.message);
      const id = /confirmed (\S+)/.exec(String(refused))?.[1];
      expect(id).toBeDefined();
      const told = await holdfast("confirm-restore", ...etcd);
      expect(told.code).toBe(1);
      expect(told.text).toContain(`holdfast confirm-restore ${id}`);
      expect(told.text).toMatch(tokens);
      expect((await holdfast("confirm-restore", "another", ...etcd)).code).toBe(1);
      expect((await start().catch((error: Error) => error.message)) as string).toContain(`confirmed ${id}`);

      expect(await holdfast("confirm-restore", id!, ...etcd)).toMatchObject({ code: 0 });
      await using first = await start("--state-file", stateFile);
      await using second = await start();
      expect((await holdfast("confirm-restore", ...etcd)).text).toContain("nothing to confirm");
      await using later = await StubSession.open(second.grpcAddress, { ttlMs: 10_000 });
      const { token } = await later.take("d4/other");
      if (flags.length > 0) expect(token).toBeGreaterThan(old + 1_000_000_000n * 128n);
      // What was held at the backup is held again, until its TTL is over.
      await using reader = connect(first.grpcAddress);
      expect((await reader.getLock("d4/stock")).holders.map((holder) => holder.token)).toEqual([old]);
    });
});
