import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { useService } from "../support/service.ts";
import { root } from "./program.ts";

const CALLS = 10_000;
const service = useService({ flags: ["--max-claims-per-session", "20000", "--max-waiters-per-lock", "20000"] });

it("10,000 promises wait on one session, are let in in order, and leave nothing behind", {
  timeout: 300_000,
}, async () => {
  const program = ["--expose-gc", join(root, "test/support/waiting-calls.ts"), service().address(), String(CALLS)];
  // It ends by itself: nothing of the client keeps it running.
  const { stdout } = await promisify(execFile)(process.execPath, program);
  const { perCallBytes, leftBytes, outOfOrder } = JSON.parse(stdout);
  console.log(
    `TypeScript: ${Math.round(perCallBytes)} bytes for each of ${CALLS} waiting calls, ${Math.round(leftBytes / 1024)} KiB left after them`,
  );
  expect(outOfOrder).toBe(0);
  expect(perCallBytes).toBeLessThan(6 * 1024);
  // A promise that stays is more than this.
  expect(leftBytes / CALLS).toBeLessThan(32);
});
