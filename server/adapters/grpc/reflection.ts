import { type ServerDuplexStream, status } from "@grpc/grpc-js";
import type { ServerReflectionRequest, ServerReflectionResponse } from "../../gen/grpc/reflection/v1/reflection.ts";
import type { Descriptors } from "./descriptors.ts";

/** The call of v1; that of v1alpha has the same messages under another package's name. */
export type ReflectionCall = ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>;
type Answer = NonNullable<ServerReflectionResponse["messageResponse"]>;

/** Answers `ServerReflectionInfo`, of v1 and v1alpha alike: one answer for each request, in order. */
export function reflect(call: ReflectionCall, services: readonly string[], descriptors: Descriptors): void {
  call.on("data", (request: ServerReflectionRequest) => {
    // The next request is read when this answer has gone out: answers are large, and requests are small.
    call.pause();
    const response = { validHost: request.host, originalRequest: request };
    const messageResponse = answer(request.messageRequest, services, descriptors);
    call.write({ ...response, messageResponse }, () => call.resume());
  });
  call.once("end", () => call.end());
}

function answer(
  request: ServerReflectionRequest["messageRequest"],
  services: readonly string[],
  descriptors: Descriptors,
): Answer {
  switch (request?.$case) {
    case "listServices":
      return { $case: "listServicesResponse", value: { service: services.map((name) => ({ name })) } };
    case "fileByFilename":
      return filesOr(descriptors.fileNamed(request.value), `file ${request.value}`);
    case "fileContainingSymbol":
      return filesOr(descriptors.fileOfSymbol(request.value), `symbol ${request.value}`);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = request.value;
      const what = `extension ${extensionNumber} of ${containingType}`;
      return filesOr(descriptors.fileOfExtension(containingType, extensionNumber), what);
    }
    case "allExtensionNumbersOfType": {
      const extensionNumber = descriptors.extensionNumbers(request.value);
      if (extensionNumber === undefined) return missing(`type ${request.value}`);
      const value = { baseTypeName: request.value, extensionNumber };
      return { $case: "allExtensionNumbersResponse", value };
    }
    case undefined:
      return refusal(status.INVALID_ARGUMENT, "message_request is unset, or unknown to this server");
    default:
      return request satisfies never;
  }
}

function filesOr(files: Buffer[] | undefined, what: string): Answer {
  if (files === undefined) return missing(what);
  return { $case: "fileDescriptorResponse", value: { fileDescriptorProto: files } };
}

const missing = (what: string): Answer => refusal(status.NOT_FOUND, `there is no ${what} here`);

const refusal = (errorCode: number, errorMessage: string): Answer => ({
  $case: "errorResponse",
  value: { errorCode, errorMessage },
});
