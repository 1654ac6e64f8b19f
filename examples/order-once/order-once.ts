/**
 * The same order is submitted 100 times, by impatient people and proxies that repeat, to five web servers at once. Each
 * looks whether the order is there and writes it if not: two steps, and between them another may have done the same.
 *
 * Run: node examples/order-once/order-once.ts [--without-lock]
 */
import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "../../clients/typescript/src/index.ts";

const server = process.env.HOLDFAST_SERVER ?? "127.0.0.1:7400";
const withLock = process.argv[2] !== "--without-lock";
const folder = await mkdtemp(join(tmpdir(), "order-once-"));
const table = join(folder, "orders.jsonl");

async function rows(): Promise<string[]> {
  const text = await readFile(table, "utf8").catch(() => "");
  return text.split("\n").filter((row) => row !== "");
}

async function write(order: string, web: number): Promise<string> {
  if ((await rows()).some((row) => JSON.parse(row).order === order)) return "it is there already";
  await appendFile(table, `${JSON.stringify({ order, web })}\n`);
  return "written";
}

const webs = Array.from({ length: 5 }, (_, web) => connect(server, { clientName: `web ${web}` }));
const submit = (order: string, web: number): Promise<string> =>
  withLock ? webs[web]!.withLock(`orders/${order}`, () => write(order, web)) : write(order, web);

const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => submit("4711", i % webs.length)));
const written = answers.filter((answer) => answer === "written").length;
console.log(`100 submissions: ${written} written, ${(await rows()).length === 1 ? "one row" : "many rows"}`);

await Promise.all(webs.map((web) => web.close()));
await rm(folder, { recursive: true });
