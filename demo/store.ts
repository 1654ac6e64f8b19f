/** The process that keeps the stock, started by main.ts: `Stock` over HTTP on loopback. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { type Books, type Step, Stock } from "./stock.ts";

/** What the store tells main.ts. */
export type StoreNews =
  | { readonly kind: "listening"; readonly port: number }
  | { readonly kind: "entered"; readonly token: string }
  | { readonly kind: "books"; readonly books: Books };

/** What main.ts tells the store. */
export type StoreOrder =
  /** Whoever has this token is about to be killed or paused, and will not leave. */
  { readonly kind: "abandoned"; readonly token: string } | { readonly kind: "close-books" };

async function readJson(request: IncomingMessage): Promise<Step> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += chunk;
  return JSON.parse(text);
}

const tell = (news: StoreNews) => process.stdout.write(`${JSON.stringify(news)}\n`);

const stock = new Stock(Number(process.argv[2]));
const server = createServer(async (request, response) => {
  const step = await readJson(request);
  const answer = stock.take(step);
  if (step.step === "enter" && answer.kind === "done") tell({ kind: "entered", token: step.token });
  response.writeHead(answer.kind === "stale" ? 409 : 200, { "content-type": "application/json" });
  response.end(JSON.stringify(answer));
});
// By default it closes what was idle for a few seconds, as long as one waits here for the lock of a process that was killed;
// an order that is sent at that moment fails, and no HTTP client repeats a POST.
server.keepAliveTimeout = 0;
server.listen(0, "127.0.0.1", () => tell({ kind: "listening", port: (server.address() as AddressInfo).port }));

for await (const line of createInterface(process.stdin)) {
  const order: StoreOrder = JSON.parse(line);
  if (order.kind === "abandoned") stock.abandon(BigInt(order.token));
  else tell({ kind: "books", books: stock.closeBooks() });
}
// It goes when main.ts does, however that went.
process.exit();
