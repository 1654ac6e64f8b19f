import { type ServerUnaryCall, type sendUnaryData, status, type UntypedServiceImplementation } from "@grpc/grpc-js";
import { AdminServiceService } from "../../gen/holdfast/v1/admin_service.ts";

/** `AdminService` as far as it is there: each method says by name that it is not. */
export const adminService: UntypedServiceImplementation = Object.fromEntries(
  Object.entries(AdminServiceService).map(([key, { path }]) => [key, refuse(path)]),
);

function refuse(path: string) {
  const name = path.slice(1).replace("/", ".");
  return (_call: ServerUnaryCall<unknown, unknown>, respond: sendUnaryData<unknown>) =>
    respond({ code: status.UNIMPLEMENTED, details: `${name} is not implemented by this version of Holdfast` });
}
