import type { Metadata } from "@grpc/grpc-js";

/** Version, trace id, parent id and flags; of a later version more may follow (W3C Trace Context, section 3.2). */
const shape = /^(?!ff)[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}($|-)/;
/** A later version may have more to say, but not to us. */
const MAX_LENGTH = 128;

/** A `traceparent` if it is one, else `undefined`: a caller with a broken tracer gets its lock all the same. */
export function readTraceparent(text: string): string | undefined {
  return text !== "" && text.length <= MAX_LENGTH && shape.test(text) ? text : undefined;
}

/** The `traceparent` of a call, if it has one. */
export function traceparentOf(metadata: Metadata): string | undefined {
  const [first] = metadata.get("traceparent");
  return typeof first === "string" ? readTraceparent(first) : undefined;
}
