import { startGrpcServer } from "../../server/adapters/grpc/server.ts";
import { fakeAdmin } from "../support/fake-admin.ts";
import { FakeEngine } from "../support/fake-engine.ts";

/** A server of its own process, for tests that starve one. Writes its port and its log to standard output, as JSON lines. */
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

const server = await startGrpcServer({
  engine: new FakeEngine(),
  admin: fakeAdmin(),
  address: { host: "127.0.0.1", port: 0 },
  telemetry: { note: () => undefined },
  log: { event: (level, event, fields) => say({ level, event, ...fields }) },
});
say({ port: server.port });
