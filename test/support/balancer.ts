import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/**
 * A load balancer of the plainest kind: takes TCP connections and passes each on to the next of its targets in turn, or
 * to the one after it where nobody listens. It reads nothing of what passes.
 */
export class Balancer implements AsyncDisposable {
  /** "127.0.0.1:port". */
  endpoint = "";
  /** "host:port" each. */
  targets: readonly string[];
  /** How many connections each target was given. */
  readonly given = new Map<string, number>();
  readonly #server = createServer({ noDelay: true }, (client) => this.#pass(client, this.targets.length));
  readonly #clients = new Set<Socket>();
  #next = 0;

  private constructor(targets: readonly string[]) {
    this.targets = targets;
  }

  /** Starts on a free port of loopback. */
  static async start(targets: readonly string[]): Promise<Balancer> {
    const balancer = new Balancer(targets);
    balancer.#server.listen(0, "127.0.0.1");
    await once(balancer.#server, "listening");
    balancer.endpoint = `127.0.0.1:${(balancer.#server.address() as AddressInfo).port}`;
    return balancer;
  }

  /** Half-closes all connections towards the servers, as proxies do with connections that they think idle. */
  halfClose(): void {
    for (const client of this.#clients) client.emit("half-close");
  }

  #pass(client: Socket, left: number): void {
    const target = this.targets[this.#next++ % this.targets.length]!;
    const [host, port] = target.split(":") as [string, string];
    const server = connect({ host, port: Number(port), noDelay: true, allowHalfOpen: true });
    server.once("error", () => {
      if (server.readyState === "open" || left <= 1) client.destroy();
      else this.#pass(client, left - 1);
    });
    server.once("connect", () => {
      this.given.set(target, (this.given.get(target) ?? 0) + 1);
      this.#clients.add(client);
      client.on("half-close", () => server.end());
      client.pipe(server).pipe(client);
      const end = () => {
        this.#clients.delete(client);
        for (const socket of [client, server]) socket.destroy();
      };
      for (const socket of [client, server]) socket.on("error", end).on("close", end);
    });
    client.on("error", () => server.destroy());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
