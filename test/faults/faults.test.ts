import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { toolPath } from "../support/etcd.ts";

const root = resolve(import.meta.dirname, "../..");
const run = promisify(execFile);

/** What the fault runs say; rejects, with that, if they found something. */
async function faults(...options: readonly string[]): Promise<string> {
  const { stdout } = await run(process.execPath, ["test/faults/main.ts", ...options], { cwd: root }).catch((error) => {
    throw new Error(`${error.stdout}${error.stderr}`);
  });
  return stdout;
}

// A short version of `make faults`; the long one is no part of `make test`.
describe("fault runs on real processes", { timeout: 400_000 }, () => {
  beforeAll(() => Promise.all(["etcd", "porcupine"].map(toolPath)), 300_000);

  it("find nothing wrong in an episode of faults by seed, and neither do kills of servers and of etcd's leader", async () => {
    const said = await faults(
      ...["--episodes", "1", "--from", "1", "--chaos", "15", "--stops", "0"],
      // Nobody is to have lost anything; how soon they are served again depends on the machine.
      ...["--kills", "5", "--within", "20000", "--leaders", "2"],
    );
    expect(said).toMatch(/^kills of servers: \d{2,} operations, \d{2,} grants, 0 findings/m);
    expect(said).toMatch(/^kills of the leader: \d{2,} operations, \d{2,} grants, 0 findings/m);
    expect(said).toMatch(/^episode of seed 1: \d{2,} operations, \d{2,} grants, 0 findings/m);
    expect(said).toMatch(/^3 episodes, 0 failed/m);
    // With so few episodes much does not come about, and each is named.
    expect(said).toContain("did not occur, so was not tested: show: holder stopped for twice its TTL");
  });
});

describe("the judge of histories", () => {
  it("passes its own tests", { timeout: 300_000 }, async () => {
    const { stdout } = await run("go", ["test", "./..."], { cwd: resolve(root, "tools/porcupine") });
    expect(stdout).toMatch(/^ok/);
  });
});
