import { EtcdCluster } from "../support/etcd-cluster.ts";
import { monotonicMs } from "../support/monotonic.ts";
import { type ServerProcess, startServer } from "../support/server.ts";
import { type StubClaim, StubSession, stubOf } from "../support/stub-session.ts";
import { Child } from "./child.ts";
import type { VictimTask } from "./victims.ts";
import type { WaitersSaid, WaitersTask } from "./waiters.ts";

export interface MassDeathOptions {
  /** How many sessions die. */
  readonly sessions: number;
  /** How: their streams break (`release`), or nothing is heard of them any more until their TTL is over (`keep`). */
  readonly end: "release" | "keep";
  /** By how much each fdatasync of each member of etcd is delayed. 0: not at all. */
  readonly diskDelayMs: number;
  /** Sessions that go on. Default: 100. */
  readonly healthy?: number;
  /** For how long after that they are watched, lest one be lost later. Default: 10 s. */
  readonly watchMs?: number;
  readonly servers?: number;
}

export interface MassDeathResult {
  /** From the detection of the deaths to the grants of those who waited for the dead: the median, and the last. */
  readonly handOver: { readonly p50Ms: number; readonly lastMs: number };
  /**
   * From a heartbeat of a healthy session to its ack, from the detection of the deaths until 2 s after the last hand-over;
   * `count`: how many.
   */
  readonly acks: { readonly p50Ms: number; readonly p99Ms: number; readonly worstMs: number; readonly count: number };
  /** Before the deaths, for comparison. */
  readonly acksBefore: { readonly p50Ms: number; readonly p99Ms: number };
  /** From asking for a free lock to its grant, by healthy sessions, in the same time. */
  readonly grants: { readonly p50Ms: number; readonly p99Ms: number; readonly worstMs: number };
  /** Of the healthy, sessions that ended and claims that were lost. */
  readonly lost: number;
  /** Leases in etcd at the end that are nobody's any more. */
  readonly leasesLeft: number;
  readonly logs: string;
}

/** Long enough to open all of them, and to hear of each three times in it, on a machine that is busy. */
const VICTIM_TTL_MS = 20_000;
const HEALTHY_TTL_MS = 10_000;
const BEAT_EVERY_MS = 500;
/** For how long after the last hand-over the dead may still be a trouble for others. */
const AFTERMATH_MS = 2_000;

/**
 * Has thousands of sessions die at once, each of which holds a lock that somebody waits for, and measures what becomes of
 * those that live: real servers, three members of etcd, and in processes of their own those who are to die and those who
 * wait for their locks, so that nothing but the measuring goes on in this one.
 */
export async function runMassDeath(options: MassDeathOptions): Promise<MassDeathResult> {
  const { sessions, end, diskDelayMs } = options;
  await using parts = new AsyncDisposableStack();
  const cluster = parts.use(await EtcdCluster.start({ diskDelayMs }));
  const servers: ServerProcess[] = [];
  for (let i = 0; i < (options.servers ?? 1); i++)
    servers.push(parts.use(await startServer({ etcd: cluster.endpoints, flags: ["--log-level", "info"] })));
  const addresses = servers.map(({ grpcAddress }) => grpcAddress);

  const task: VictimTask = { addresses, sessions, ttlMs: VICTIM_TTL_MS, keep: end === "keep" };
  const victims = parts.use(new Child("victims.ts", task));
  await victims.says("ready");
  const healthy = parts.use(await Healthy.open(addresses, options.healthy ?? 100));
  const waiters = parts.use(new Child("waiters.ts", { addresses, sessions } satisfies WaitersTask));
  await waiters.says("waiting");
  const granted = waiters.says<Extract<WaitersSaid, { what: "granted" }>>("granted");

  await healthy.watch(3_000);
  const before = healthy.take();

  const beatenMs = monotonicMs();
  victims.tell("beat");
  await victims.says("beaten");
  // Thousands of heartbeats at once are this program's doing, and hold up others that are on their way for a while.
  await healthy.watch(1_000);
  healthy.take();
  await victims.kill9();
  const detectedMs = end === "release" ? monotonicMs() : beatenMs + VICTIM_TTL_MS * 1.01 + 150;
  // Until they are missed the dead are no trouble, and times of calm would only make the figures look better.
  await healthy.watch(Math.max(0, detectedMs - monotonicMs()));
  healthy.take();
  const { atMs: grantedMs } = await granted;
  await healthy.watch(AFTERMATH_MS);
  const after = healthy.take();
  await healthy.watch(options.watchMs ?? 10_000);
  const lost = healthy.lost;

  const delays = grantedMs.map((atMs) => atMs - detectedMs).sort((a, b) => a - b);
  return {
    handOver: { p50Ms: quantile(delays, 0.5), lastMs: delays.at(-1)! },
    acks: summary(after.acks),
    acksBefore: summary(before.acks),
    grants: summary(after.grants),
    lost,
    leasesLeft: await cluster.countLeases(),
    logs: servers.map(({ log }) => log).join("\n"),
  };
}

function summary(times: readonly number[]) {
  const sorted = [...times].sort((a, b) => a - b);
  return {
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    worstMs: sorted.at(-1) ?? Number.NaN,
    count: sorted.length,
  };
}

/** The numbers, for people. */
export function describeResult({ handOver, acks, acksBefore, grants, lost, leasesLeft }: MassDeathResult): string {
  const ms = (value: number) => `${value.toFixed(0)} ms`;
  return [
    `  locks handed over after ${ms(handOver.p50Ms)} (median), the last after ${ms(handOver.lastMs)}`,
    `  heartbeats of the others answered in ${ms(acks.p50Ms)}, p99 ${ms(acks.p99Ms)}, worst ${ms(acks.worstMs)}, of ${acks.count}` +
      ` (before: ${ms(acksBefore.p50Ms)}, p99 ${ms(acksBefore.p99Ms)})`,
    `  free locks granted to them in ${ms(grants.p50Ms)}, p99 ${ms(grants.p99Ms)}, worst ${ms(grants.worstMs)}`,
    `  lost by them: ${lost}; leases not yet revoked: ${leasesLeft}`,
  ].join("\n");
}

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;

/** Sessions that nothing befalls: each holds a lock, beats twice a second, and now and then takes another lock. */
class Healthy implements AsyncDisposable {
  readonly #sessions: readonly StubSession[];
  #acks: number[] = [];
  #grants: number[] = [];
  #lost = 0;
  #unanswered = 0;
  readonly #timers: NodeJS.Timeout[];

  private constructor(sessions: readonly StubSession[], held: readonly StubClaim[]) {
    this.#sessions = sessions;
    for (const claim of held) void claim.lost.then(() => this.#lost++);
    for (const session of sessions) session.stopBeating();
    this.#timers = sessions.map((session, i) => {
      const beat = () => void this.#beat(session, i);
      // Not all at once, as programs are that know nothing of each other.
      return setTimeout(
        () => {
          this.#timers[i] = setInterval(beat, BEAT_EVERY_MS);
        },
        (i / sessions.length) * BEAT_EVERY_MS,
      );
    });
  }

  static async open(addresses: readonly string[], count: number): Promise<Healthy> {
    const stubs = addresses.map((address) => stubOf(address));
    const options = { ttlMs: HEALTHY_TTL_MS, keep: true };
    const sessions = await Promise.all(
      Array.from({ length: count }, (_, i) => {
        const at = i % addresses.length;
        return StubSession.open(addresses[at]!, { ...options, stub: stubs[at]! });
      }),
    );
    const held = sessions.map((session, i) => session.acquire(`healthy/${i}`));
    await Promise.all(held.map(({ granted }) => granted));
    return new Healthy(sessions, held);
  }

  get lost(): number {
    return this.#lost;
  }

  watch(forMs: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, forMs));
  }

  /** What was measured since this was last asked; what is not answered yet counts with its age. */
  take(): { readonly acks: readonly number[]; readonly grants: readonly number[] } {
    const taken = { acks: this.#acks, grants: this.#grants };
    this.#acks = [];
    this.#grants = [];
    return taken;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all(this.#sessions.map((session) => session[Symbol.asyncDispose]()));
  }

  async #beat(session: StubSession, i: number): Promise<void> {
    const sentMs = monotonicMs();
    const acked = session.acked(session.beat()).then(
      () => this.#acks.push(monotonicMs() - sentMs),
      () => undefined,
    );
    if (this.#unanswered < 10 && i % 10 === 0) {
      this.#unanswered++;
      const claim = session.acquire(`healthy/own/${i}/${sentMs}`);
      await claim.granted.then(
        () => this.#grants.push(monotonicMs() - sentMs),
        () => undefined,
      );
      session.send({ $case: "release", value: { claimId: claim.id } });
      this.#unanswered--;
    }
    await acked;
  }
}
