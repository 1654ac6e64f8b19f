import { type IncomingHttpHeaders, request } from "node:http";

export interface ConsoleAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface ConsoleRequest {
  readonly path?: string;
  readonly method?: string;
  /** `undefined`: not sent. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: string;
}

/**
 * Sends a request to "127.0.0.1:port" as written: no path is tidied up, and any header may be sent, Host included.
 * Resolves with the answer; of a stream with what came until `until` is in it, and leaves it then.
 */
export function askConsole(address: string, asked: ConsoleRequest, until?: string): Promise<ConsoleAnswer> {
  const { path = "/", method = "GET", headers = {}, body } = asked;
  const [host, port] = address.split(":");
  const given = Object.entries({ host: address, ...headers }).filter(([, value]) => value !== undefined);
  return new Promise((resolve, reject) => {
    const sent = request({
      host,
      port,
      path,
      method,
      headers: Object.fromEntries(given) as Record<string, string>,
      agent: false,
    });
    sent.on("error", reject);
    sent.on("response", (response) => {
      let text = "";
      const done = () => resolve({ status: response.statusCode!, headers: response.headers, body: text });
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
        if (until === undefined || !text.includes(until)) return;
        done();
        response.destroy();
      });
      response.on("end", done);
      response.on("error", reject);
    });
    sent.end(body);
  });
}

/** The header that the page sends with every request for data. */
export const OWN = { "x-holdfast-console": "1" };

/** The path of a stream that follows these topics. */
export const livePath = (topics: object): string => `/api/live?watch=${encodeURIComponent(JSON.stringify(topics))}`;
