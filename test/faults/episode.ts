import { appendFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { ConnectOptions } from "../../clients/typescript/src/index.ts";
import { eventually } from "../support/eventually.ts";
import { monotonicMs } from "../support/monotonic.ts";
import { Random } from "../support/random.ts";
import { type Relay, startRelay } from "../support/relay.ts";
import { Auditor } from "./auditor.ts";
import { FleetClient, Registers } from "./client-fleet.ts";
import type { Load } from "./client-log.ts";
import { EtcdCluster } from "./etcd-cluster.ts";
import type { Service } from "./faults.ts";
import { type History, readHistory } from "./history.ts";
import { auditGrants, judgeHistory, type Verdict } from "./judge.ts";
import type { Network } from "./network.ts";
import { FleetServer } from "./server-fleet.ts";
import type { Finding } from "./true-queues.ts";

const MEMBERS = 3;
const SERVERS = 3;
const CLIENTS = 4;
const CLOCK_AHEAD_S = 1000;
/** The key by which servers notice that etcd was restored stays when all others have gone. */
const STORE_RECORD = 1;
/** Calls that a server without sessions has pending, at most: it has 14, a run has hundreds of sessions and claims. */
const OWN_TIMERS = 25;
/** All is well again: within this time everybody has got what they waited for, and nothing is left. */
const COMES_RIGHT_WITHIN_MS = 90_000;

/** What an episode is made of. */
export interface EpisodeOptions {
  readonly seed: number;
  readonly network: Network;
  /** For data and logs; made by the episode. */
  readonly folder: string;
  readonly etcd: string;
  readonly porcupine: string;
  /** The client program in Go, for the last client where the load is one that it knows. */
  readonly goClient: string;
  readonly load: (client: number) => Load;
  /** The least TTL of a client, for those that are to lose nothing. Default: 5,000. */
  readonly leastTtlMs?: number | undefined;
  /** What is done while there is load. All that it did wrong is made right afterwards, by itself or by this. */
  readonly torment: (episode: Episode) => Promise<void>;
}

export interface EpisodeResult {
  readonly seed: number;
  readonly findings: readonly Finding[];
  /** How often what occurred. */
  readonly counts: ReadonlyMap<string, number>;
  readonly verdict: Verdict;
  readonly history: History;
}

/** Names the machines of all episodes on a network. */
export async function addMachines(network: Network): Promise<void> {
  for (let i = 1; i <= MEMBERS; i++) await network.add(`etcd${i}`, 10 + i);
  for (let i = 1; i <= SERVERS; i++) await network.add(`server${i}`, 20 + i);
  for (let i = 1; i <= CLIENTS; i++) await network.add(`client${i}`, 30 + i);
}

/** One life of the whole service: it starts, is tormented, is healed, comes right, ends, and is judged. */
export class Episode implements Service {
  readonly random: Random;
  readonly registers = new Registers();
  readonly findings: Finding[] = [];
  readonly counts = new Map<string, number>();
  readonly etcdRelays: Relay[] = [];
  readonly serverRelays: Relay[] = [];
  readonly servers: FleetServer[] = [];
  readonly clients: FleetClient[] = [];
  etcd!: EtcdCluster;
  auditor!: Auditor;
  private readonly options: EpisodeOptions;

  private constructor(options: EpisodeOptions) {
    this.options = options;
    this.random = new Random(options.seed);
  }

  /** Runs an episode to its end. Rejects only if it could not be set up. */
  static async run(options: EpisodeOptions): Promise<EpisodeResult> {
    mkdirSync(options.folder, { recursive: true });
    const episode = new Episode(options);
    try {
      await episode.start();
      await options.torment(episode);
      await episode.comeRight();
      return episode.judge();
    } finally {
      await episode.end();
    }
  }

  count(what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by);
  }

  /** Writes down what is done, by the clock of the clients' logs. */
  log(what: string): void {
    appendFileSync(join(this.options.folder, "faults.log"), `${monotonicMs().toFixed(1)} ${what}\n`);
  }

  found(what: string, detail: string): void {
    this.findings.push({ what, detail });
  }

  /** What the clients have written down by now. */
  history(): History {
    return readHistory(this.clients.flatMap(({ runs }) => runs));
  }

  private async start(): Promise<void> {
    const { network, etcd, folder } = this.options;
    const machines = (kind: string, n: number) =>
      Array.from({ length: n }, (_, i) => network.machine(`${kind}${i + 1}`));
    this.etcd = await EtcdCluster.start(machines("etcd", MEMBERS), etcd, folder);
    this.auditor = new Auditor(this.etcd, monotonicMs);
    const ahead = { server: this.random.below(SERVERS), client: this.random.below(CLIENTS) };
    for (const [i, machine] of machines("server", SERVERS).entries()) {
      const members = this.etcd.members.map(({ endpoint }) => endpoint);
      // One reaches etcd itself, the others through what can lose and delay.
      const endpoints = i === 0 ? members : await this.relaysTo(members, this.etcdRelays);
      const clockAheadS = i === ahead.server ? CLOCK_AHEAD_S : 0;
      this.servers.push(new FleetServer(machine, endpoints, folder, clockAheadS));
    }
    for (const server of this.servers) server.start();
    for (const server of this.servers) await server.serves(30_000);
    for (const [i, machine] of machines("client", CLIENTS).entries()) {
      const direct = this.servers.map(({ address }) => address);
      const addresses = i % 2 === 0 ? direct : await this.relaysTo(direct, this.serverRelays);
      const clockAheadS = i === ahead.client ? CLOCK_AHEAD_S : 0;
      const { seed } = this.options;
      const { registers } = this;
      const load = this.options.load(i);
      const options = this.clientOptions(i);
      const isGo = i === CLIENTS - 1 && load.kind === "mixed";
      const binary = isGo ? this.options.goClient : undefined;
      const about = { addresses, options, load, clockAheadS, folder, seed: seed * 10 + i, registers, binary };
      this.clients.push(new FleetClient(machine, about));
    }
    for (const client of this.clients) client.start();
    await eventually(() => this.clients.every(({ isAtWork }) => isAtWork), true, 60_000);
    // Those that are to be gone at the end are seen while they are there.
    await eventually(() => this.servers.some(({ connections }) => connections.length > 0), true, 60_000);
    this.count("monotonic clock of a server shifted");
    this.count("monotonic clock of a client shifted");
  }

  private clientOptions(i: number): ConnectOptions {
    const ttlMs = (this.options.leastTtlMs ?? 5000) + this.random.below(4) * 1000;
    const leavesAtOnce = this.options.load(i).kind === "mixed" && i === CLIENTS - 2 && this.random.happens(0.3);
    return { ttlMs, clientName: `client${i + 1}`, ...(leavesAtOnce ? { onDisconnect: "release" } : {}) };
  }

  private async relaysTo(targets: readonly string[], list: Relay[]): Promise<string[]> {
    const relays = await Promise.all(targets.map((target) => startRelay(target, this.options.network.hub)));
    list.push(...relays);
    return relays.map(({ endpoint }) => endpoint);
  }

  /** Everything is well again: everybody gets what they wait for, leaves, and leaves nothing behind. */
  private async comeRight(): Promise<void> {
    this.log("all is well again");
    this.options.network.mend();
    for (const relay of [...this.etcdRelays, ...this.serverRelays]) relay.mend();
    for (const part of [...this.etcd.members, ...this.servers, ...this.clients]) {
      part.signal("SIGCONT");
      part.start();
    }
    await this.expect("ETCD-STAYS-AWAY", () => this.etcd.answers(COMES_RIGHT_WITHIN_MS));
    for (const server of this.servers)
      await this.expect("SERVER-STAYS-AWAY", () => server.serves(COMES_RIGHT_WITHIN_MS));
    for (const client of this.clients) client.order({ kind: "finish" });
    for (const client of this.clients) {
      const how = await client.endsWithin(COMES_RIGHT_WITHIN_MS);
      if (how === undefined) this.found("STUCK", `${client.run.name}: ${this.pendingOf(client)}`);
      else if (how !== 0) this.found("CLIENT-FAILED", `${client.run.name} ended with ${how}: see its log`);
      await client.kill9();
    }
    await this.expect("LEFTOVER", () =>
      eventually(
        () => this.remains(),
        { claims: 0, sessions: 0, leases: 0, connections: [], timers: [] },
        COMES_RIGHT_WITHIN_MS,
      ),
    );
    for (const server of this.servers) {
      const code = await server.stop();
      if (code !== 0) this.found("SERVER-FAILED", `${server.machine.name} ended with ${code}: see its log`);
    }
    await this.expect("LEFTOVER", () =>
      eventually(
        async () => [(await this.member.countKeys("holdfast/")) - STORE_RECORD, await this.member.countLeases()],
        [0, 0],
        30_000,
      ),
    );
    for (const relay of [...this.etcdRelays, ...this.serverRelays])
      if (relay.connectionCount > 0) this.found("LEFTOVER", `${relay.connectionCount} connections`);
    await this.auditor.close();
    if (!this.auditor.queues.isEmpty) this.found("LEFTOVER", "the auditor still sees keys");
  }

  private get member() {
    return this.etcd.members[0]!;
  }

  /** What clients have left in etcd and at servers; servers have leases of their own. */
  private async remains() {
    const [claims, sessions, servers, leases] = await Promise.all([
      this.member.countKeys("holdfast/claim/"),
      this.member.countKeys("holdfast/session/"),
      this.member.countKeys("holdfast/server/"),
      this.member.countLeases(),
    ]);
    const connections = this.servers.flatMap((server) => server.connections);
    const timers = await Promise.all(this.servers.map((server) => server.timers()));
    const left = timers.filter((count) => !(count <= OWN_TIMERS));
    return { claims, sessions, leases: Math.max(0, leases - servers), connections, timers: left };
  }

  private pendingOf({ run }: FleetClient): string {
    const pending = readHistory([run]).claims.filter(
      ({ granted, refused }) => granted === undefined && refused === undefined,
    );
    const wanted = pending.map(({ op, locks }) => `op ${op} wants ${locks.map(({ name }) => name).join()}`);
    return wanted.join("; ") || "waits for none of its claims";
  }

  private async expect(what: string, act: () => Promise<unknown>): Promise<void> {
    await act().catch((error: Error) => this.found(what, error.message));
  }

  private judge(): EpisodeResult {
    const { seed, folder, porcupine } = this.options;
    const history = this.history();
    const { queues } = this.auditor;
    const grants = auditGrants(history, queues, (revision) => this.auditor.committedAfterMs(revision));
    const verdict = judgeHistory(history, porcupine, join(folder, "porcupine"));
    for (const object of verdict.illegal) this.found("NOT-LINEARIZABLE", object);
    for (const object of verdict.unknown) this.found("NOT-JUDGED", object);
    this.countWhatOccurred(history);
    const ofGo = history.claims.filter(({ run, granted }) => run.isGo && granted !== undefined);
    this.count("claim granted to the Go client", ofGo.length);
    this.count("grants audited", grants.audited);
    this.count("grants told before they can have been entitled in etcd (early hand-off)", grants.early);
    for (const [what, by] of Object.entries(queues.counts)) this.count(`etcd: ${what}`, by);
    return {
      seed,
      findings: [...this.findings, ...queues.findings, ...grants.findings],
      counts: this.counts,
      verdict,
      history,
    };
  }

  private countWhatOccurred({ claims, touches }: History): void {
    for (const { granted, refused, lost, releases, cancelledAtMs } of claims) {
      if (granted !== undefined) this.count("claim granted");
      if (refused !== undefined) this.count(`claim refused: ${refused.reason}`);
      if (cancelledAtMs !== undefined) this.count("claim cancelled");
      if (lost !== undefined) this.count(`claim lost: ${lost.reason}`);
      if (releases?.how === "close") this.count("session closed while holding");
    }
    for (const { answered } of touches)
      if (answered !== undefined)
        this.count(answered.accepted ? "register touched" : "late touch refused by the register");
    for (const server of this.servers) {
      this.count("server found no etcd at its start and gave up", server.gaveUp);
      this.countInLog(server.logFile, SAID_BY_SERVERS);
    }
    for (const member of this.etcd.members) this.countInLog(member.logFile, SAID_BY_ETCD);
  }

  private countInLog(logFile: string, texts: readonly (readonly [text: string, name: string])[]): void {
    const log = readFileSync(logFile, "utf8");
    for (const [text, name] of texts) this.count(name, log.split(text).length - 1);
  }

  private async end(): Promise<void> {
    await Promise.all([...this.clients, ...this.servers].map((part) => part.kill9()));
    for (const relay of [...this.etcdRelays, ...this.serverRelays]) await relay[Symbol.asyncDispose]();
    await this.etcd?.[Symbol.asyncDispose]();
    // Sockets of processes that were killed close a moment later.
    await delay(0);
  }
}

/** What logs say of faults that were felt. */
const SAID_BY_SERVERS = [
  ['"watch.broken"', "watch of a server broken and replaced"],
  ['"watch.compacted"', "watch of a server compacted away"],
  ['"renewals.broken"', "stream of renewals broken and replaced"],
  ['"engine.paused"', "pause of a server noticed by itself"],
  ['"table.resynced"', "table of a server synced anew"],
] as const;
const SAID_BY_ETCD = [
  ["slow fdatasync", "slow disk noticed by etcd"],
  ["input/output error", "failing disk noticed by etcd, which ends for it"],
] as const;
