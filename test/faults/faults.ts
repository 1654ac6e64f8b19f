import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { Random } from "../support/random.ts";
import type { Relay } from "../support/relay.ts";
import type { Auditor } from "./auditor.ts";
import type { FleetClient } from "./client-fleet.ts";
import type { EtcdCluster, EtcdMember } from "./etcd-cluster.ts";
import type { Machine } from "./network.ts";
import type { FleetServer } from "./server-fleet.ts";

/** Everything that faults can be done to. */
export interface Service {
  readonly etcd: EtcdCluster;
  readonly servers: readonly FleetServer[];
  readonly clients: readonly FleetClient[];
  /** Between servers and members of etcd. */
  readonly etcdRelays: readonly Relay[];
  /** Between clients and servers. */
  readonly serverRelays: readonly Relay[];
  readonly auditor: Auditor;
}

/** Something wrong for a while. */
export interface Fault {
  /** What, and to which kind of part: the name under which it is counted. */
  readonly name: string;
  /** To which one. No two faults are done to one target at a time. */
  readonly target: string;
  readonly forMs: number;
  begin(): void | Promise<void>;
  end(): void | Promise<void>;
}

/** Who is to be hit while it holds something must do so in that time, or is hit anyway. */
const INSIDE_WITHIN_MS = 1000;

/** What can go wrong; each entry chooses a target and a length. */
const KINDS: readonly ((service: Service, random: Random) => Fault)[] = [
  ({ etcd }, random) => killMember("etcd killed", random.pick(etcd.members), between(random, 200, 4000)),
  ({ servers }, random) => {
    const server = random.pick(servers);
    return onServer(
      "server killed",
      server,
      between(random, 0, 3000),
      () => server.kill9(),
      () => server.start(),
    );
  },
  ({ clients }, random) => {
    const client = random.pick(clients.filter(({ isGo }) => !isGo));
    const killInside = async (): Promise<void> => {
      await client.isInside(INSIDE_WITHIN_MS);
      await client.kill9();
    };
    return onClient("client killed", client, between(random, 0, 500), killInside, () => client.start());
  },
  ({ etcd }, random) => {
    const member = random.pick(etcd.members);
    const [stop, go] = stopping(member);
    return onMember("etcd stopped", member, between(random, 500, 6000), stop, go);
  },
  ({ servers }, random) => {
    const server = random.pick(servers);
    const [stop, go] = stopping(server);
    return onServer("server stopped", server, between(random, 300, 8000), stop, go);
  },
  ({ clients }, random) => {
    const client = random.pick(clients.filter(({ isGo }) => !isGo));
    const [stop, go] = stopping(client);
    const stopInside = async (): Promise<void> => {
      await client.isInside(INSIDE_WITHIN_MS);
      await stop();
    };
    return onClient("client stopped", client, between(random, 500, 12_000), stopInside, go);
  },
  ({ etcd }, random) => unplugged("etcd isolated", random.pick(etcd.members).machine, between(random, 1000, 7000)),
  ({ servers }, random) => unplugged("server isolated", random.pick(servers).machine, between(random, 1000, 8000)),
  ({ clients }, random) => unplugged("client isolated", random.pick(clients).machine, between(random, 1000, 10_000)),
  ({ etcd }, random) => {
    const member = random.pick(etcd.members);
    const others = etcd.members.filter((each) => each !== member);
    const begin = (): void => {
      for (const { machine } of others) cutBetween(machine, member.machine);
    };
    const end = (): void => {
      for (const { machine } of etcd.members) machine.mend();
    };
    return onMember("etcd cut off from its peers, not from servers", member, between(random, 1000, 7000), begin, end);
  },
  ({ etcd, servers }, random) => {
    const { machine } = random.pick(servers);
    const to = random.pick(etcd.members).machine.address;
    return {
      name: "server to etcd cut without reset, one way",
      target: machine.name,
      forMs: between(random, 1000, 8000),
      begin: () => machine.loseAllTo(to),
      end: () => machine.mend(),
    };
  },
  ({ servers, clients }, random) => {
    const { machine } = random.pick(clients);
    const to = random.pick(servers).machine.address;
    return {
      name: "client to server cut without reset, one way",
      target: machine.name,
      forMs: between(random, 1000, 8000),
      begin: () => machine.loseAllTo(to),
      end: () => machine.mend(),
    };
  },
  ({ etcdRelays }, random) =>
    relayed("only replies of etcd lost", random.pick(etcdRelays), between(random, 500, 5000), (relay) =>
      relay.dropReplies(),
    ),
  ({ serverRelays }, random) =>
    relayed("only replies of a server lost", random.pick(serverRelays), between(random, 500, 5000), (relay) =>
      relay.dropReplies(),
    ),
  ({ etcdRelays }, random) => {
    const ms = between(random, 20, 400);
    return relayed("delay between server and etcd", random.pick(etcdRelays), between(random, 1000, 6000), (relay) =>
      relay.delay(ms),
    );
  },
  ({ serverRelays }, random) => {
    const ms = between(random, 20, 800);
    return relayed("delay between client and server", random.pick(serverRelays), between(random, 1000, 6000), (relay) =>
      relay.delay(ms),
    );
  },
  ({ serverRelays }, random) =>
    relayed("client and server in a black hole", random.pick(serverRelays), between(random, 1000, 9000), (relay) =>
      relay.blackHole(),
    ),
  ({ etcd }, random) => slowDisk(random.pick(etcd.members), between(random, 2500, 6000), between(random, 20, 1500)),
  ({ etcd }, random) => failingDisk(random.pick(etcd.members), between(random, 500, 3000)),
  ({ etcd }, random) =>
    repeated("leader of etcd moved every 2 s", "leader", between(random, 4000, 9000), 2000, () => etcd.moveLeader()),
  ({ etcd, auditor }, random) =>
    repeated("history of etcd compacted every 50 ms", "history", between(random, 1500, 6000), 50, () =>
      // One that is compacted already is refused, and so is everything while there is no leader.
      random
        .pick(etcd.members)
        .compact(auditor.revision)
        .catch(() => undefined),
    ),
  ({ servers }, random) => {
    const server = random.pick(servers);
    const block = () => server.signal("SIGUSR2");
    return onServer("event loop of a server blocked for 3 s", server, 3000, block, () => undefined);
  },
  ({ clients }, random) => {
    const client = random.pick(clients.filter(({ isGo }) => !isGo));
    const forMs = between(random, 300, 9000);
    const block = () => client.order({ kind: "block", forMs });
    return onClient("event loop of a client blocked", client, forMs, block, () => undefined);
  },
];

/** The names of all faults, in the order of the report. */
export function faultNames(service: Service, random: Random): string[] {
  return KINDS.map((kind) => kind(service, random).name);
}

/** Faults without end, by chance: each kind once before any comes again. */
export function* dealFaults(service: Service, random: Random): Generator<Fault, never> {
  for (;;) {
    const deck = [...KINDS];
    while (deck.length > 0) yield deck.splice(random.below(deck.length), 1)[0]!(service, random);
  }
}

const between = (random: Random, from: number, to: number): number => from + random.below(to - from);

type Act = () => void | Promise<void>;

const onServer = (name: string, { machine }: FleetServer, forMs: number, begin: Act, end: Act): Fault => ({
  name,
  target: machine.name,
  forMs,
  begin,
  end,
});

const onClient = (name: string, { machine }: FleetClient, forMs: number, begin: Act, end: Act): Fault => ({
  name,
  target: machine.name,
  forMs,
  begin,
  end,
});

const onMember = (name: string, { machine }: EtcdMember, forMs: number, begin: Act, end: Act): Fault => ({
  name,
  target: machine.name,
  forMs,
  begin,
  end,
});

const stopping = (part: { signal(signal: NodeJS.Signals): void }): [Act, Act] => [
  () => part.signal("SIGSTOP"),
  () => part.signal("SIGCONT"),
];

/** Kills a member of etcd, and starts it again afterwards. */
const killMember = (name: string, member: EtcdMember, forMs: number): Fault =>
  onMember(
    name,
    member,
    forMs,
    () => member.kill9(),
    () => member.start(),
  );

function unplugged(name: string, machine: Machine, forMs: number): Fault {
  return { name, target: machine.name, forMs, begin: () => machine.unplug(), end: () => machine.plugIn() };
}

function cutBetween(a: Machine, b: Machine): void {
  a.loseAllTo(b.address);
  b.loseAllTo(a.address);
}

function relayed(name: string, relay: Relay, forMs: number, begin: (relay: Relay) => void): Fault {
  return { name, target: relay.endpoint, forMs, begin: () => begin(relay), end: () => relay.mend() };
}

/** Delays what the member's disk has to confirm. */
function slowDisk(member: EtcdMember, forMs: number, byMs: number): Fault {
  const tracer = new Tracer(() => member.pid, `fdatasync:delay_enter=${byMs * 1000}`);
  return onMember(
    "slow disk of etcd",
    member,
    forMs,
    () => tracer.attach(),
    () => tracer.detach(),
  );
}

/** Has the member's disk refuse to confirm, for which etcd ends; then it is started again on a disk that is well. */
function failingDisk(member: EtcdMember, forMs: number): Fault {
  const tracer = new Tracer(() => member.pid, "fdatasync:error=EIO");
  const end = async (): Promise<void> => {
    await tracer.detach();
    member.start();
  };
  return onMember("failing disk of etcd", member, forMs, () => tracer.attach(), end);
}

/** strace, which changes what the kernel answers to a process. */
class Tracer {
  private readonly pid: () => number;
  private readonly injection: string;
  private ended: Promise<unknown> | undefined;
  private stop: () => void = () => undefined;

  constructor(pid: () => number, injection: string) {
    this.pid = pid;
    this.injection = injection;
  }

  attach(): void {
    const target = ["-f", "-p", String(this.pid())];
    const child = spawn("strace", [...target, "-e", "trace=fdatasync", "-e", `inject=${this.injection}`], {
      stdio: "ignore",
    });
    this.ended = once(child, "exit");
    this.stop = () => child.kill("SIGINT");
  }

  async detach(): Promise<void> {
    this.stop();
    await this.ended;
  }
}

/** Does something again and again. */
function repeated(name: string, target: string, forMs: number, everyMs: number, act: () => Promise<unknown>): Fault {
  let isOver = false;
  let running: Promise<void> = Promise.resolve();
  const run = async (): Promise<void> => {
    while (!isOver) {
      await act();
      await delay(everyMs);
    }
  };
  return {
    name,
    target,
    forMs,
    begin() {
      running = run();
    },
    end() {
      isOver = true;
      return running;
    },
  };
}
