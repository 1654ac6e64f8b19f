import { once } from "node:events";
import { type AddressInfo, createServer, type Server, Socket } from "node:net";

/** Tells, in every request between members of etcd, which one sent it. */
const SENDER = /^X-Server-From: ([0-9a-f]+)\r$/im;

interface Pair {
  readonly to: PeerPort;
  from: string | undefined;
  readonly sockets: readonly Socket[];
}

/** Where the other members reach one. */
export interface PeerPort {
  /** "127.0.0.1:port". */
  readonly endpoint: string;
  /** Where the member itself listens. */
  readonly port: number;
  /** Its id in hexadecimal, once it is known. */
  id: string | undefined;
}

/**
 * What lies between the members of a cluster: each is reached through a relay of its own, so that one can be cut off
 * from the others while its clients still reach it. Nothing is reset then: what was sent stays on the way.
 */
export class PeerNetwork implements AsyncDisposable {
  private readonly servers: Server[] = [];
  private readonly pairs = new Set<Pair>();
  private readonly cutOff = new Set<PeerPort>();

  /** A way to a member that listens, or will listen, on a port of 127.0.0.1. */
  async lead(port: number): Promise<PeerPort> {
    const server = createServer((socket) => this.connected(socket, to));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    this.servers.push(server);
    const to: PeerPort = { endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`, port, id: undefined };
    return to;
  }

  /** Lets nothing through from or to a member. */
  isolate(member: PeerPort): void {
    this.cutOff.add(member);
    for (const pair of this.pairs) this.stopIfCut(pair);
  }

  /** Lets everything through again. What was on the way is lost, with its connection. */
  rejoin(member: PeerPort): void {
    const cut = [...this.pairs].filter((pair) => this.isCut(pair));
    this.cutOff.delete(member);
    for (const pair of cut) if (!this.isCut(pair)) for (const socket of pair.sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { sockets } of this.pairs) for (const socket of sockets) socket.destroy();
    for (const server of this.servers) await new Promise((resolve) => server.close(resolve));
  }

  private connected(socket: Socket, to: PeerPort): void {
    const upstream = new Socket();
    const pair: Pair = { to, from: undefined, sockets: [socket, upstream] };
    this.pairs.add(pair);
    for (const each of pair.sockets) {
      each.setNoDelay(true);
      each.on("error", () => undefined);
      each.once("close", () => {
        this.pairs.delete(pair);
        for (const other of pair.sockets) other.destroy();
      });
    }
    socket.once("data", (first: Buffer) => {
      socket.pause();
      pair.from = SENDER.exec(first.toString("latin1"))?.[1];
      upstream.connect(to.port, "127.0.0.1");
      upstream.write(first);
      socket.pipe(upstream).pipe(socket);
      this.stopIfCut(pair);
    });
  }

  private isCut({ to, from }: Pair): boolean {
    return [...this.cutOff].some((member) => member === to || member.id === from);
  }

  private stopIfCut(pair: Pair): void {
    if (!this.isCut(pair)) return;
    const [socket, upstream] = pair.sockets as [Socket, Socket];
    socket.unpipe(upstream);
    upstream.unpipe(socket);
    for (const each of pair.sockets) each.pause();
  }
}
