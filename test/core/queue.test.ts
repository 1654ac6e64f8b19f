import { describe, expect, it } from "vitest";
import type { Claim, Queue, Seat } from "../../server/core/queue.ts";
import { exclusive, KeyHistory, semaphore, shared } from "../support/key-history.ts";

function queueOf(count: number): { keys: KeyHistory; queue: Queue; claims: Claim[] } {
  const keys = new KeyHistory();
  const claims = Array.from({ length: count }, (_, i) => keys.claim(`s${i}`, [exclusive("a")]));
  return { keys, queue: keys.table.queues.get("a")!, claims };
}

const order = (queue: Queue): string[] => {
  const forwards: string[] = [];
  for (let seat: Seat | undefined = queue.first; seat !== undefined; seat = seat.next)
    forwards.push(seat.claim.sessionId);
  const backwards: string[] = [];
  for (let seat: Seat | undefined = queue.last; seat !== undefined; seat = seat.previous)
    backwards.unshift(seat.claim.sessionId);
  expect(backwards).toEqual(forwards);
  return forwards;
};

describe("a queue", () => {
  it("is in order of place, whichever claim leaves", () => {
    for (const leaving of [0, 1, 2, 3, 4]) {
      const { keys, queue } = queueOf(5);
      keys.endSession(`s${leaving}`);
      const left = [0, 1, 2, 3, 4].filter((i) => i !== leaving).map((i) => `s${i}`);
      expect(order(queue)).toEqual(left);
      expect(queue.firstWaiting?.claim.sessionId).toBe(left[1]);
      expect([queue.heldCount, queue.waitingCount, queue.size]).toEqual([1, 3, 4]);
    }
  });

  it("is forgotten when nobody is in it, and is another one when somebody comes", () => {
    const { keys, queue } = queueOf(1);
    keys.endSession("s0");
    expect([queue.first, queue.last, queue.firstWaiting]).toEqual([undefined, undefined, undefined]);
    keys.claim("s9", [exclusive("a")]);
    expect(keys.table.queues.get("a")).not.toBe(queue);
  });

  it("tells a waiter its place among the waiters: 1 is next", () => {
    const { keys, queue, claims } = queueOf(5);
    const position = (i: number) => queue.positionOf(claims[i]!.seats[0]!);
    expect([1, 2, 3, 4].map(position)).toEqual([1, 2, 3, 4]);
    keys.endSession("s2");
    expect([1, 3, 4].map(position)).toEqual([1, 2, 3]);
    keys.endSession("s0");
    expect([3, 4].map(position)).toEqual([1, 2]);
  });

  it("remembers how many were there when a claim came, itself counted", () => {
    const { claims } = queueOf(3);
    expect(claims.map(({ seats }) => seats[0]?.rankAtEntry)).toEqual([1, 2, 3]);
  });

  it("is contradicted by a semaphore among others, others among semaphores, and by another limit", () => {
    const kinds = [exclusive("a"), shared("a"), semaphore("a", 1, 2), semaphore("a", 2, 3)];
    const table = kinds.map((there) => {
      const keys = new KeyHistory();
      keys.claim("s", [there]);
      return kinds.map((wanted) => keys.table.queues.get("a")?.contradicts(wanted));
    });
    expect(table).toEqual([
      [false, false, true, true],
      [false, false, true, true],
      [true, true, false, true],
      [true, true, true, false],
    ]);
  });

  it("takes and releases in any order at the same cost, with 100,000 claims in it", () => {
    const keys = new KeyHistory();
    keys.step(() => {
      for (let i = 0; i < 100_000; i++) keys.claim(`s${i % 1000}`, [exclusive("a")], { ordinal: i });
    });
    const { table } = keys;
    const queue = table.queues.get("a")!;
    let steps = 0;
    for (let seat = queue.first; seat !== undefined; seat = queue.first) {
      table.giveUp(seat.claim);
      steps++;
    }
    expect(steps).toBe(100_000);
    expect(table.waitingCount + table.heldCount).toBe(0);
  });
});
