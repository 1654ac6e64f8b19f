import { credentials } from "@grpc/grpc-js";
import { LockServiceClient } from "../../clients/typescript/src/gen/holdfast/v1/lock_service.ts";

/** So many connections to a server, none of them shared. */
export function connections(address: string, count: number): readonly LockServiceClient[] {
  return Array.from(
    { length: count },
    () => new LockServiceClient(address, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 }),
  );
}
