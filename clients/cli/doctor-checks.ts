import type { GetStatusResponse, StoreMember } from "../typescript/src/admin.ts";
import { VERSION } from "../typescript/src/index.ts";
import { measured, msOf, size } from "./admin-texts.ts";
import { printable } from "./text.ts";

/** What `holdfast doctor` found out about one thing. */
export interface Finding {
  /** `bad`: somebody must act; `warn`: somebody should look. */
  readonly level: "ok" | "warn" | "bad";
  readonly about: string;
  readonly text: string;
  /** What to do. */
  readonly advice?: string;
}

/** The oldest etcd that Holdfast works with, and the one since which lost watch events are mended (etcd#18089). */
const OLDEST_ETCD = [3, 6, 0] as const;

const ok = (about: string, text: string): Finding => ({ level: "ok", about, text });
const warn = (about: string, text: string, advice: string): Finding => ({ level: "warn", about, text, advice });
const bad = (about: string, text: string, advice: string): Finding => ({ level: "bad", about, text, advice });

/** What the state of the service, as one server tells it, has to say. */
export function judgeStatus(status: GetStatusResponse): Finding[] {
  return [
    judgeServing(status),
    ...judgeServers(status),
    ...judgeStore(status),
    judgeTable(status),
    judgeEventLoop(status),
  ];
}

function judgeServing({ problem }: GetStatusResponse): Finding {
  return problem === ""
    ? ok("serving", "the server serves")
    : bad("serving", `the server does not serve: ${printable(problem)}`, "see what it says of etcd below, and its log");
}

function judgeServers({ servers }: GetStatusResponse): Finding[] {
  const draining = servers.filter((server) => server.draining).map(({ address }) => printable(address));
  const versions = [...new Set([...servers.map(({ version }) => version), VERSION])];
  return [
    servers.length === 1
      ? warn("servers", "one server: its clients have nowhere to go when it ends", "run at least two over one etcd")
      : ok("servers", `${servers.length} servers are registered`),
    ...(draining.length > 0
      ? [warn("servers", `draining: ${draining.join(", ")}`, "nothing, if that is meant; they end by themselves")]
      : []),
    ...(versions.length > 1
      ? [
          warn(
            "versions",
            `different versions: ${versions.map(printable).join(", ")} (this command: ${VERSION})`,
            "finish the upgrade",
          ),
        ]
      : []),
  ];
}

function judgeStore({ store }: GetStatusResponse): Finding[] {
  if (store === undefined)
    return [
      bad("etcd", "the server has not reached etcd yet", "see its --etcd-endpoints, and whether etcd runs there"),
    ];
  const { members, quotaBytes } = store;
  return [
    judgeCommits(msOf(store.commitLatency)),
    judgeMembers(members),
    ...members.flatMap((member) => [
      ...judgeVersion(member),
      ...judgeQuota(member, quotaBytes),
      ...judgeAlarms(member),
    ]),
  ];
}

function judgeCommits(commitMs: number | undefined): Finding {
  if (commitMs === undefined)
    return bad(
      "commits",
      "etcd does not commit",
      "see whether a majority of its members runs and has room on its disks",
    );
  const text = `etcd commits in ${measured(commitMs)}`;
  if (commitMs > 500)
    return bad("commits", text, "give etcd a disk of its own: see its metric etcd_disk_wal_fsync_duration_seconds");
  return commitMs > 50
    ? warn("commits", text, "each grant takes at least as long: see etcd's disks")
    : ok("commits", text);
}

function judgeMembers(members: readonly StoreMember[]): Finding {
  const silent = members.filter(({ reachable }) => !reachable);
  const names = silent.map(({ name, endpoint }) => printable(name || endpoint)).join(", ");
  const leader = members.find((member) => member.leader);
  if (members.length - silent.length <= members.length / 2)
    return bad(
      "members",
      `no majority of etcd's members answers; silent: ${names}`,
      "start them again: nothing is granted until then",
    );
  if (silent.length > 0)
    return warn(
      "members",
      `etcd's members that do not answer: ${names}`,
      "start them again, or give the server their endpoints",
    );
  if (leader === undefined) return bad("members", "etcd has no leader", "see whether its members reach each other");
  if (members.length < 3)
    return warn(
      "members",
      `etcd has ${members.length === 1 ? "one member" : "two members"}`,
      "run three: with fewer the loss of one stops everything",
    );
  return ok("members", `all ${members.length} members of etcd answer, ${printable(leader.name)} leads`);
}

function judgeVersion({ name, version, reachable }: StoreMember): Finding[] {
  if (!reachable) return [];
  const numbers = version.split(".").map(Number);
  const at = OLDEST_ETCD.findIndex((oldest, i) => (numbers[i] ?? 0) !== oldest);
  const text = `etcd ${printable(name)} is ${printable(version)}`;
  if (at < 0 || (numbers[at] ?? 0) > OLDEST_ETCD[at]!) return [ok("version", text)];
  return [bad("version", text, `upgrade it to ${OLDEST_ETCD.slice(0, 2).join(".")} or newer`)];
}

function judgeQuota({ name, databaseBytes, databaseInUseBytes }: StoreMember, quotaBytes: bigint): Finding[] {
  if (quotaBytes === 0n || databaseBytes === 0n) return [];
  const share = Number(databaseBytes) / Number(quotaBytes);
  const text = `the database of etcd ${printable(name)} has ${size(databaseBytes)} of ${size(quotaBytes)}, ${size(databaseInUseBytes)} in use`;
  const isLoose = Number(databaseInUseBytes) < 0.5 * Number(databaseBytes);
  const advice = isLoose
    ? "give back what is not in use: etcdctl defrag, one member at a time"
    : "compact its history (--auto-compaction-retention), or raise --quota-backend-bytes";
  if (share > 0.95) return [bad("quota", text, advice)];
  return [share > 0.8 ? warn("quota", text, advice) : ok("quota", text)];
}

function judgeAlarms({ name, alarms }: StoreMember): Finding[] {
  return alarms.map((alarm) =>
    alarm === "NOSPACE"
      ? bad(
          "alarms",
          `etcd ${printable(name)} is full (NOSPACE): nothing can be claimed, only released`,
          "etcdctl compact, then etcdctl defrag for each member, then etcdctl alarm disarm; and raise its quota",
        )
      : bad(
          "alarms",
          `etcd ${printable(name)} has raised ${printable(alarm)}`,
          "replace that member, with an empty disk",
        ),
  );
}

function judgeTable({ table }: GetStatusResponse): Finding {
  const verified = msOf(table?.verifiedAgo);
  if (verified === undefined) return bad("table", "the server's table was never proven to be current", "see its log");
  const lag = msOf(table?.lag) ?? 0;
  const text = `the server's table lags ${measured(lag)}, and was proven current ${measured(verified)} ago`;
  const advice = "see whether the server's machine is overloaded, or its way to etcd is slow";
  if (lag > 3_000 || verified > 5_000) return bad("table", text, advice);
  return lag > 500 || verified > 2_000 ? warn("table", text, advice) : ok("table", text);
}

function judgeEventLoop({ eventLoopDelay }: GetStatusResponse): Finding {
  const delay = msOf(eventLoopDelay) ?? 0;
  const text = `the server's event loop was at most ${measured(delay)} late`;
  if (delay > 1_000) return bad("event loop", text, "give the server more CPU: heartbeats wait as long");
  return delay > 200 ? warn("event loop", text, "see the CPU of the server's machine") : ok("event loop", text);
}

/** How long it takes to ask a server something that it answers by itself. */
export function judgeLatency(sortedMs: readonly number[]): Finding {
  const median = sortedMs[Math.floor(sortedMs.length / 2)]!;
  const text = `an answer takes ${measured(median)}, at most ${measured(sortedMs.at(-1)!)}`;
  return median > 100
    ? warn("latency", text, "run clients nearer to the servers, or see what is between them")
    : ok("latency", text);
}

/** How long it takes to acquire a lock that is free. */
export function judgeAcquire(sortedMs: readonly number[]): Finding {
  const median = sortedMs[Math.floor(sortedMs.length / 2)]!;
  const text = `a free lock is acquired in ${measured(median)}`;
  return median > 500
    ? warn("acquire", text, "see commits and latency above: an acquire is one of each")
    : ok("acquire", text);
}

/** A server's clock beside ours, from two answers. */
export interface ClockReading {
  /** How long passed between the answers, by our monotonic clock and by the server's. */
  readonly hereMs: number;
  readonly thereMs: number;
  /** By how much that can be off, since answers take time to come. */
  readonly errorMs: number;
  /** By how much its wall clock is ahead of ours. */
  readonly aheadMs: number;
}

/** Holders are safe while clocks run at rates that differ by at most 1 %. */
export function judgeClock({ hereMs, thereMs, errorMs, aheadMs }: ClockReading): Finding[] {
  const off = Math.abs(thereMs / hereMs - 1);
  const error = errorMs / hereMs;
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
  const rate = `the server's clock and this machine's differ in rate by ${percent(off)}, give or take ${percent(error)}`;
  const advice = "one of the two machines has a clock that cannot be trusted: locks held on it may overlap";
  const finding =
    off - error > 0.01
      ? bad("clock rate", rate, advice)
      : error > 0.01
        ? warn(
            "clock rate",
            `the rate of the server's clock cannot be told: answers take too long`,
            "run doctor nearer to it",
          )
        : off - error > 0.001
          ? warn("clock rate", rate, "see to the clocks of both machines: more than 1 % would be unsafe")
          : ok("clock rate", rate);
  if (Math.abs(aheadMs) < 2_000) return [finding];
  const which = aheadMs > 0 ? "ahead of" : "behind";
  const wall = `the server's wall clock is ${measured(Math.abs(aheadMs))} ${which} this machine's`;
  return [finding, warn("wall clock", wall, "set both (NTP): locks do not depend on it, but the times shown do")];
}
