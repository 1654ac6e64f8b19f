import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";

/** The last byte of the address of whoever runs the episode; what it starts has others. */
const HUB = 1;
const address = (number: number): string => `10.77.0.${number}`;

/**
 * Machines on one network, each a network namespace with an address of its own, on a bridge in the namespace of this
 * process. For a process that has such a namespace to itself: nothing outside is touched, and all of it goes with the
 * process.
 */
export class Network {
  /** Where what runs in this process itself is reached. */
  readonly hub = address(HUB);
  private readonly machines = new Map<string, Machine>();

  constructor() {
    ip("link", "set", "lo", "up");
    ip("link", "add", "bridge", "type", "bridge");
    ip("addr", "add", `${this.hub}/24`, "dev", "bridge");
    ip("link", "set", "bridge", "up");
  }

  /** Adds a machine. `number`: from 2 to 254, the last byte of its address. */
  async add(name: string, number: number): Promise<Machine> {
    const machine = await Machine.start(name, address(number));
    this.machines.set(name, machine);
    return machine;
  }

  machine(name: string): Machine {
    return this.machines.get(name)!;
  }

  /** Sees once that what is cut is cut, and mended when it is mended; rejects if it is not so. */
  async prove(): Promise<void> {
    const [machine] = this.machines.values();
    const server = createServer((socket) => socket.end());
    server.listen(0, this.hub);
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const expect = async (what: string, reached: boolean): Promise<void> => {
      // The first after a cut may be told that nobody has the address: what was asked meanwhile is answered late.
      for (let attempt = 0; attempt < 20; attempt++) if ((await machine!.reaches(this.hub, port)) === reached) return;
      throw new Error(`${machine!.name} ${what}, and it ${reached ? "does not reach" : "reaches"} the hub`);
    };
    await expect("was added", true);
    machine!.unplug();
    await expect("was unplugged", false);
    machine!.plugIn();
    await expect("was plugged in again", true);
    machine!.loseAllTo(this.hub);
    await expect("loses what it sends", false);
    machine!.mend();
    await expect("was mended", true);
    server.close();
  }

  /** Everything gets through again. */
  mend(): void {
    for (const machine of this.machines.values()) {
      machine.plugIn();
      machine.mend();
    }
  }
}

/** A network namespace with one cable. */
export class Machine {
  readonly name: string;
  readonly address: string;
  private readonly namespace: string;
  private readonly unreachable = new Set<string>();
  private isPluggedIn = true;

  private constructor(name: string, ownAddress: string, holderPid: number) {
    this.name = name;
    this.address = ownAddress;
    this.namespace = `/proc/${holderPid}/ns/net`;
  }

  static async start(name: string, ownAddress: string): Promise<Machine> {
    // The namespace is there for as long as a process is in it, and this one says when it is.
    const holder = spawn("unshare", ["--net", "sh", "-c", "echo; exec sleep infinity"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    await new Promise((resolve, reject) => {
      holder.stdout.once("data", resolve);
      holder.once("exit", () => reject(new Error("no network namespace could be made: this needs root")));
    });
    // What it holds is not to hold this process.
    holder.unref();
    holder.stdout.destroy();
    const machine = new Machine(name, ownAddress, holder.pid!);
    const peer = ["peer", "name", "eth0", "netns", String(holder.pid)];
    ip("link", "add", name, "type", "veth", ...peer);
    ip("link", "set", name, "master", "bridge", "up");
    machine.inside("ip", "link", "set", "lo", "up");
    machine.inside("ip", "addr", "add", `${ownAddress}/24`, "dev", "eth0");
    machine.inside("ip", "link", "set", "eth0", "up");
    return machine;
  }

  /** The command that runs a command on this machine, as the same process. */
  command(command: readonly string[]): string[] {
    return ["nsenter", `--net=${this.namespace}`, ...command];
  }

  /** Nothing comes or goes; connections stay open. */
  unplug(): void {
    this.isPluggedIn = false;
    ip("link", "set", this.name, "down");
  }

  plugIn(): void {
    if (this.isPluggedIn) return;
    this.isPluggedIn = true;
    ip("link", "set", this.name, "up");
  }

  /** What this machine sends to another one is lost. What that one sends arrives. */
  loseAllTo(other: string): void {
    if (this.unreachable.has(other)) return;
    this.unreachable.add(other);
    this.inside("ip", "route", "add", "blackhole", `${other}/32`);
  }

  /** Nothing that it sends is lost any more, if it is plugged in. */
  mend(): void {
    for (const other of this.unreachable) this.inside("ip", "route", "del", "blackhole", `${other}/32`);
    this.unreachable.clear();
  }

  /** Whether a connection can be made from here. */
  async reaches(host: string, port: number): Promise<boolean> {
    const connect = ["timeout", "3", "bash", "-c", `exec 3<>/dev/tcp/${host}/${port}`];
    const [file, ...args] = this.command(connect);
    const [code] = await once(spawn(file!, args, { stdio: "ignore" }), "exit");
    return code === 0;
  }

  private inside(...command: string[]): void {
    const [file, ...args] = this.command(command);
    execFileSync(file!, args);
  }
}

function ip(...args: string[]): void {
  execFileSync("ip", args);
}
