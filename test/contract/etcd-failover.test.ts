import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type EtcdStore, openEtcdStore, type StoreTrouble } from "../../server/adapters/etcd/index.ts";
import { claimKey } from "../../server/core/keys.ts";
import { within } from "../support/calm.ts";
import { type ClusterMember, EtcdCluster } from "../support/etcd-cluster.ts";
import { eventually } from "../support/eventually.ts";
import { FeedRecorder } from "../support/feed-recorder.ts";
import { claim, commit, grantLease, operation, put, renewLease } from "../support/store-calls.ts";

const PREFIX = "/failover/";
const SESSION = "s".repeat(22);

const SOON_MS = within(2_000, 8_000);

const write = (store: EtcdStore, i: number) =>
  commit(store, operation([], put(claimKey(`lock-${i}`, SESSION, 1n), claim(`lock-${i}`))));

/** Does something again and again, and notes when it succeeded. */
class Repeated {
  longestGapMs = 0;
  private lastMs = performance.now();
  private readonly done: Promise<void>;
  private over = false;

  constructor(attempt: () => Promise<boolean>) {
    this.done = this.repeat(attempt);
  }

  /** Resolves when it has succeeded with an attempt that was begun after this call. */
  async again(): Promise<void> {
    const askedMs = performance.now();
    while (this.lastMs <= askedMs) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async stop(): Promise<void> {
    this.over = true;
    await this.done;
  }

  private async repeat(attempt: () => Promise<boolean>): Promise<void> {
    while (!this.over) {
      const startedMs = performance.now();
      if (await attempt()) {
        this.longestGapMs = Math.max(this.longestGapMs, performance.now() - this.lastMs);
        this.lastMs = startedMs;
      } else await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

const tell = (what: string, gaps: Record<string, number>) =>
  console.log(
    `${what}: longest gaps in ms: ${Object.entries(gaps)
      .map(([of, ms]) => `${of} ${ms.toFixed()}`)
      .join(", ")}`,
  );

describe("the etcd store on three members", () => {
  let cluster: EtcdCluster;
  let store: EtcdStore;
  let feed: FeedRecorder;
  let lease: bigint;
  let moves: string[];
  let faults: string[];

  beforeAll(async () => {
    cluster = await EtcdCluster.start();
  });
  afterAll(() => cluster[Symbol.asyncDispose]());

  const open = (endpoints: readonly string[]) =>
    openEtcdStore({
      endpoints,
      prefix: PREFIX,
      onFault: ({ message }) => faults.push(message),
      onTrouble: (event: StoreTrouble, why) => {
        if (event === "member.left") moves.push(why);
      },
    });

  async function use(members: readonly ClusterMember[]): Promise<void> {
    store = await open(members.map(({ endpoint }) => endpoint));
    feed = new FeedRecorder();
    store.follow(feed);
    let granted = await grantLease(store, 60);
    // A leader that has just come back may still lose its place.
    while (granted.kind !== "granted") granted = await grantLease(store, 60);
    lease = granted.lease;
  }

  beforeEach(async () => {
    await cluster.mend();
    moves = [];
    faults = [];
  });
  afterEach(async () => {
    await store?.close();
    expect(faults).toEqual([]);
  });

  /** What happens while a trouble goes on: how long nothing was committed, renewed or heard of. */
  async function during(trouble: () => Promise<void>) {
    let i = 0;
    let seen = 0;
    const commits = new Repeated(async () => (await write(store, ++i % 50)).kind === "decided");
    const renewals = new Repeated(async () => (await renewLease(store, lease)).kind === "renewed");
    const news = new Repeated(async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      const isNews = feed.revision > seen;
      seen = feed.revision;
      return isNews;
    });
    const all = [commits, renewals, news];
    await Promise.all(all.map((each) => each.again()));
    await trouble();
    await Promise.all(all.map((each) => each.again()));
    await Promise.all(all.map((each) => each.stop()));
    return { commits: commits.longestGapMs, renewals: renewals.longestGapMs, news: news.longestGapMs };
  }

  const troubles: Record<string, (member: ClusterMember) => Promise<void> | void> = {
    killed: (member) => member.kill9(),
    frozen: (member) => member.pause(),
    "cut off from its peers": (member) => member.isolate(),
  };

  for (const [what, befall] of Object.entries(troubles)) {
    it(`goes on within 2 s when the leader is ${what}`, async () => {
      const leader = await cluster.leader();
      await use(cluster.members);
      const others = cluster.members.filter((member) => member !== leader);
      const gaps = await during(async () => {
        await befall(leader);
        await cluster.leader(others);
      });
      tell(`leader ${what}`, gaps);
      for (const gap of Object.values(gaps)) expect(gap).toBeLessThan(SOON_MS);
      // Meanwhile it may have used the other follower, and looks for the leader twice a second.
      const isAtLeader = async () => moves.at(-1)?.includes(`for ${(await cluster.leader(others)).endpoint}`);
      await eventually(isAtLeader, true);
    });

    it(`goes on within 2 s when the follower that it uses is ${what}`, async () => {
      const followers = await cluster.followers();
      await use(followers);
      const [used, other] = followers as [ClusterMember, ClusterMember];
      const gaps = await during(async () => befall(used));
      tell(`follower ${what}`, gaps);
      for (const gap of Object.values(gaps)) expect(gap).toBeLessThan(SOON_MS);
      // The two may have agreed on another leader meanwhile.
      const isAtOther = () => moves.at(-1)?.includes(`${used.endpoint} for ${other.endpoint}`);
      await eventually(isAtOther, true);
    });
  }
});
