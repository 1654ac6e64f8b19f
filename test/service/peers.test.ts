import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect, it } from "vitest";
import { grpcPeers } from "../../server/adapters/grpc/peers.ts";
import { startGrpcServer } from "../../server/adapters/grpc/server.ts";
import { newAuthority } from "../support/certificates.ts";
import { fakeAdmin } from "../support/fake-admin.ts";
import { FakeEngine } from "../support/fake-engine.ts";
import { connectionsAfter } from "../support/late-listener.ts";
import { TestServer } from "./harness.ts";

/** Who says that it serves. A busy machine may be slow to answer. */
const serving = (tls: boolean, addresses: readonly string[], answerWithinMs = 20_000) =>
  new Promise<readonly string[]>((resolve) => grpcPeers({ tls, answerWithinMs }).serving(addresses, resolve));

it("of the other servers those are named that say that they serve", async () => {
  await using able = await TestServer.start();
  await using unable = await TestServer.start();
  unable.engine.serving = false;
  await using gone = await TestServer.start();
  await gone.server.stop(0);
  expect(await serving(false, [unable.address, gone.address, able.address])).toEqual([able.address]);
  expect(await serving(false, [])).toEqual([]);
});

it("another server that says nothing is not waited for", async () => {
  const silent = createServer();
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  expect(await serving(false, [`127.0.0.1:${(silent.address() as AddressInfo).port}`], 100)).toEqual([]);
  silent.close();
});

it("over TLS the other servers are believed, whoever has signed for them", async () => {
  const { certificate, key } = newAuthority().issue("some.host.example");
  const server = await startGrpcServer({
    engine: new FakeEngine(),
    admin: fakeAdmin(),
    address: { host: "127.0.0.1", port: 0 },
    tls: { certificate: Buffer.from(certificate), key: Buffer.from(key) },
    log: { event: () => undefined },
    telemetry: { note: () => undefined },
  });
  const address = `127.0.0.1:${server.port}`;
  expect(await serving(true, [address])).toEqual([address]);
  expect(await serving(false, [address])).toEqual([]);
  await server.stop(0);
});

it("of many other servers some are asked", async () => {
  await using able = await TestServer.start();
  expect(
    await serving(
      false,
      Array.from({ length: 50 }, () => able.address),
    ),
  ).toHaveLength(5);
});

it("a server that was not there is not connected to later", async () => {
  const asked = (address: string) => serving(false, [address]);
  expect(await connectionsAfter(asked)).toBe(0);
});
