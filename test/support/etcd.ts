import { execFile, spawn } from "node:child_process";
import { cp, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { credentials } from "@grpc/grpc-js";
import { type EmbeddedEtcd, type EmbeddedEtcdOptions, startEmbeddedEtcd } from "../../server/adapters/etcd/embedded.ts";
import {
  DeleteRangeRequest,
  KVClient,
  LeaseClient,
  PutRequest,
  RangeRequest,
  WatchClient,
  WatchCreateRequest,
  type WatchResponse,
} from "../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import type { KeyValue } from "../../server/gen/etcd/api/mvccpb/kv.ts";
import { reservePort } from "./ports.ts";

/** An etcd for one test file: in a folder of its own, which goes with it. */
export interface TestEtcd extends AsyncDisposable {
  /** "127.0.0.1:port", the same after a restart. */
  readonly endpoint: string;
  readonly pid: number;
  /** Kills it as a crash does, and resolves when it is gone. */
  kill9(): Promise<void>;
  /** Starts it again, on the same port and with the same data. */
  start(): Promise<void>;
  /** Keeps its data aside, as a backup does. It must not run. */
  backUp(): Promise<void>;
  /** Puts the data that were kept in the place of those that it has. It must not run. */
  restore(): Promise<void>;
  /** How many keys start with `prefix`; absent: how many there are. Those by which servers are known are left out. */
  countKeys(prefix?: string): Promise<number>;
  /** How many leases there are but those of servers. */
  countLeases(): Promise<number>;
  /** The keys by which servers are known. */
  serverKeys(): Promise<readonly string[]>;
  /** The revision of the latest write. */
  revision(): Promise<number>;
  /** How many revisions since then wrote anything but what servers write of themselves. */
  writesSince(revision: number): Promise<number>;
  /** Writes a key as anybody with access could. */
  put(key: string, value: Uint8Array): Promise<void>;
  remove(key: string): Promise<void>;
  /** Forgets the history before a revision. */
  compact(revision: number): Promise<void>;
}

/** How to start an etcd for a test. */
export type TestEtcdOptions = Pick<EmbeddedEtcdOptions, "clientPort" | "quotaBytes" | "historyKept" | "flags"> & {
  /** How many revisions it has behind it, as after years. Default: none. */
  readonly revisionsBefore?: number;
};

/** Starts the pinned etcd, building it first where that has not been done. */
export async function startEtcd({ revisionsBefore, ...options }: TestEtcdOptions = {}): Promise<TestEtcd> {
  const dataDir = await mkdtemp(join(tmpdir(), "holdfast-etcd-"));
  const binary = await toolPath("etcd");
  try {
    const start = (clientPort: number) => startEmbeddedEtcd({ ...options, binary, dataDir, clientPort });
    if (revisionsBefore !== undefined) {
      await (await start(0)).stop();
      await age(dataDir, revisionsBefore);
    }
    return new Running(await start(options.clientPort ?? (await reservePort())), start, dataDir);
  } catch (error) {
    await rm(dataDir, { recursive: true });
    throw error;
  }
}

/** Adds revisions to the data of an etcd that does not run, as `etcdutl` does for clusters restored from a backup. */
async function age(dataDir: string, revisions: number): Promise<void> {
  const aged = `${dataDir}-aged`;
  const peer = "http://127.0.0.1:1";
  const flags = ["--skip-hash-check", "--mark-compacted", `--bump-revision=${revisions}`, `--data-dir=${aged}`];
  const member = ["--name=holdfast", `--initial-cluster=holdfast=${peer}`, `--initial-advertise-peer-urls=${peer}`];
  const restore = ["snapshot", "restore", join(dataDir, "member/snap/db"), ...flags, ...member];
  await promisify(execFile)(await toolPath("etcdutl"), restore);
  await rm(dataDir, { recursive: true });
  await rename(aged, dataDir);
}

/** Path of a tool that `tools/build.sh` builds: "etcd", "etcdctl", "etcdutl" or "grpcurl". */
export function toolPath(name: string): Promise<string> {
  const script = new URL("../../tools/build.sh", import.meta.url).pathname;
  return new Promise((resolve, reject) => {
    const child = spawn(script, [name], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve(output.trimEnd().split("\n").at(-1)!);
      else reject(new Error(`tools/build.sh ${name} ended with exit code ${code}`));
    });
  });
}

class Running implements TestEtcd {
  readonly endpoint: string;
  private readonly startOn: (port: number) => Promise<EmbeddedEtcd>;
  private readonly dataDir: string;
  private readonly kv: KVClient;
  private readonly lease: LeaseClient;
  private readonly watch: WatchClient;
  private etcd: EmbeddedEtcd;

  constructor(etcd: EmbeddedEtcd, start: (port: number) => Promise<EmbeddedEtcd>, dataDir: string) {
    this.endpoint = etcd.endpoint;
    this.etcd = etcd;
    this.startOn = start;
    this.dataDir = dataDir;
    const options = { "grpc.initial_reconnect_backoff_ms": 50, "grpc.max_reconnect_backoff_ms": 200 };
    this.kv = new KVClient(this.endpoint, credentials.createInsecure(), options);
    this.lease = new LeaseClient(this.endpoint, credentials.createInsecure(), options);
    this.watch = new WatchClient(this.endpoint, credentials.createInsecure(), options);
  }

  get pid(): number {
    return this.etcd.pid;
  }

  async kill9(): Promise<void> {
    process.kill(this.etcd.pid, "SIGKILL");
    await this.etcd.stop();
  }

  async start(): Promise<void> {
    this.etcd = await this.startOn(Number(this.endpoint.split(":")[1]));
  }

  backUp(): Promise<void> {
    return cp(this.dataDir, this.backUpDir, { recursive: true });
  }

  async restore(): Promise<void> {
    await rm(this.dataDir, { recursive: true });
    await rename(this.backUpDir, this.dataDir);
  }

  private get backUpDir(): string {
    return `${this.dataDir}-backup`;
  }

  async countKeys(prefix = ""): Promise<number> {
    const keys = await this.readKeys(prefix);
    return keys.filter(({ key }) => !isServerKey(key) && !isStoreKey(key)).length;
  }

  async serverKeys(): Promise<readonly string[]> {
    return (await this.readKeys("")).filter(({ key }) => isServerKey(key)).map(({ key }) => key.toString());
  }

  private readKeys(prefix: string): Promise<readonly KeyValue[]> {
    const key = Buffer.from(prefix || "\0");
    const rangeEnd = Buffer.from(prefix ? `${prefix.slice(0, -1)}${successor(prefix.at(-1)!)}` : "\0");
    const request = RangeRequest.fromPartial({ key, rangeEnd });
    return new Promise((resolve, reject) => {
      this.kv.range(request, (error, response) => (error ? reject(error) : resolve(response.kvs)));
    });
  }

  revision(): Promise<number> {
    const request = RangeRequest.fromPartial({ key: Buffer.from("\0"), countOnly: true });
    return new Promise((resolve, reject) => {
      this.kv.range(request, (error, response) => (error ? reject(error) : resolve(Number(response.header!.revision))));
    });
  }

  async writesSince(revision: number): Promise<number> {
    const last = await this.revision();
    if (last === revision) return 0;
    const [key, startRevision] = [Buffer.from("\0"), BigInt(revision + 1)];
    const stream = this.watch.watch();
    stream.on("error", () => undefined);
    const value = WatchCreateRequest.fromPartial({ key, rangeEnd: key, startRevision });
    stream.write({ requestUnion: { $case: "createRequest", value } });
    const written = new Set<bigint>();
    for await (const { events, canceled, cancelReason } of stream as AsyncIterable<WatchResponse>) {
      if (canceled) throw new Error(`etcd does not tell what was written: ${cancelReason}`);
      const keys = events.map(({ kv }) => kv!);
      for (const kv of keys) if (!isServerKey(kv.key) && !isStoreKey(kv.key)) written.add(kv.modRevision);
      if (keys.some(({ modRevision }) => Number(modRevision) >= last)) break;
    }
    stream.cancel();
    return written.size;
  }

  async countLeases(): Promise<number> {
    const leases = await new Promise<readonly bigint[]>((resolve, reject) => {
      this.lease.leaseLeases({}, (error, response) =>
        error ? reject(error) : resolve(response.leases.map(({ ID }) => ID)),
      );
    });
    const servers = (await this.readKeys("")).filter(({ key }) => isServerKey(key)).map(({ lease }) => lease);
    return leases.filter((id) => !servers.includes(id)).length;
  }

  put(key: string, value: Uint8Array): Promise<void> {
    const request = PutRequest.create({ key: Buffer.from(key), value: Buffer.from(value) });
    return new Promise((resolve, reject) => this.kv.put(request, (error) => (error ? reject(error) : resolve())));
  }

  remove(key: string): Promise<void> {
    const request = DeleteRangeRequest.create({ key: Buffer.from(key) });
    return new Promise((resolve, reject) => {
      this.kv.deleteRange(request, (error) => (error ? reject(error) : resolve()));
    });
  }

  compact(revision: number): Promise<void> {
    const request = { revision: BigInt(revision), physical: true };
    return new Promise((resolve, reject) => this.kv.compact(request, (error) => (error ? reject(error) : resolve())));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kv.close();
    this.lease.close();
    this.watch.close();
    await this.etcd.stop();
    await rm(this.dataDir, { recursive: true });
    await rm(this.backUpDir, { recursive: true, force: true });
  }
}

/** Whether a key, below whatever prefix, is that of a server: its last part is an id, and not a claim's number. */
const isServerKey = (key: Buffer) => /(^|\/)server\/[\w-]{22}$/.test(key.toString());

/** Whether it is the one by which servers notice that etcd was restored: it stays. */
const isStoreKey = (key: Buffer) => /(^|\/)store$/.test(key.toString());

const successor = (character: string) => String.fromCharCode(character.charCodeAt(0) + 1);
