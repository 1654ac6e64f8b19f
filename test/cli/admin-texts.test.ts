import { describe, expect, it } from "vitest";
import {
  drainingText,
  eventLine,
  graphText,
  measured,
  sessionsTable,
  sessionText,
  size,
  statusText,
} from "../../clients/cli/admin-texts.ts";
import { summarize } from "../../clients/cli/statistics.ts";
import { columnsOf, printable } from "../../clients/cli/text.ts";
import { topJson, topText } from "../../clients/cli/top-view.ts";
import {
  Event,
  EventKind,
  GetSessionResponse,
  GetStatusResponse,
  GetWaitGraphResponse,
  Session,
  StatisticsSample,
} from "../../clients/typescript/src/admin.ts";
import type { LockView } from "../../clients/typescript/src/index.ts";
import { hostileTexts } from "../console/hostile-texts.ts";

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const hostile = [...hostileTexts(200), "x".repeat(100_000), "\ud800 alone", "漢".repeat(500)];

const sessionOf = (text: string): Session =>
  Session.fromPartial({
    sessionId: text,
    client: { name: text, host: text, pid: 7, language: text, version: text },
    peer: text,
    identity: text,
    labels: { [text]: text },
    openedAt: new Date(NOW - 60_000),
    ttl: { seconds: 15n },
    serverId: text,
  });

const eventOf = (text: string): Event =>
  Event.fromPartial({
    seq: 1n,
    at: new Date(NOW),
    kind: EventKind.LOST,
    lockNames: [text],
    sessionId: text,
    claimId: 1n,
    message: text,
    client: { name: text, host: text },
    actor: text,
    purpose: text,
  });

const statusOf = (text: string): GetStatusResponse =>
  GetStatusResponse.fromPartial({
    serverId: text,
    servers: [{ serverId: text, address: text, version: text }],
    store: { members: [{ name: text, endpoint: text, version: text, alarms: [text], reachable: true }] },
    table: {},
    problem: text,
  });

const graphOf = (text: string): GetWaitGraphResponse =>
  GetWaitGraphResponse.fromPartial({
    nodes: [1, 2].map((nodeId) => ({ nodeId, sessionId: text, reentryId: text, client: { name: text, host: text } })),
    edges: [{ fromNodeId: 1, toNodeId: 2, lockName: text, held: true }],
  });

const lockOf = (text: string): LockView => ({
  name: text,
  state: "held",
  mode: "exclusive",
  limit: 0,
  holderCount: 1,
  waiterCount: 0,
  permitsHeld: 0,
  holders: [
    {
      sessionId: text,
      claimId: 1n,
      held: true,
      mode: "exclusive",
      permits: 0,
      token: 7n,
      lockCount: 1,
      reentryId: text,
      purpose: text,
      value: new Uint8Array(),
      client: { name: text, host: text, pid: 1, language: text, version: text },
      claimedAtMs: NOW - 1_000,
      grantedAtMs: NOW - 500,
    },
  ],
  waiters: [],
});

const topOf = (text: string) => ({
  wallMs: NOW,
  serverCount: 1,
  silent: [text],
  locks: [lockOf(text)],
  latest: undefined,
  rates: summarize([], 10),
  times: summarize([], 60),
});

describe("texts that others chose", () => {
  /** How many lines each view has, whatever it is told. */
  const views: Readonly<Record<string, readonly [lines: number, show: (text: string) => string]>> = {
    "the list of sessions": [2, (text) => sessionsTable([sessionOf(text)], NOW)],
    "one session": [
      12,
      (text) =>
        sessionText(
          GetSessionResponse.fromPartial({
            session: sessionOf(text),
            claims: [{ claimId: 1n, locks: [{ name: text, fencingToken: 7n }] }],
          }),
          NOW,
        ),
    ],
    "the state of the service": [14, (text) => statusText(statusOf(text), NOW)],
    "an event": [1, (text) => eventLine(eventOf(text))],
    "the graph": [1, (text) => graphText(graphOf(text))],
    top: [7, (text) => topText(topOf(text), { rows: 40, columns: Number.POSITIVE_INFINITY })],
  };

  it.each(Object.entries(views))("are shown in %s as text, and nothing else comes of them", (_, [lines, show]) => {
    for (const text of hostile) {
      const shown = show(text);
      expect(shown.split("\n")).toHaveLength(lines);
      expect(shown.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
      expect(shown).toContain(printable(text));
    }
  });

  it("do not make a picture wider than the terminal", () => {
    for (const text of hostile)
      for (const line of topText(topOf(text), { rows: 24, columns: 80 }).split("\n"))
        expect(columnsOf(line)).toBeLessThanOrEqual(80);
  });

  it("are in JSON as they are", () => {
    for (const text of hostile)
      expect(JSON.parse(topJson(topOf(text)))).toMatchObject({ top: [{ name: text, holders: [{ purpose: text }] }] });
  });
});

describe("an event on a line", () => {
  it("tells when, what, of which lock, whose, and the rest", () => {
    const event = Event.fromPartial({
      at: new Date(NOW),
      kind: EventKind.GRANTED,
      lockNames: ["a", "b"],
      sessionId: "s-1",
      fencingToken: 384n,
      waited: { nanos: 1_250_000 },
      client: { name: "billing", host: "db7", pid: 12 },
      purpose: "nightly",
    });
    expect(eventLine(event)).toBe(
      "03:04:05.678  granted   a, b  billing@db7 (12)  token 384; waited 1.3 ms; purpose: nightly",
    );
    expect(eventLine(Event.fromPartial({ at: new Date(NOW), kind: EventKind.SERVER, message: "drains" }))).toBe(
      "03:04:05.678  server    -  -  drains",
    );
  });
});

describe("the graph", () => {
  it("gives circles first, and marks them", () => {
    const node = (nodeId: number, deadlocked: boolean) => ({
      nodeId,
      sessionId: `s${nodeId}`,
      reentryId: "t",
      deadlocked,
    });
    const edge = (fromNodeId: number, toNodeId: number, held: boolean) => ({
      fromNodeId,
      toNodeId,
      lockName: "a",
      held,
    });
    const graph = GetWaitGraphResponse.fromPartial({
      nodes: [node(1, true), node(2, true), node(3, false)],
      edges: [edge(3, 1, false), edge(1, 2, true), edge(2, 1, true)],
      omittedNodes: 5,
    });
    expect(graphText(graph).split("\n")).toEqual([
      "DEADLOCK  session s1 thread t waits for a, held by session s2 thread t",
      "DEADLOCK  session s2 thread t waits for a, held by session s1 thread t",
      "          session s3 thread t waits for a, behind session s1 thread t",
      "and 5 claims that are not shown: give a prefix, or a larger --nodes",
    ]);
    expect(graphText(GetWaitGraphResponse.create())).toBe("nobody waits");
  });
});

describe("what several servers counted", () => {
  const sample = (ms: number, count: number) =>
    StatisticsSample.fromPartial({
      grants: count,
      acquireTime: {
        count,
        total: { nanos: count * ms * 1e6 },
        max: { nanos: ms * 1e6 },
        bucketIndexes: [Math.ceil(Math.log(ms * 1_000) / Math.log(1.05))],
        bucketCounts: [count],
      },
    });

  it("adds up: averages and percentiles are those of all of it", () => {
    const { grants, acquireTime } = summarize([sample(1, 90), sample(10, 9), sample(100, 1)], 3);
    expect(grants).toBe(100);
    expect(acquireTime).toMatchObject({ count: 100, max: 100 });
    expect(acquireTime.average).toBeCloseTo(2.8, 6);
    expect(acquireTime.p50! / 1).toBeCloseTo(1, 1);
    expect(Math.abs(acquireTime.p90! - 1)).toBeLessThan(0.025);
    expect(Math.abs(acquireTime.p99! - 10)).toBeLessThan(0.25);
  });

  it("is nothing where nothing was counted", () => {
    expect(summarize([StatisticsSample.create()], 1).acquireTime).toMatchObject({ count: 0, average: undefined });
  });
});

describe("numbers", () => {
  it("are of one or of several", () => {
    expect(drainingText(1, 30_000)).toBe("draining: 1 session has 30 s to leave");
    expect(drainingText(2, 30_000)).toBe("draining: 2 sessions have 30 s to leave");
  });

  it("are written as people read them", () => {
    expect([0.0042, 0.5, 12.34, 250.4, 1_500].map(measured)).toEqual([
      "0.00 ms",
      "0.50 ms",
      "12.3 ms",
      "250 ms",
      "2 s",
    ]);
    expect([0n, 1_023n, 2_048n, 20n * 1_048_576n, 2n ** 31n].map(size)).toEqual([
      "0 B",
      "1023 B",
      "2.0 KiB",
      "20 MiB",
      "2.0 GiB",
    ]);
  });
});
