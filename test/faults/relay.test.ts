import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { expect, it } from "vitest";
import { startRelay } from "../support/relay.ts";

const DELAY_MS = 150;

/** Sends and resolves with what came back, as soon as it is as long as what is wanted. */
async function echoed(socket: Socket, wanted: string): Promise<void> {
  let text = "";
  while (text.length < wanted.length) text += String((await once(socket, "data"))[0]);
  expect(text).toBe(wanted);
}

it("a relay that delays keeps the order of what it delays, also when the delay ends", async () => {
  const server = createServer((socket) => void socket.pipe(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  await using relay = await startRelay(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  const [host, port] = relay.endpoint.split(":");
  const socket = connect(Number(port), host!);
  socket.write("a");
  await echoed(socket, "a");

  relay.delay(DELAY_MS);
  const startedMs = performance.now();
  socket.write("late ");
  // Only once that has reached the relay it is late.
  while (relay.delayedCount === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  relay.mend();
  socket.write("and not before");
  await echoed(socket, "late and not before");
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(DELAY_MS - 1);

  socket.destroy();
  server.close();
});
