import { once } from "node:events";
import { type AddressInfo, createServer, type Server, Socket } from "node:net";

/** A TCP relay that can fail in the ways in which networks do. */
export interface Relay extends AsyncDisposable {
  /** "127.0.0.1:port": connect here instead of to the target. */
  readonly endpoint: string;
  readonly connectionCount: number;
  /** Breaks all connections, and refuses new ones until `mend`. */
  cut(): void;
  /** Lets nothing through, in either direction, with connections open; what was sent meanwhile comes after `mend`. */
  blackHole(): void;
  /** Lets nothing more through the connections that are open, and says nothing of it; new ones are sound. */
  stall(): void;
  /** Loses all that comes back; what is sent arrives. */
  dropReplies(): void;
  /** Lets everything through, in either direction, only so much later. */
  delay(ms: number): void;
  /** How many pieces are under way that were delayed. */
  readonly delayedCount: number;
  /** Lets everything through again. Connections whose replies were lost are broken: their bytes are gone. */
  mend(): void;
  /** Resolves when there are no connections. */
  idle(): Promise<void>;
}

/** Starts a relay to "host:port" on a free port of 127.0.0.1, or of another address of this machine. */
export async function startRelay(target: string, host = "127.0.0.1"): Promise<Relay> {
  const server = createServer();
  server.listen(0, host);
  await once(server, "listening");
  return new TcpRelay(server, target, host);
}

type Mode = "through" | "cut" | "black-hole" | "drop-replies";

class TcpRelay implements Relay {
  readonly endpoint: string;
  private readonly server: Server;
  private readonly pairs = new Set<Pair>();
  private mode: Mode = "through";
  private delayMs = 0;
  private onIdle: (() => void)[] = [];

  constructor(server: Server, target: string, listenHost: string) {
    this.server = server;
    this.endpoint = `${listenHost}:${(server.address() as AddressInfo).port}`;
    const [host = "", port = ""] = target.split(":");
    server.on("connection", (client) => {
      if (this.mode === "cut") {
        client.destroy();
        return;
      }
      const upstream = new Socket();
      upstream.connect(Number(port), host);
      const pair = new Pair(client, upstream, () => this.forget(pair));
      this.pairs.add(pair);
      pair.setMode(this.mode);
      pair.delayMs = this.delayMs;
    });
  }

  get connectionCount(): number {
    return this.pairs.size;
  }

  get delayedCount(): number {
    return [...this.pairs].reduce((sum, { delayedCount }) => sum + delayedCount, 0);
  }

  cut(): void {
    this.mode = "cut";
    for (const pair of this.pairs) pair.destroy();
  }

  blackHole(): void {
    this.setMode("black-hole");
  }

  stall(): void {
    for (const pair of this.pairs) pair.setMode("black-hole");
  }

  dropReplies(): void {
    this.setMode("drop-replies");
  }

  delay(ms: number): void {
    this.delayMs = ms;
    for (const pair of this.pairs) pair.delayMs = ms;
  }

  mend(): void {
    this.delay(0);
    this.setMode("through");
  }

  async idle(): Promise<void> {
    while (this.pairs.size > 0) await new Promise<void>((resolve) => this.onIdle.push(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, "close");
  }

  private setMode(mode: Mode): void {
    this.mode = mode;
    for (const pair of this.pairs) pair.setMode(mode);
  }

  private forget(pair: Pair): void {
    this.pairs.delete(pair);
    if (this.pairs.size > 0) return;
    for (const resolve of this.onIdle.splice(0)) resolve();
  }
}

/** One connection, and the one behind it. */
class Pair {
  private readonly client: Socket;
  private readonly upstream: Socket;
  delayMs = 0;
  private dropping = false;
  private hasDropped = false;
  private readonly lanes: readonly Lane[];

  constructor(client: Socket, upstream: Socket, onClose: () => void) {
    this.client = client;
    this.upstream = upstream;
    const toUpstream = new Lane(upstream);
    const toClient = new Lane(client);
    this.lanes = [toUpstream, toClient];
    client.on("data", (chunk) => toUpstream.send(chunk, this.delayMs));
    upstream.on("data", (chunk) => {
      if (!this.dropping) toClient.send(chunk, this.delayMs);
      else this.hasDropped = true;
    });
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      socket.on("error", () => this.destroy());
      socket.on("close", () => this.destroy());
    }
    client.once("close", onClose);
  }

  get delayedCount(): number {
    return this.lanes.reduce((sum, { waitingCount }) => sum + waitingCount, 0);
  }

  setMode(mode: Mode): void {
    this.dropping = mode === "drop-replies";
    if (mode === "through" && this.hasDropped) this.destroy();
    for (const socket of [this.client, this.upstream]) {
      if (mode === "black-hole") socket.pause();
      else socket.resume();
    }
  }

  destroy(): void {
    this.client.destroy();
    this.upstream.destroy();
  }
}

/** One direction of a connection: what is delayed keeps its order, also when the delay becomes shorter. */
class Lane {
  private readonly to: Socket;
  private readonly queue: { readonly chunk: Buffer; readonly dueMs: number }[] = [];

  constructor(to: Socket) {
    this.to = to;
  }

  get waitingCount(): number {
    return this.queue.length;
  }

  send(chunk: Buffer, delayMs: number): void {
    if (delayMs === 0 && this.queue.length === 0) {
      this.to.write(chunk);
      return;
    }
    this.queue.push({ chunk, dueMs: performance.now() + delayMs });
    if (this.queue.length === 1) this.wait();
  }

  private wait(): void {
    setTimeout(() => this.deliver(), Math.max(0, this.queue[0]!.dueMs - performance.now()));
  }

  private deliver(): void {
    const { chunk } = this.queue.shift()!;
    if (this.to.destroyed) {
      this.queue.length = 0;
      return;
    }
    this.to.write(chunk);
    if (this.queue.length > 0) this.wait();
  }
}
