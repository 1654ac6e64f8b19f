import { isUtf8 } from "node:buffer";
import { StoreError } from "./store-error.ts";

/** Keys as bytes below our prefix, which nobody else knows. */
export class Keyspace {
  /** All our keys are from here, inclusive, to `end`, exclusive. */
  readonly start: Buffer;
  readonly end: Buffer;
  private readonly prefix: string;

  constructor(prefix: string) {
    this.prefix = prefix;
    this.start = Buffer.from(prefix);
    this.end = endOf(this.start);
  }

  bytes(key: string): Buffer {
    return Buffer.from(this.prefix + key);
  }

  /** The key without the prefix. Throws `unknown-record` if it is no text. */
  key(bytes: Buffer): string {
    if (!isUtf8(bytes)) throw new StoreError("unknown-record", `key 0x${bytes.toString("hex")} in etcd is not ours`);
    return bytes.toString("utf8", this.start.length);
  }
}

/** The first key after all that start with these bytes of UTF-8, none of which is 0xff. */
export function endOf(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1]! += 1;
  return end;
}
