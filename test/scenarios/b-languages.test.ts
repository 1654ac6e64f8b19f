import { beforeAll, expect, it } from "vitest";
import { build, Driver } from "../conformance/driver.ts";
import { languages } from "../conformance/languages.ts";
import { eventually } from "../support/eventually.ts";
import { Random } from "../support/random.ts";
import { leaveNoProcess, Service } from "../support/service.ts";
import { StubSession } from "../support/stub-session.ts";

leaveNoProcess();

const WAITERS = 100;
const LOCK = "b1/languages";

beforeAll(async () => {
  for (const language of languages) await build(language);
}, 900_000);

it("B1 100 waiters in three languages through 3 servers are granted in the order of their commits, with cancels and kills", {
  timeout: 240_000,
}, async () => {
  const seed = Date.now() % 1_000_000;
  const random = new Random(seed);
  await using service = await Service.start({ servers: 3 });
  const addresses = service.servers.map(({ grpcAddress }) => grpcAddress);
  // Two programs in each language; one of the six is to die.
  const drivers = await Promise.all([...languages, ...languages].map((language) => Driver.start(language)));
  try {
    for (const [i, driver] of drivers.entries()) {
      const turned = [...addresses.slice(i % 3), ...addresses.slice(0, i % 3)];
      await driver.send("connect", { client: "c", addresses: turned, ttlMs: 15_000 }).answer;
    }
    await using holder = await StubSession.open(addresses[2]!, { ttlMs: 60_000 });
    const { claimId } = await holder.take(LOCK);
    const waiters = Array.from({ length: WAITERS }, (_, i) => {
      const driver = drivers[i % drivers.length]!;
      const purpose = `waiter ${i}`;
      const fields = { client: "c", as: purpose, locks: [{ name: LOCK }], purpose };
      return { driver, purpose, sent: driver.send("acquire", fields) };
    });
    const committed = async () => (await service.getLock(LOCK, 2)).waiters.map(({ purpose }) => purpose);
    await eventually(async () => (await committed()).length, WAITERS, 60_000);
    const order = await committed();

    const dying = drivers[random.below(drivers.length)]!;
    const cancelled = new Set<string>();
    for (const { driver, purpose, sent } of waiters) {
      if (driver === dying || !random.happens(0.2)) continue;
      cancelled.add(purpose);
      driver.send("cancel", { target: sent.id });
    }
    await Promise.all([dying.kill(), service.servers[0]!.kill9()]);
    const isAwaited = (purpose: string) =>
      !cancelled.has(purpose) && waiters.some((each) => each.purpose === purpose && each.driver !== dying);
    const granted: string[] = [];
    const queue = waiters.map(async ({ driver, purpose, sent }) => {
      const { ok } = await sent.answer;
      if (ok === undefined) return;
      // Nobody else holds it before this one is released: so the order of the answers is that of the grants.
      granted.push(purpose);
      await driver.send("release", { as: purpose }).answer;
    });
    // One that is granted before it has read that it is to give up holds the lock.
    await Promise.all(waiters.filter(({ purpose }) => cancelled.has(purpose)).map(({ sent }) => sent.answer));
    await holder.release(claimId);
    await Promise.all(queue);
    expect(granted, `seed ${seed}`).toEqual(order.filter(isAwaited));
    await Promise.all(
      drivers.filter((each) => each !== dying).map((each) => each.send("close", { client: "c" }).answer),
    );
  } finally {
    await Promise.all(drivers.map((driver) => driver.kill()));
  }
});
