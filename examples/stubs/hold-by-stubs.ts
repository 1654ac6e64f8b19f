// Holds a lock with generated code alone, by Session and then by Hold. Arguments: server, lock. Enter ends the work.
import { once } from "node:events";
import { credentials, type ServiceError, status } from "@grpc/grpc-js";
import * as v1 from "../../clients/typescript/src/gen/holdfast/v1/lock_service.ts";

const [server = "", name = ""] = process.argv.slice(2);
// Pings notice a silent connection before the TTL of 15 s is over and somebody else is granted the lock.
const pings = { "grpc.keepalive_time_ms": 10_000, "grpc.keepalive_timeout_ms": 3000 };
const client = new v1.LockServiceClient(server, credentials.createInsecure(), pings);
const locks = [v1.LockSpec.fromPartial({ name })];

const session = client.session();
session.write({
  commands: [
    { command: { $case: "open", value: v1.Open.fromPartial({ liveness: v1.Liveness.TRANSPORT }) } },
    { command: { $case: "acquire", value: v1.Acquire.fromPartial({ claimId: 1n, locks }) } },
  ],
});
const responses: AsyncIterable<v1.SessionResponse> = session;
for await (const { events } of responses) // reads on while it works
  for (const { event } of events) {
    if (event?.$case === "denied" || event?.$case === "lost") throw new Error(event.value.message);
    if (event?.$case === "granted") void work("Session", event.value).then(() => session.end());
  }

const hold = client.hold(v1.HoldRequest.fromPartial({ locks }));
hold.on("error", (end: ServiceError) => {
  if (end.code !== status.CANCELLED) throw end;
  process.stdin.pause();
});
hold.on("data", ({ event }: v1.HoldResponse) => {
  if (event?.$case === "granted") void work("Hold", event.value).then(() => hold.cancel());
});

async function work(by: string, { locks: [lock] }: v1.Granted): Promise<void> {
  console.log(`${by} holds with token ${lock!.fencingToken}`);
  // What it writes carries the token, so that what the lock protects can refuse who came too late.
  await once(process.stdin, "data");
}
