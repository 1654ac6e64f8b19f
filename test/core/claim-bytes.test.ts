import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const program = new URL("./claim-bytes.ts", import.meta.url).pathname;

// DESIGN section 7; live objects only: it does not depend on the machine, nor on when garbage was last collected.
it.each([
  ["each on a lock of its own", 100_000],
  ["in queues of 100", 1_000],
])("a claim in the lock table takes at most 1 KiB: %s", async (_, locks) => {
  const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", program, String(locks)]);
  console.log(`${Number(stdout).toFixed()} bytes`);
  expect(Number(stdout)).toBeLessThan(1024);
  expect(Number(stdout)).toBeGreaterThan(100);
});
