import { describe, expect, it } from "vitest";
import { judgeAcquire, judgeClock, judgeLatency, judgeStatus } from "../../clients/cli/doctor-checks.ts";
import { GetStatusResponse, type StoreMember } from "../../clients/typescript/src/admin.ts";
import { VERSION } from "../../clients/typescript/src/index.ts";

const MIB = 1_048_576n;
const member = (name: string, given: Partial<StoreMember> = {}) => ({
  name,
  reachable: true,
  leader: name === "one",
  version: "3.7.3",
  databaseBytes: 10n * MIB,
  databaseInUseBytes: 8n * MIB,
  ...given,
});

type Given = Parameters<typeof GetStatusResponse.fromPartial>[0];

/** A service that is well, but for what is given. */
const well: Given = {
  serverId: "s1",
  servers: ["s1", "s2"].map((serverId) => ({ serverId, address: `${serverId}:7400`, version: VERSION })),
  store: {
    members: [member("one"), member("two"), member("three")],
    quotaBytes: 100n * MIB,
    answering: true,
    commitLatency: { nanos: 3_000_000 },
  },
  table: { lag: {}, verifiedAgo: { nanos: 100_000_000 } },
  eventLoopDelay: { nanos: 5_000_000 },
};

/** What is not well, in short. */
const problems = (given: Given) =>
  judgeStatus(GetStatusResponse.fromPartial({ ...well, ...given }))
    .filter(({ level }) => level !== "ok")
    .map(({ level, about, text, advice }) => {
      expect(advice).toBeTruthy();
      return `${level} ${about}: ${text}`;
    });

describe("the doctor", () => {
  it("finds nothing wrong with a service that is well, and says what it looked at", () => {
    expect(problems({})).toEqual([]);
    const abouts = new Set(judgeStatus(GetStatusResponse.fromPartial(well)).map(({ about }) => about));
    expect([...abouts]).toEqual([
      "serving",
      "servers",
      "commits",
      "members",
      "version",
      "quota",
      "table",
      "event loop",
    ]);
  });

  it.each<[string, Given, string]>([
    [
      "a server that does not serve",
      { problem: "the store is away" },
      "bad serving: the server does not serve: the store is away",
    ],
    ["a server alone", { servers: [{ version: VERSION }] }, "warn servers: one server"],
    [
      "one that drains",
      { servers: [{ version: VERSION, draining: true, address: "x:1" }, { version: VERSION }] },
      "warn servers: draining: x:1",
    ],
    ["mixed versions", { servers: [{ version: VERSION }, { version: "9.9.9" }] }, "warn versions: different versions"],
    ["no commits", { store: { ...well.store, commitLatency: undefined } }, "bad commits: etcd does not commit"],
    [
      "slow commits",
      { store: { ...well.store, commitLatency: { nanos: 90_000_000 } } },
      "warn commits: etcd commits in 90.0 ms",
    ],
    ["very slow commits", { store: { ...well.store, commitLatency: { nanos: 900_000_000 } } }, "bad commits"],
    ["etcd never reached", { store: undefined }, "bad etcd: the server has not reached etcd yet"],
    ["a table that lags", { table: { ...well.table, lag: { seconds: 1n } } }, "warn table"],
    ["a table that is far behind", { table: { ...well.table, lag: { seconds: 4n } } }, "bad table"],
    ["a table not proven lately", { table: { verifiedAgo: { seconds: 9n } } }, "bad table"],
    ["a table never proven", { table: {} }, "bad table: the server's table was never proven"],
    ["a late event loop", { eventLoopDelay: { nanos: 300_000_000 } }, "warn event loop"],
    ["an event loop that stood still", { eventLoopDelay: { seconds: 2n } }, "bad event loop"],
  ])("notices %s", (_, given, expected) => {
    expect(problems(given).filter((problem) => problem.startsWith(expected))).toHaveLength(1);
  });

  it.each<[string, readonly ReturnType<typeof member>[], readonly string[]]>([
    [
      "a member that is silent",
      [member("one"), member("two"), member("three", { reachable: false })],
      ["warn members: etcd's members that do not answer: three"],
    ],
    [
      "a majority that is silent",
      [member("one"), member("two", { reachable: false }), member("three", { reachable: false })],
      ["bad members: no majority of etcd's members answers; silent: two, three"],
    ],
    ["no leader", [member("a"), member("b"), member("c")], ["bad members: etcd has no leader"]],
    ["a member alone", [member("one")], ["warn members: etcd has one member"]],
    [
      "an old version",
      [member("one"), member("two", { version: "3.5.21" }), member("three")],
      ["bad version: etcd two is 3.5.21"],
    ],
    [
      "a full one",
      [member("one"), member("two"), member("three", { alarms: ["NOSPACE"] })],
      ["bad alarms: etcd three is full (NOSPACE): nothing can be claimed, only released"],
    ],
    [
      "a corrupt one",
      [member("one"), member("two"), member("three", { alarms: ["CORRUPT"] })],
      ["bad alarms: etcd three has raised CORRUPT"],
    ],
    [
      "one that fills",
      [member("one"), member("two", { databaseBytes: 85n * MIB, databaseInUseBytes: 80n * MIB }), member("three")],
      ["warn quota: the database of etcd two has 85 MIB of 100 MIB, 80 MIB in use"],
    ],
    [
      "one nearly full",
      [member("one"), member("two", { databaseBytes: 97n * MIB }), member("three")],
      ["bad quota: the database of etcd two has 97 MIB of 100 MIB, 8.0 MIB in use"],
    ],
  ])("notices of etcd %s", (_, members, expected) => {
    const found = problems({ store: { ...well.store, members: [...members] } });
    expect(found).toEqual(expected.map((text) => text.replaceAll("MIB", "MiB")));
  });

  it("advises to defragment what is not in use, and to compact what is", () => {
    const adviceFor = (databaseInUseBytes: bigint) =>
      judgeStatus(
        GetStatusResponse.fromPartial({
          ...well,
          store: { ...well.store, members: [member("one", { databaseBytes: 90n * MIB, databaseInUseBytes })] },
        }),
      ).find(({ about }) => about === "quota")?.advice;
    expect(adviceFor(5n * MIB)).toContain("defrag");
    expect(adviceFor(80n * MIB)).toContain("compact");
  });
});

describe("a clock", () => {
  const judge = (thereMs: number, errorMs = 1, aheadMs = 0) =>
    judgeClock({ hereMs: 3_000, thereMs, errorMs, aheadMs }).map(({ level, about }) => `${level} ${about}`);

  it("is safe within 1 %, and told from one that is not, as far as can be known", () => {
    expect(judge(3_000)).toEqual(["ok clock rate"]);
    expect(judge(3_002)).toEqual(["ok clock rate"]);
    expect(judge(3_020)).toEqual(["warn clock rate"]);
    expect(judge(3_040)).toEqual(["bad clock rate"]);
    expect(judge(2_900)).toEqual(["bad clock rate"]);
    expect(judge(3_020, 100)).toEqual(["warn clock rate"]);
    expect(judge(3_200, 100)).toEqual(["bad clock rate"]);
  });

  it("on the wall is looked at for people only", () => {
    expect(judge(3_000, 1, 1_500)).toEqual(["ok clock rate"]);
    expect(judge(3_000, 1, -5_000)).toEqual(["ok clock rate", "warn wall clock"]);
    const [, wall] = judgeClock({ hereMs: 3_000, thereMs: 3_000, errorMs: 1, aheadMs: -5_000 });
    expect(wall?.text).toBe("the server's wall clock is 5 s behind this machine's");
  });
});

describe("times", () => {
  it("are judged by their median", () => {
    expect(judgeLatency([1, 1, 500])).toMatchObject({ level: "ok", text: "an answer takes 1.0 ms, at most 500 ms" });
    expect(judgeLatency([1, 200, 500]).level).toBe("warn");
    expect(judgeAcquire([1, 2, 3])).toMatchObject({ level: "ok", text: "a free lock is acquired in 2.0 ms" });
    expect(judgeAcquire([600]).level).toBe("warn");
  });
});
