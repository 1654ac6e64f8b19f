import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Times } from "../../console/src/distribution.ts";
import { EventCutter } from "../../console/src/event-stream.ts";
import { bytes, preciseParts } from "../../console/src/format.ts";
import type { GetWaitGraphResponse, WaitNode } from "../../console/src/gen/holdfast/v1/admin_service.ts";
import { BOX_WIDTH, type Direction, pictureOf } from "../../console/src/wait-picture.ts";

/** Times in milliseconds as a server counts them, in any number of distributions. */
function counted(times: readonly number[]): Times {
  const all = new Times();
  for (let from = 0; from < times.length; from += 7) {
    const part = times.slice(from, from + 7);
    const buckets = Map.groupBy(part, (ms) => Math.max(0, Math.ceil(Math.log(ms * 1_000) / Math.log(1.05))));
    const indexes = [...buckets.keys()].sort((a, b) => a - b);
    all.add({
      count: part.length,
      total: duration(part.reduce((sum, ms) => sum + ms, 0)),
      max: duration(Math.max(...part)),
      bucketIndexes: indexes,
      bucketCounts: indexes.map((index) => buckets.get(index)!.length),
    });
  }
  return all;
}

const duration = (ms: number) => ({ seconds: String(Math.floor(ms / 1_000)), nanos: Math.round((ms % 1_000) * 1e6) });

describe("times that were counted", () => {
  it("have the average that they have, and percentiles within 2.5 %", () => {
    const times = fc.array(fc.double({ min: 0.002, max: 100_000, noNaN: true }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(times, fc.constantFrom(0.5, 0.9, 0.99), (list, share) => {
        const all = counted(list);
        const average = list.reduce((sum, ms) => sum + ms, 0) / list.length;
        expect(all.averageMs! / average).toBeCloseTo(1, 2);
        const exact = list.toSorted((a, b) => a - b)[Math.ceil(share * list.length) - 1]!;
        expect(Math.abs(all.percentileMs(share)! / exact - 1)).toBeLessThan(0.026);
      }),
    );
  });

  it("have neither if there are none", () => {
    expect([new Times().averageMs, new Times().percentileMs(0.99), new Times().maxMs]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe("numbers for people", () => {
  it("have three digits and the unit that fits", () => {
    const texts = [0.0004, 0.85, 3.4159, 42.17, 999, 1_250, 42_000, 130_000].map(preciseParts);
    expect(texts.map(({ number, unit }) => `${number} ${unit}`.trim())).toEqual([
      "0.40 µs",
      "850 µs",
      "3.42 ms",
      "42.2 ms",
      "999 ms",
      "1.25 s",
      "42.0 s",
      "2 min 10 s",
    ]);
    expect([512, 2_048, 2_147_483_648].map(bytes)).toEqual(["512 B", "2.00 KiB", "2.00 GiB"]);
  });
});

describe("a stream of events", () => {
  it("is the same however it was cut on its way", () => {
    const text = ['event: tick\ndata: {"atMs":1}', "event: lock\ndata: {}", 'event: x\ndata: "a: b"']
      .map((one) => `${one}\n\n`)
      .join("");
    const cuts = fc.array(fc.nat(text.length), { maxLength: 20 });
    fc.assert(
      fc.property(cuts, (at) => {
        const cutter = new EventCutter();
        const points = [0, ...at.sort((a, b) => a - b), text.length];
        const events = points.slice(1).flatMap((end, index) => cutter.push(text.slice(points[index], end)));
        expect(events).toEqual([
          { name: "tick", text: '{"atMs":1}' },
          { name: "lock", text: "{}" },
          { name: "x", text: '"a: b"' },
        ]);
      }),
    );
  });
});

function node(nodeId: number, held: readonly string[], wanted: readonly string[], deadlocked = false): WaitNode {
  const rest = { sessionId: `s${nodeId}`, reentryId: "", claimId: "0", client: undefined, deadlocked };
  return { nodeId, heldLocks: [...held], wantedLocks: [...wanted], ...rest };
}

const edge = (fromNodeId: number, toNodeId: number, lockName: string, held = true) => ({
  fromNodeId,
  toNodeId,
  lockName,
  held,
});

function picture(nodes: readonly WaitNode[], edges: GetWaitGraphResponse["edges"], direction: Direction = "left") {
  const graph = { nodes: [...nodes], edges, omittedNodes: 0 };
  const { placed, arrows, width, height } = pictureOf(graph, direction);
  const at = new Map(placed.map((one) => [one.box.id, one]));
  return { placed, at, width, height, arrows: arrows.map(({ from, to }) => `${from} > ${to}`) };
}

describe("the picture of who waits for whom", () => {
  it("puts who waits right of whom it waits for", () => {
    const { at } = picture(
      [node(1, ["a"], []), node(2, ["b"], ["a"]), node(3, [], ["b"])],
      [edge(2, 1, "a"), edge(3, 2, "b")],
    );
    expect([at.get("t1")!.x, at.get("t2")!.x, at.get("qb")!.x]).toEqual(
      [0, 1, 2].map((column) => column * at.get("t2")!.x),
    );
    expect(at.get("t2")!.x).toBeGreaterThan(BOX_WIDTH);
  });

  it("puts who waits below whom it waits for where there is little width", () => {
    const graph = [node(1, ["a"], []), node(2, ["b"], ["a"]), node(3, [], ["b"])];
    const { at, width } = picture(graph, [edge(2, 1, "a"), edge(3, 2, "b")], "up");
    expect(width).toBe(BOX_WIDTH);
    const [first, second, third] = ["t1", "t2", "qb"].map((id) => at.get(id)!);
    expect(second!.y).toBeGreaterThan(first!.y + first!.height);
    expect(third!.y).toBeGreaterThan(second!.y + second!.height);
  });

  it("puts a queue of a thousand into one box, in its order", () => {
    const waiters = Array.from({ length: 1_000 }, (_, index) => node(1_001 - index, [], ["hot"]));
    const chain = waiters.map(({ nodeId }) => edge(nodeId, nodeId - 1, "hot", nodeId === 2));
    const { placed, at, arrows } = picture([...waiters, node(1, ["hot"], [])], chain);
    expect(placed).toHaveLength(2);
    expect(arrows).toEqual(["qhot > t1"]);
    const { box } = at.get("qhot")!;
    expect(box.kind === "queue" && box.nodes.map(({ nodeId }) => nodeId)).toEqual(
      waiters.map(({ nodeId }) => nodeId).reverse(),
    );
  });

  it("lets somebody in the middle of a queue who keeps others waiting stand by itself, without a circle that is none", () => {
    const nodes = [
      node(1, ["hot"], []),
      node(2, [], ["hot"]),
      node(3, ["side"], ["hot"]),
      node(4, [], ["hot"]),
      node(5, [], ["side"]),
    ];
    const edges = [edge(2, 1, "hot"), edge(3, 2, "hot", false), edge(4, 3, "hot", false), edge(5, 3, "side")];
    expect(picture(nodes, edges).arrows.sort()).toEqual(["qhot > t1", "qside > t3", "t3 > t1"]);
  });

  it("shows a circle with all its arrows, and before everything else", () => {
    const free = [node(8, ["x"], []), node(9, [], ["x"])];
    const circle = [node(1, ["a"], ["b"], true), node(2, ["b"], ["c"], true), node(3, ["c"], ["a"], true)];
    const edges = [edge(9, 8, "x"), edge(1, 2, "b"), edge(2, 3, "c"), edge(3, 1, "a")];
    const { arrows, at } = picture([...free, ...circle], edges);
    expect(arrows).toEqual(["qx > t8", "t1 > t2", "t2 > t3", "t3 > t1"]);
    expect(new Set(["t1", "t2", "t3"].map((id) => at.get(id)!.x)).size).toBe(3);
    expect(at.get("t1")!.y).toBeLessThan(at.get("t8")!.y);
  });

  it("never lets boxes lie on each other or outside, whatever the graph", () => {
    const graphs = fc.array(fc.tuple(fc.nat(14), fc.nat(14), fc.nat(4), fc.boolean()), { maxLength: 40 });
    fc.assert(
      fc.property(graphs, fc.constantFrom<Direction>("left", "up"), (waits, direction) => {
        const edges = waits
          .filter(([from, to]) => from !== to)
          .map(([from, to, lock, held]) => edge(from, to, `l${lock}`, held));
        const nodes = Array.from({ length: 15 }, (_, id) => {
          const held = [
            ...new Set(edges.filter(({ toNodeId, held }) => toNodeId === id && held).map(({ lockName }) => lockName)),
          ];
          const wanted = [
            ...new Set(edges.filter(({ fromNodeId }) => fromNodeId === id).map(({ lockName }) => lockName)),
          ];
          return node(id, held, wanted);
        });
        const { placed, arrows, at, width, height } = picture(nodes, edges, direction);
        for (const one of placed) {
          expect(one.x + BOX_WIDTH).toBeLessThanOrEqual(width);
          expect(one.y + one.height).toBeLessThanOrEqual(height);
          for (const other of placed)
            if (other !== one && Math.abs(other.x - one.x) < BOX_WIDTH)
              expect(other.y >= one.y + one.height || one.y >= other.y + other.height).toBe(true);
        }
        const shown = placed.flatMap(({ box }) => (box.kind === "queue" ? box.nodes : [box.node]));
        expect(shown.map(({ nodeId }) => nodeId).sort((a, b) => a - b)).toEqual(nodes.map(({ nodeId }) => nodeId));
        for (const arrow of arrows) for (const id of arrow.split(" > ")) expect(at.has(id)).toBe(true);
      }),
    );
  });
});
