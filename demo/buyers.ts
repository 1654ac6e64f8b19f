import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "./processes.ts";

/** What a process of buyers is started with, as JSON. */
export interface Order {
  readonly server: string;
  readonly store: string;
  readonly ttlMs: number;
  readonly buyers: readonly number[];
  /** How many of them wait at a time: so few that every process has its turn while there is something to sell. */
  readonly atOnce: number;
  /**
   * What happens to the first of them who may buy: the process is killed, or stopped until its lock was lost, and the
   * buyer goes on as if nothing had been.
   */
  readonly trouble: "kill" | "pause" | undefined;
}

/** What it tells. */
export type BuyerNews =
  /** It has its session, and waits for the word to begin. */
  | { readonly kind: "ready" }
  | { readonly kind: "granted"; readonly waitedMs: number }
  /** A buyer has the lock, and waits for the trouble. */
  | { readonly kind: "in-trouble"; readonly token: string }
  | { readonly kind: "served"; readonly buyer: number; readonly bought: boolean }
  /** The lock was lost while a buyer had it. */
  | { readonly kind: "lost" }
  /** The client said so before the buyer wrote; the store refused the write all the same. */
  | { readonly kind: "refused"; readonly hadBeenTold: boolean };

/** Buyers in one language. */
export interface BuyersProgram {
  readonly language: string;
  /** The program, which is then given its order. */
  readonly command: readonly [string, ...string[]];
}

const example = join(import.meta.dirname, "../examples/stock-sale");
const built = join(import.meta.dirname, "../.cache/bin");

/** The buyers in every language, built where they have to be. */
export async function buildBuyers(): Promise<readonly BuyersProgram[]> {
  const go = join(built, "stock-buyers-go");
  await build("go", ["build", "-C", "examples", "-o", go, "./stock-sale/go"]);
  return [
    { language: "TypeScript", command: [process.execPath, join(example, "buyers.ts")] },
    { language: "Go", command: [go] },
    { language: "Java", command: await buildJava() },
  ];
}

async function buildJava(): Promise<BuyersProgram["command"]> {
  // Compiles the client, if anything has changed since.
  await build("clients/java/conformance-driver.sh", []);
  const target = join(import.meta.dirname, "../clients/java/target");
  const client = `${target}/classes:${readFileSync(`${target}/test-classpath`, "utf8").trim()}`;
  const classes = join(built, "stock-buyers-java");
  await build("javac", ["-d", classes, "-cp", client, "examples/stock-sale/Buyers.java"]);
  // It lives for half a minute, beside eight others.
  return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-cp", `${classes}:${client}`, "Buyers"];
}
