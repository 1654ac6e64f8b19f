import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Program, processesWith, root } from "./program.ts";

const main = join(root, "demo/main.ts");

describe("make demo", () => {
  it("sells what there is, no more, while holders are killed and paused, and leaves nothing behind", async () => {
    await using demo = new Program(process.execPath, [main], { DEMO_MARK: "sold out" });
    expect(await demo.ended, demo.lastWords).toEqual({ code: 0, signal: null });
    for (const line of [
      /^sold +300 of 300, to 300 buyers; 0 left$/m,
      /^below zero +never$/m,
      /^two inside +never$/m,
      /^served +1000 buyers: 300 bought, 700 came too late$/m,
      /^killed +3 processes/m,
      /^paused +3 processes/m,
      /^stale writes +3 refused; 3 writers had been told/m,
      /^bought in +(?=.*TypeScript \d)(?=.*Go \d)(?=.*Java \d)/m,
      /^acquire +average \d+ ms, p50 \d+ ms, p99 \d+ ms$/m,
      /^left in etcd +0 keys, 0 leases$/m,
    ])
      expect(demo.stdout).toMatch(line);
    // A busy machine may let server or etcd stand still for a moment, which the server says; and nothing else.
    const busy = /"event":"(engine\.paused|heartbeat\.late|renewals\.broken|watch\.broken)"/;
    expect(demo.stderr.split("\n").filter((line) => line !== "" && !busy.test(line))).toEqual([]);
    expect(processesWith("DEMO_MARK=sold out")).toEqual([]);
  }, 240_000);

  it.each(["SIGINT", "SIGTERM"] as const)("ends everything that it has started on %s", async (signal) => {
    await using demo = new Program(process.execPath, [main], { DEMO_MARK: signal });
    await demo.saw(/process \d+ \(\w+\) is killed/);
    demo.killGroup(signal);
    expect((await demo.ended).code, demo.lastWords).toBe(1);
    expect(processesWith(`DEMO_MARK=${signal}`)).toEqual([]);
  });
});
