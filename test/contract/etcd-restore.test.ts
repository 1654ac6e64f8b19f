import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  confirmRestoredStore,
  type EtcdStore,
  findRestoredStore,
  openEtcdStore,
} from "../../server/adapters/etcd/index.ts";
import { claimKey } from "../../server/core/keys.ts";
import { EtcdCluster } from "../support/etcd-cluster.ts";
import { applied, claim, operation, put } from "../support/store-calls.ts";

const PREFIX = "/restore/";
const SESSION = "s".repeat(22);
const BUMP = 1_000_000_000;

/** What a member says: of these the positions of `server/adapters/etcd/position.ts` are made. */
interface Told {
  readonly cluster: bigint;
  readonly term: number;
  readonly index: number;
  readonly revision: number;
}

describe("an etcd that was restored", () => {
  let cluster: EtcdCluster;
  let stateFile: string;
  let files = 0;

  beforeAll(async () => {
    cluster = await EtcdCluster.start({ members: 1 });
  });
  afterAll(() => cluster[Symbol.asyncDispose]());

  beforeEach(async () => {
    stateFile = join(cluster.folder, `seen-${++files}.json`);
    await lose();
  });

  const address = () => ({ endpoints: cluster.members.map(({ endpoint }) => endpoint), prefix: PREFIX });

  const open = (file: string | undefined): Promise<EtcdStore> =>
    openEtcdStore({
      ...address(),
      history: { file },
      onFault: (fault) => {
        throw fault;
      },
    });

  /** Why a server does not start; empty: it does. */
  async function refusal(file: string | undefined): Promise<string> {
    try {
      const store = await open(file);
      await store.close();
      return "";
    } catch (error) {
      return (error as Error).message;
    }
  }

  async function write(store: EtcdStore, count: number): Promise<void> {
    for (let i = 0; i < count; i++)
      await applied(store, operation([], put(claimKey(`lock-${i}`, SESSION, 1n), claim(`lock-${i}`))));
  }

  /** Starts the cluster anew with empty folders. */
  async function lose(): Promise<void> {
    const [member] = cluster.members;
    await member!.stop();
    await rm(member!.dataDir, { recursive: true, force: true });
    await member!.start();
  }

  async function told(): Promise<Told> {
    const { header, raftTerm, raftAppliedIndex } = await cluster.members[0]!.status();
    const { clusterId: cluster_, revision } = header!;
    return { cluster: cluster_, term: Number(raftTerm), index: Number(raftAppliedIndex), revision: Number(revision) };
  }

  /** A life with a backup in its middle. */
  async function live(): Promise<{ backUp: string; then: Told; atLast: Told }> {
    const first = await open(stateFile);
    await write(first, 30);
    await first.close();
    const backUp = await cluster.backUp();
    const then = await told();
    const second = await open(stateFile);
    await write(second, 40);
    await second.close();
    await lookOnceMore();
    return { backUp, then, atLast: await told() };
  }

  /** A server looks twice a second where etcd is, and when it starts. */
  async function lookOnceMore(): Promise<void> {
    const store = await open(stateFile);
    await store.close();
  }

  const idIn = (message: string) => /confirmed (\S+)$/.exec(message)?.[1] ?? "";

  it("begins its raft log anew, under the same cluster id, and its revisions where the backup was", async () => {
    const { backUp, then, atLast } = await live();
    await cluster.restore(backUp);
    const now = await told();
    expect(now).toMatchObject({ cluster: atLast.cluster, revision: then.revision });
    expect(now.index).toBeLessThan(10);
    expect(now.term).toBeLessThanOrEqual(atLast.term);
    const message = await refusal(undefined);
    expect(message).toMatch(/^etcd is at raft (index|term) \d+, but Holdfast has seen \d+: it was restored/);
    expect(await refusal(undefined)).toBe(message);
    expect(await refusal(stateFile)).toBe(message);
    const restored = await findRestoredStore({ ...address(), timeoutMs: 5_000 });
    expect(restored).toMatchObject({ id: idIn(message), bumpedBy: 0 });
  });

  it("is refused with revisions turned forward too: tokens grow, but locks are forgotten", async () => {
    const { backUp, then } = await live();
    await cluster.restore(backUp, ["--bump-revision", String(BUMP), "--mark-compacted"]);
    expect((await told()).revision).toBe(then.revision + BUMP);
    expect(await refusal(stateFile)).toContain("it was restored");
    const restored = await findRestoredStore({ ...address(), timeoutMs: 5_000 });
    expect(restored!.bumpedBy).toBeGreaterThan(BUMP - 1000);
    expect(restored!.bumpedBy).toBeLessThan(BUMP);
  });

  it("is another cluster by its id when another token was given", async () => {
    const { backUp, atLast } = await live();
    await cluster.restore(backUp, ["--initial-cluster-token", "another"]);
    expect((await told()).cluster).not.toBe(atLast.cluster);
    expect(await refusal(undefined)).toMatch(/^etcd is cluster \w+, but Holdfast has seen \w+: it was restored/);
  });

  it("by putting the data folder back is noticed with a state file, and without one by nobody", async () => {
    const [member] = cluster.members;
    const first = await open(stateFile);
    await write(first, 30);
    await first.close();
    await member!.stop();
    const kept = join(cluster.folder, "kept");
    await cp(member!.dataDir, kept, { recursive: true });
    await member!.start();
    const second = await open(stateFile);
    await write(second, 40);
    await second.close();
    await lookOnceMore();
    await member!.stop();
    await rm(member!.dataDir, { recursive: true });
    await cp(kept, member!.dataDir, { recursive: true });
    await rm(kept, { recursive: true });
    await member!.start();
    expect(await refusal(undefined)).toBe("");
    expect(await refusal(stateFile)).toMatch(/^etcd is at raft index \d+, but Holdfast has seen \d+/);
    const restored = await findRestoredStore({ ...address(), timeoutMs: 5_000 });
    expect(restored!.revision).toBeLessThan(restored!.seenRevision);
  });

  it("by none is an empty one, which only a state file notices", async () => {
    await live();
    await lose();
    expect(await refusal(stateFile)).toMatch(/^etcd has nothing of Holdfast's, but this server has seen it there/);
  });

  it("by none is noticed by a state file although servers without one have begun anew there", async () => {
    await live();
    await lose();
    expect(await refusal(undefined)).toBe("");
    expect(await refusal(stateFile)).toMatch(/^etcd holds another history than this server has seen/);
  });

  it("is used once it is confirmed, by those with a state file of before as well", async () => {
    const { backUp } = await live();
    await cluster.restore(backUp);
    const id = idIn(await refusal(stateFile));
    const options = { ...address(), timeoutMs: 5_000 };
    expect(await confirmRestoredStore(options, "another")).toBe(false);
    expect(await refusal(undefined)).toContain(id);
    expect(await confirmRestoredStore(options, id)).toBe(true);
    expect(await confirmRestoredStore(options, id)).toBe(false);
    expect(await findRestoredStore(options)).toBeUndefined();
    expect([await refusal(undefined), await refusal(stateFile), await refusal(stateFile)]).toEqual(["", "", ""]);
    // The same backup once more is another restore.
    await cluster.restore(backUp);
    const again = await refusal(stateFile);
    expect(again).toMatch(/has seen|another history/);
    expect(idIn(again)).not.toBe(id);
  });

  it("is not suspected when nothing but time has passed, restarts and a state file of another service included", async () => {
    await live();
    await cluster.members[0]!.kill9();
    await cluster.members[0]!.start();
    expect(await refusal(stateFile)).toBe("");
    expect(await refusal(undefined)).toBe("");
    const other = { ...address(), prefix: "/other/" };
    const store = await openEtcdStore({ ...other, history: { file: stateFile }, onFault: () => undefined });
    await store.close();
  });
});
