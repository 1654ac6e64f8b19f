import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

/** A span as OTLP's JSON has it. */
export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly status: { readonly code: number; readonly message?: string };
}

/** A collector of OpenTelemetry: takes OTLP in JSON over HTTP, and keeps what it got. */
export class Collector implements AsyncDisposable {
  readonly spans: CollectedSpan[] = [];
  /** The names of the metrics of each delivery. */
  readonly metrics: string[][] = [];
  readonly headers: IncomingHttpHeaders[] = [];
  readonly #server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    this.headers.push(request.headers);
    this.#take(request.url ?? "", JSON.parse(Buffer.concat(chunks).toString("utf8")));
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  });

  static async start(): Promise<Collector> {
    const collector = new Collector();
    collector.#server.listen(0, "127.0.0.1");
    await once(collector.#server, "listening");
    return collector;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  spansNamed(name: string): readonly CollectedSpan[] {
    return this.spans.filter((span) => span.name === name);
  }

  // biome-ignore lint/suspicious/noExplicitAny: it is whatever JSON came.
  #take(path: string, body: any): void {
    if (path === "/v1/traces") {
      for (const { scopeSpans } of body.resourceSpans) for (const { spans } of scopeSpans) this.spans.push(...spans);
    } else if (path === "/v1/metrics") {
      for (const { scopeMetrics } of body.resourceMetrics)
        for (const { metrics } of scopeMetrics) this.metrics.push(metrics.map(({ name }: { name: string }) => name));
    } else throw new Error(`nothing is collected at ${path}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** A span's attribute, as text. */
export function attribute(span: CollectedSpan, name: string): string | undefined {
  const value = span.attributes.find(({ key }) => key === name)?.value;
  return value === undefined ? undefined : JSON.stringify(Object.values(value)[0]);
}
