import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { credentials } from "@grpc/grpc-js";
import { type EmbeddedEtcd, startEmbeddedEtcd } from "../../server/adapters/etcd/embedded.ts";
import { hex } from "../../server/adapters/etcd/position.ts";
import {
  ClusterClient,
  LeaseClient,
  MaintenanceClient,
  type StatusResponse,
} from "../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import { toolPath } from "./etcd.ts";
import { PeerNetwork, type PeerPort } from "./peer-network.ts";
import { reservePort } from "./ports.ts";
import { onSlowDisk } from "./slow-disk.ts";

export interface ClusterOptions {
  /** How many members. Default: 3. */
  readonly members?: number;
  readonly quotaBytes?: number;
  readonly flags?: readonly string[];
  /** By how much each fdatasync of each member is delayed. Default: not at all. Needs root. */
  readonly diskDelayMs?: number;
}

const OPTIONS = { "grpc.initial_reconnect_backoff_ms": 50, "grpc.max_reconnect_backoff_ms": 200 };

/** A member of a cluster: a process in a folder of its own, which other members reach through a `PeerNetwork`. */
export class ClusterMember {
  readonly name: string;
  /** "127.0.0.1:port" for clients, the same after a restart. */
  readonly endpoint: string;
  readonly peer: PeerPort;
  readonly dataDir: string;
  private readonly cluster: EtcdCluster;
  private readonly maintenance: MaintenanceClient;
  private etcd: EmbeddedEtcd | undefined;

  constructor(cluster: EtcdCluster, name: string, clientPort: number, peer: PeerPort) {
    this.cluster = cluster;
    this.name = name;
    this.endpoint = `127.0.0.1:${clientPort}`;
    this.peer = peer;
    this.dataDir = join(cluster.folder, name);
    this.maintenance = new MaintenanceClient(this.endpoint, credentials.createInsecure(), OPTIONS);
  }

  get peerUrl(): string {
    return `http://${this.peer.endpoint}`;
  }

  get pid(): number {
    return this.etcd!.pid;
  }

  get runs(): boolean {
    return this.etcd !== undefined;
  }

  /** Starts it, and resolves when it has a leader and answers. `initial`: the members that it is to know at first. */
  async start(
    initial: readonly ClusterMember[] = this.cluster.members,
    state: "new" | "existing" = "new",
  ): Promise<void> {
    this.etcd = await startEmbeddedEtcd({
      binary: this.cluster.binary,
      dataDir: this.dataDir,
      clientPort: Number(this.endpoint.split(":")[1]),
      peerPort: this.peer.port,
      ...(this.cluster.options.quotaBytes && { quotaBytes: this.cluster.options.quotaBytes }),
      flags: [
        `--name=${this.name}`,
        `--initial-advertise-peer-urls=${this.peerUrl}`,
        `--initial-cluster=${initial.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",")}`,
        `--initial-cluster-state=${state}`,
        ...(this.cluster.options.flags ?? []),
      ],
      startTimeoutMs: 45_000,
    });
    this.peer.id = hex((await this.status()).header!.memberId);
  }

  /** Kills it as a crash does, and resolves when it is gone. */
  async kill9(): Promise<void> {
    const { etcd } = this;
    if (etcd === undefined) return;
    this.etcd = undefined;
    process.kill(etcd.pid, "SIGKILL");
    await etcd.stop();
  }

  /** Ends it in order: a leader hands over first. */
  async stop(): Promise<void> {
    const { etcd } = this;
    this.etcd = undefined;
    await etcd?.stop();
  }

  pause(): void {
    process.kill(this.pid, "SIGSTOP");
  }

  resume(): void {
    process.kill(this.pid, "SIGCONT");
  }

  /** Cuts it off from the other members; clients still reach it. */
  isolate(): void {
    this.cluster.network.isolate(this.peer);
  }

  rejoin(): void {
    this.cluster.network.rejoin(this.peer);
  }

  status(): Promise<StatusResponse> {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + 10_000;
      this.maintenance.status({}, { deadline } as never, (error: Error | null, response: StatusResponse) =>
        error ? reject(error) : resolve(response),
      );
    });
  }

  /** Has it, being the leader, hand over to another member. */
  async moveLeaderTo(other: ClusterMember): Promise<void> {
    const targetID = (await other.status()).header!.memberId;
    return new Promise((resolve, reject) => {
      this.maintenance.moveLeader({ targetID }, (error) => (error ? reject(error) : resolve()));
    });
  }

  async dispose(): Promise<void> {
    this.maintenance.close();
    // Also one that is paused.
    await this.kill9();
  }
}

/** An etcd of several members, for one test. */
export class EtcdCluster implements AsyncDisposable {
  readonly options: ClusterOptions;
  readonly folder: string;
  readonly binary: string;
  readonly network = new PeerNetwork();
  members: ClusterMember[] = [];
  private readonly made: ClusterMember[] = [];
  private backUps = 0;

  private constructor(options: ClusterOptions, folder: string, binary: string) {
    this.options = options;
    this.folder = folder;
    this.binary = binary;
  }

  static async start(options: ClusterOptions = {}): Promise<EtcdCluster> {
    const folder = await mkdtemp(join(tmpdir(), "holdfast-cluster-"));
    const etcd = await toolPath("etcd");
    const { diskDelayMs = 0 } = options;
    const binary = diskDelayMs === 0 ? etcd : await onSlowDisk(etcd, diskDelayMs, folder);
    const cluster = new EtcdCluster(options, folder, binary);
    try {
      for (let i = 1; i <= (options.members ?? 3); i++) cluster.members.push(await cluster.make(`m${i}`));
      await Promise.all(cluster.members.map((member) => member.start()));
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** All endpoints, as a server takes them. */
  get endpoints(): string {
    return this.members.map(({ endpoint }) => endpoint).join(",");
  }

  /** Resolves with the running member that leads, when all others that run say so too. `among`: those to ask. */
  async leader(among = this.members.filter(({ runs }) => runs)): Promise<ClusterMember> {
    for (;;) {
      const told = await Promise.all(among.map((member) => member.status().catch(() => undefined)));
      const leaders = new Set(told.map((status) => status?.leader ?? 0n));
      const [leader] = leaders;
      const index = told.findIndex((status) => status !== undefined && status.header?.memberId === leader);
      if (leaders.size === 1 && leader !== 0n && index !== -1) return among[index]!;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async followers(): Promise<ClusterMember[]> {
    const leader = await this.leader();
    return this.members.filter((member) => member.runs && member !== leader);
  }

  /** Ends all trouble: every member runs, is reached by the others, and has a leader. */
  async mend(): Promise<void> {
    for (const member of this.members) {
      member.rejoin();
      if (member.runs) member.resume();
    }
    await Promise.all(this.members.filter(({ runs }) => !runs).map((member) => member.start()));
    await this.leader();
  }

  /** Adds a member and starts it, as the documentation of etcd has it. `made`: one from `prepare`. */
  async grow(made?: ClusterMember): Promise<ClusterMember> {
    const member = made ?? (await this.prepare());
    await this.change((client, done) => client.memberAdd({ peerURLs: [member.peerUrl], isLearner: false }, done));
    this.members = [...this.members, member];
    await member.start(this.members, "existing");
    return member;
  }

  /** Takes a member out of the cluster, and ends it. */
  async remove(member: ClusterMember): Promise<void> {
    const ID = BigInt(`0x${member.peer.id}`);
    await this.change((client, done) => client.memberRemove({ ID }, done));
    this.members = this.members.filter((each) => each !== member);
    await member.kill9();
  }

  /** How many leases there are, those of servers included. */
  async countLeases(): Promise<number> {
    const client = new LeaseClient((await this.leader()).endpoint, credentials.createInsecure());
    try {
      return await new Promise((resolve, reject) => {
        client.leaseLeases({}, (error, { leases } = { leases: [], header: undefined }) =>
          error ? reject(error) : resolve(leases.length),
        );
      });
    } finally {
      client.close();
    }
  }

  /** Saves a backup, and resolves with its path. */
  async backUp(): Promise<string> {
    const path = join(this.folder, `backup-${++this.backUps}`);
    await run("etcdctl", ["--endpoints", (await this.leader()).endpoint, "snapshot", "save", path]);
    return path;
  }

  /** Replaces all members by what a backup has, as the documentation of etcd has it. `flags`: more, of `etcdutl`. */
  async restore(backUp: string, flags: readonly string[] = []): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop()));
    const initial = this.members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",");
    for (const { name, dataDir, peerUrl } of this.members) {
      await rm(dataDir, { recursive: true, force: true });
      const member = ["--name", name, "--initial-advertise-peer-urls", peerUrl, "--initial-cluster", initial];
      await run("etcdutl", ["snapshot", "restore", backUp, "--data-dir", dataDir, ...member, ...flags]);
    }
    await Promise.all(this.members.map((member) => member.start()));
  }

  /** A member that is to be added later: its endpoint is known already. */
  prepare(): Promise<ClusterMember> {
    return this.make(`m${this.made.length + 1}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.made.map((member) => member.dispose()));
    await this.network[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true });
  }

  private async make(name: string): Promise<ClusterMember> {
    const member = new ClusterMember(this, name, await reservePort(), await this.network.lead(await reservePort()));
    this.made.push(member);
    return member;
  }

  /** Asks for a change of the members, until the cluster is well enough to make it. */
  private async change(
    call: (client: ClusterClient, done: (error: Error | null, response?: unknown) => void) => void,
  ): Promise<void> {
    for (;;) {
      const { endpoint } = await this.leader();
      const client = new ClusterClient(endpoint, credentials.createInsecure(), OPTIONS);
      const failure = await new Promise<Error | null>((resolve) => call(client, resolve));
      client.close();
      if (failure === null) return;
      if (!/unhealthy cluster|not enough started members|re-configuration/.test(failure.message)) throw failure;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** Runs one of etcd's own tools; resolves with what it writes. */
async function run(tool: "etcdctl" | "etcdutl", args: readonly string[]): Promise<string> {
  return (await promisify(execFile)(await toolPath(tool), args)).stdout;
}
