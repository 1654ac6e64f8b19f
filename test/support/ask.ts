import type { ServiceError } from "@grpc/grpc-js";
import type { LockServiceClient } from "../../clients/typescript/src/gen/holdfast/v1/lock_service.ts";

type Unary<Request, Response> = (
  request: Request,
  callback: (error: ServiceError | null, response: Response) => void,
) => unknown;

/** Calls a unary method of a stub as a promise. */
export function ask<Request, Response>(
  stub: LockServiceClient,
  method: "getLock" | "listLocks" | "checkToken",
  request: Request,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const call = stub[method].bind(stub) as unknown as Unary<Request, Response>;
    call(request, (error, response) => (error === null ? resolve(response) : reject(error)));
  });
}
