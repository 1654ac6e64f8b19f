import { isUtf8 } from "node:buffer";
import { crc32 } from "node:zlib";

/**
 * Says where a page ended: the name of its last lock, behind a checksum of that and of what was asked for, so that
 * a token of another question, or none of ours, is noticed. Opaque to clients; not a secret and not a signature.
 */
export function writePageToken(last: string, question: string): string {
  const name = Buffer.from(last);
  const token = Buffer.alloc(4 + name.length);
  token.writeUInt32BE(checksum(name, question));
  name.copy(token, 4);
  return token.toString("base64url");
}

/** The name in a token, or `undefined` if it is not one that `writePageToken` made for this question. */
export function readPageToken(token: string, question: string): string | undefined {
  const bytes = Buffer.from(token, "base64url");
  if (bytes.length <= 4 || bytes.toString("base64url") !== token) return undefined;
  const name = bytes.subarray(4);
  return isUtf8(name) && bytes.readUInt32BE() === checksum(name, question) ? name.toString() : undefined;
}

const checksum = (name: Buffer, question: string): number => crc32(name, crc32(`${question}\0`));
