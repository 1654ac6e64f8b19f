import { afterAll, beforeAll, expect, it } from "vitest";
import type { LoadResult } from "../../bench/load/result.ts";
import { Generator } from "../../bench/process/generator.ts";
import { startEtcd, type TestEtcd, toolPath } from "../support/etcd.ts";

let etcd: TestEtcd;
let peers: string;

beforeAll(async () => {
  [etcd, peers] = await Promise.all([startEtcd(), toolPath("peers")]);
}, 300_000);

afterAll(() => etcd[Symbol.asyncDispose]());

function run(load: string, ...flags: readonly string[]): Promise<LoadResult> {
  const timing = ["-warmup", "0.1", "-seconds", "0.3"];
  return Generator.program(peers, load, "-endpoint", etcd.endpoint, ...timing, ...flags).end<LoadResult>();
}

async function expectNothingLeft(): Promise<void> {
  expect(await etcd.countKeys()).toBe(0);
  expect(await etcd.countLeases()).toBe(0);
}

it.each([
  ["puts", ["put"]],
  ["mutex", ["lock", "unlock"]],
  ["v3lock", ["lock", "unlock"]],
])("%s is measured in flight over several connections, and leaves nothing in etcd", async (load, steps) => {
  const { count, seconds, perSecond, latencies } = await run(load, "-in-flight", "70");
  expect(count).toBeGreaterThan(0);
  expect(perSecond).toBeCloseTo(count / seconds);
  expect(Object.keys(latencies!)).toEqual(steps);
  for (const { p50Ms, p99Ms } of Object.values(latencies!)) {
    expect(p50Ms).toBeGreaterThan(0);
    expect(p99Ms).toBeGreaterThanOrEqual(p50Ms);
  }
  await expectNothingLeft();
});

it.each(["mutex", "v3lock"])("a queue of %s is drained in order, every waiter once", async (system) => {
  const { count, seconds, perSecond, fifo } = await run("drain", "-system", system, "-waiters", "70");
  expect({ count, fifo }).toEqual({ count: 70, fifo: true });
  expect(perSecond).toBeCloseTo(70 / seconds);
  await expectNothingLeft();
});

it.each(["mutex", "v3lock"])("one hot lock of %s goes round, and round again", async (system) => {
  const { count } = await run("loop", "-system", system, "-waiters", "5");
  expect(count).toBeGreaterThan(5);
  await expectNothingLeft();
});

it("says what is wrong with what it was asked for", async () => {
  await expect(run("scan")).rejects.toThrow("no such load");
  await expect(run("drain", "-system", "redis")).rejects.toThrow('no such system: "redis"');
  await expect(run("puts", "-in-flight", "0")).rejects.toThrow("at least 1");
});
