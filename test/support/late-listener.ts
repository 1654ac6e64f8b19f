import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** Longer than what grpc-js waits before it tries again for the first time. */
const LISTENS_MS = 1_500;

/**
 * How many connections are made to an address after `use` has found that nobody listens there: it is given the address,
 * and what listens there begins right after it has resolved.
 */
export async function connectionsAfter(use: (address: string) => Promise<unknown>): Promise<number> {
  const { port } = await listening(0, () => undefined).then(close);
  await use(`127.0.0.1:${port}`);
  let count = 0;
  const server = await listening(port, (socket) => {
    count++;
    socket.destroy();
  });
  await delay(LISTENS_MS);
  await close(server);
  return count;
}

async function listening(port: number, connected: (socket: Socket) => void): Promise<Server> {
  const server = createServer(connected).listen(port, "127.0.0.1");
  await once(server, "listening");
  return server;
}

async function close(server: Server): Promise<AddressInfo> {
  const address = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return address;
}
