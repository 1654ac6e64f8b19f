import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type CallOptions, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import {
  KVClient,
  LeaseClient,
  MaintenanceClient,
  PutRequest,
  RangeRequest,
  type StatusResponse,
} from "../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import type { Machine } from "./network.ts";
import { Program } from "./program.ts";

const CLIENT_PORT = 2379;
const PEER_PORT = 2380;
const CALL_TIMEOUT_MS = 1500;

type Answer<Response> = (error: ServiceError | null, response: Response) => void;

/** Three members of etcd, each on a machine of its own, with what an operator can do to them. */
export class EtcdCluster {
  readonly members: readonly EtcdMember[];

  private constructor(members: readonly EtcdMember[]) {
    this.members = members;
  }

  /** Starts a fresh cluster, and resolves when it answers. */
  static async start(machines: readonly Machine[], binary: string, folder: string): Promise<EtcdCluster> {
    const cluster = machines.map(({ name, address }) => `${name}=http://${address}:${PEER_PORT}`).join(",");
    const etcd = new EtcdCluster(machines.map((machine) => new EtcdMember(machine, binary, cluster, folder)));
    for (const member of etcd.members) member.start();
    await etcd.answers(60_000);
    return etcd;
  }

  /** Resolves when all members run and there is a leader that commits; rejects when that takes too long. */
  async answers(withinMs: number): Promise<void> {
    const untilMs = performance.now() + withinMs;
    for (;;) {
      const revisions = await Promise.all(this.members.map((member) => member.revision().catch(() => undefined)));
      if (!revisions.includes(undefined)) return;
      if (performance.now() > untilMs) throw new Error("etcd does not answer although all of it is well");
      await delay(100);
    }
  }

  /** The member that leads; `undefined`: none that says so. */
  async leader(): Promise<EtcdMember | undefined> {
    const all = await Promise.all(
      this.members.map(async (member) => ({ member, status: await member.status().catch(() => undefined) })),
    );
    const newest = all.filter(({ status }) => status?.leader === status?.header?.memberId && status !== undefined);
    newest.sort((a, b) => Number((b.status?.raftTerm ?? 0n) - (a.status?.raftTerm ?? 0n)));
    return newest[0]?.member;
  }

  /** Has another member lead. Returns whether it does. */
  async moveLeader(): Promise<boolean> {
    const leader = await this.leader();
    const others = this.members.filter((member) => member !== leader && member.isRunning);
    const other = others[Math.floor(Math.random() * others.length)];
    if (leader === undefined || other === undefined) return false;
    try {
      const { header } = await other.status();
      await leader.moveLeaderTo(header!.memberId);
      return true;
    } catch {
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map((member) => member.end()));
  }
}

/** One member. What it stored stays when it ends. */
export class EtcdMember {
  readonly machine: Machine;
  /** "host:port" for clients. */
  readonly endpoint: string;
  private readonly command: readonly string[];
  readonly logFile: string;
  private readonly kv: KVClient;
  private readonly lease: LeaseClient;
  private readonly maintenance: MaintenanceClient;
  private program: Program | undefined;

  constructor(machine: Machine, binary: string, cluster: string, folder: string) {
    const { name, address } = machine;
    this.machine = machine;
    this.endpoint = `${address}:${CLIENT_PORT}`;
    this.logFile = join(folder, `${name}.log`);
    const peer = `http://${address}:${PEER_PORT}`;
    const client = `http://${this.endpoint}`;
    this.command = [
      binary,
      `--name=${name}`,
      `--data-dir=${join(folder, name)}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=${cluster}`,
      "--max-concurrent-streams=1000",
      "--log-level=warn",
    ];
    const options = { "grpc.initial_reconnect_backoff_ms": 50, "grpc.max_reconnect_backoff_ms": 300 };
    this.kv = new KVClient(this.endpoint, credentials.createInsecure(), options);
    this.lease = new LeaseClient(this.endpoint, credentials.createInsecure(), options);
    this.maintenance = new MaintenanceClient(this.endpoint, credentials.createInsecure(), options);
  }

  get isRunning(): boolean {
    return this.program?.isRunning === true;
  }

  get pid(): number {
    return this.program!.pid;
  }

  start(): void {
    if (!this.isRunning) this.program = new Program(this.machine, this.command, { logFile: this.logFile });
  }

  async kill9(): Promise<void> {
    await this.program?.kill9();
  }

  signal(signal: NodeJS.Signals): void {
    this.program?.signal(signal);
  }

  status(): Promise<StatusResponse> {
    return called((within, answer) => this.maintenance.status({}, ...within, answer));
  }

  async moveLeaderTo(targetID: bigint): Promise<void> {
    await called((within, answer) => this.maintenance.moveLeader({ targetID }, ...within, answer));
  }

  /** The revision of the latest write, by a linearizable read. */
  async revision(): Promise<number> {
    const { revision } = await this.read("\0", "\0");
    return revision;
  }

  /** How many keys begin with a text. */
  async countKeys(prefix: string): Promise<number> {
    const last = prefix.charCodeAt(prefix.length - 1);
    return (await this.read(prefix, prefix.slice(0, -1) + String.fromCharCode(last + 1))).count;
  }

  async countLeases(): Promise<number> {
    const { leases } = await called((within, answer: Answer<{ leases: unknown[] }>) =>
      this.lease.leaseLeases({}, ...within, answer),
    );
    return leases.length;
  }

  /** Writes a key, and resolves with the revision that did it. */
  async put(key: string, value: string): Promise<number> {
    const request = PutRequest.create({ key: Buffer.from(key), value: Buffer.from(value) });
    const { header } = await called((within, answer: Answer<{ header?: { revision: bigint } | undefined }>) =>
      this.kv.put(request, ...within, answer),
    );
    return Number(header!.revision);
  }

  /** Forgets the history before a revision. Rejects if it is forgotten already. */
  async compact(revision: number): Promise<void> {
    const request = { revision: BigInt(revision), physical: false };
    await called((within, answer) => this.kv.compact(request, ...within, answer));
  }

  async end(): Promise<void> {
    for (const stub of [this.kv, this.lease, this.maintenance]) stub.close();
    // Also one that is stopped.
    await this.kill9();
  }

  private async read(from: string, to: string): Promise<{ revision: number; count: number }> {
    const request = RangeRequest.create({ key: Buffer.from(from), rangeEnd: Buffer.from(to), countOnly: true });
    const { header, count } = await called(
      (within, answer: Answer<{ header?: { revision: bigint } | undefined; count: bigint }>) =>
        this.kv.range(request, ...within, answer),
    );
    return { revision: Number(header!.revision), count: Number(count) };
  }
}

function called<Response>(
  call: (within: [Metadata, CallOptions], answer: Answer<Response>) => unknown,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    call([new Metadata(), { deadline: Date.now() + CALL_TIMEOUT_MS }], (error, response) =>
      error === null ? resolve(response) : reject(error),
    );
  });
}
