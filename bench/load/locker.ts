import { connect, type LockTarget } from "../../clients/typescript/src/index.ts";
import { connections } from "./connections.ts";
import { StubSession } from "./stub-session.ts";

/** One session of whatever takes locks. */
export interface Locker {
  acquire(target: LockTarget | readonly LockTarget[]): Promise<Held>;
  close(): Promise<void>;
}

export interface Held {
  /** The fencing token; 0n from a system that has none. */
  readonly token: bigint;
  release(): Promise<unknown>;
}

/**
 * How locks are taken: by the TypeScript client as a program would; by bare stubs, so that the client's own cost
 * can be told apart; or, in etcd itself, by npm's `etcd3`.
 */
export type Way = "client" | "stub" | "etcd3";

/** So many calls one connection carries for stubs, as for the peers in Go. A client has a connection of its own. */
const PER_CONNECTION = 64;

/** Opens sessions at `address`: a Holdfast server, or for `etcd3` an etcd. */
export async function openLockers(way: Way, address: string, count: number): Promise<readonly Locker[]> {
  if (way === "etcd3") return Promise.all(Array.from({ length: count }, () => etcd3Locker(address)));
  if (way === "client") {
    const clients = Array.from({ length: count }, () => connect(address));
    await Promise.all(clients.map((client) => client.ready()));
    return clients;
  }
  const stubs = connections(address, Math.ceil(count / PER_CONNECTION));
  return Promise.all(
    Array.from({ length: count }, (_, i) => StubSession.open(stubs[i % stubs.length]!, { liveness: "transport" })),
  );
}

/** A lock of `etcd3` is a lease of its own each time, and fails at once if it is taken: only for names of one's own. */
async function etcd3Locker(endpoint: string): Promise<Locker> {
  // Takes longer to load than everything else together, and only one of the ways needs it.
  const { Etcd3 } = await import("etcd3");
  const client = new Etcd3({ hosts: `http://${endpoint}` });
  return {
    async acquire(target) {
      const [name] = [target].flat();
      if (typeof name !== "string") throw new Error("etcd3 has exclusive locks only");
      const lock = await client.lock(name).ttl(60).acquire();
      return { token: 0n, release: () => lock.release() };
    },
    async close() {
      client.close();
    },
  };
}
