import { BinaryReader } from "@bufbuild/protobuf/wire";

/** A message as it came, or what is wrong with its bytes. */
export type Received<Message> = { readonly message: Message } | { readonly problem: string };

interface Codec<Message> {
  decode(input: BinaryReader): Message;
}

// Text that is no UTF-8 is refused: replaced, two different names could become one.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const strictUtf8 = (bytes: Uint8Array): string => utf8.decode(bytes);

/**
 * Makes a deserializer for grpc-js that never throws: what cannot be read is for the handler to refuse in our
 * words, where grpc-js would answer INTERNAL.
 */
export function receive<Message>(codec: Codec<Message>, name: string): (bytes: Buffer) => Received<Message> {
  const malformed = { problem: `the bytes received are not a ${name}: check the client's stubs` };
  return (bytes) => {
    const reader = new BinaryReader(bytes, strictUtf8);
    try {
      const message = codec.decode(reader);
      // The generated code takes a zero byte for the end of the message.
      return reader.pos === reader.len ? { message } : malformed;
    } catch {
      return malformed;
    }
  };
}
