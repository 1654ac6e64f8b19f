import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { Position } from "./position.ts";
import { StoreError } from "./store-error.ts";

const FORMAT = 1;

/** Where etcd was in its history when a server last looked, as the machine of that server remembers it. */
export interface SeenMemory {
  /** Of which keys in etcd it speaks: the prefix of those of Holdfast. */
  readonly prefix: string;
  readonly historyId: string;
  readonly seen: Position;
}

/**
 * A file outside of etcd in which a server keeps how far it has seen etcd's history: a restore of etcd does not turn it
 * back. Of one server alone.
 */
export class SeenFile {
  private readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** What it remembers; `undefined`: it is not there. Throws `seen-file` when it cannot be read: it is not guessed at. */
  read(): SeenMemory | undefined {
    let text: string;
    try {
      text = readFileSync(this.path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw this.broken((error as Error).message, error);
    }
    try {
      return parse(text);
    } catch (error) {
      throw this.broken((error as Error).message, error);
    }
  }

  /** Replaces it, whole or not at all. Throws `seen-file`. */
  write({ prefix, historyId, seen }: SeenMemory): void {
    const content = { format: FORMAT, prefix, historyId, ...seen, clusterId: seen.clusterId.toString(16) };
    const half = `${this.path}.${process.pid}`;
    try {
      writeFileSync(half, `${JSON.stringify(content)}\n`);
      renameSync(half, this.path);
    } catch (error) {
      rmSync(half, { force: true });
      throw this.broken((error as Error).message, error);
    }
  }

  private broken(problem: string, cause: unknown): StoreError {
    const advice = "correct it, or delete it if you know that etcd was not restored";
    return new StoreError("seen-file", `the state file ${this.path} cannot be used: ${problem}; ${advice}`, cause);
  }
}

function parse(text: string): SeenMemory {
  const { format, prefix, historyId, clusterId, ...rest } = JSON.parse(text) as Record<string, unknown>;
  const isNamed = typeof prefix === "string" && typeof historyId === "string" && typeof clusterId === "string";
  if (format !== FORMAT || !isNamed || !/^[0-9a-f]+$/.test(clusterId)) throw new Error("it is none of ours");
  const number = (name: string): number => {
    const value = rest[name];
    if (!Number.isSafeInteger(value)) throw new Error(`"${name}" is no number`);
    return value as number;
  };
  return {
    prefix,
    historyId,
    seen: {
      clusterId: BigInt(`0x${clusterId}`),
      term: number("term"),
      index: number("index"),
      revision: number("revision"),
      spareEntries: number("spareEntries"),
    },
  };
}
