import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { connect } from "../../clients/typescript/src/index.ts";
import { useService } from "../support/service.ts";
import { openConsole, startBrowser } from "./chromium.ts";

const service = useService();
let browser: Browser;
beforeAll(async () => {
  browser = await startBrowser();
}, 90_000);
afterAll(() => browser?.close());

const CLIENTS = 40;
const GRANTS = 400;
const HOLD_MS = 15;

/** Has 40 clients take one lock by turns, and tells how long each of 400 grants took as they saw it. */
async function waitsOfClients(address: string): Promise<number[]> {
  await using client = connect(address);
  // What it takes to connect is no time to acquire, and the server does not see it.
  await client.ready();
  const waits: number[] = [];
  let left = GRANTS;
  const work = async () => {
    while (left-- > 0) {
      const askedMs = performance.now();
      const lock = await client.acquire("figures");
      waits.push(performance.now() - askedMs);
      await new Promise((resolve) => setTimeout(resolve, HOLD_MS));
      await lock.release();
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, work));
  return waits;
}

it("shows average and percentiles within 5 % of what the clients measured in the same run", async () => {
  await using console = await openConsole(browser, service().servers[0]!.httpAddress);
  const { page } = console;
  const waits = (await waitsOfClients(service().address())).sort((a, b) => a - b);
  await page.locator(".hero .hint", { hasText: `${GRANTS} grants in the last 5 minutes` }).waitFor();
  const shown = (figure: string) => page.locator(`[data-figure="${figure}"]`).getAttribute("data-ms").then(Number);
  const measured = {
    average: waits.reduce((sum, ms) => sum + ms, 0) / GRANTS,
    p50: waits[GRANTS * 0.5 - 1]!,
    p90: waits[GRANTS * 0.9 - 1]!,
    p99: waits[GRANTS * 0.99 - 1]!,
  };
  for (const [figure, ms] of Object.entries(measured)) {
    const onPage = await shown(figure);
    expect([figure, Math.abs(onPage / ms - 1) < 0.05 || `${onPage} ms on the page, ${ms} ms measured`]).toEqual([
      figure,
      true,
    ]);
  }
  // What is read there is the same, rounded.
  const text = await page.locator('[data-figure="average"]').textContent();
  const [, number, unit] = /^([\d.]+)(ms|s)$/.exec(text ?? "")!;
  const rounded = Number(number) * (unit === "s" ? 1_000 : 1);
  expect(Math.abs(rounded / measured.average - 1)).toBeLessThan(0.06);
  expect(console.complaints).toEqual([]);
});
