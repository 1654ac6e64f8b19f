import type { ServiceError } from "@grpc/grpc-js";
import type { LockServiceClient } from "../../clients/typescript/src/gen/holdfast/v1/lock_service.ts";

/** Calls a unary method of a stub as a promise. */
export function ask<Request, Response>(
  stub: LockServiceClient,
  method: (request: Request, callback: (error: ServiceError | null, response: Response) => void) => unknown,
  request: Request,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    method.call(stub, request, (error, response) => (error === null ? resolve(response) : reject(error)));
  });
}
