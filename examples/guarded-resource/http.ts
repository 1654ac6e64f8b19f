import { createServer, type Server } from "node:http";

/** The header that carries the fencing token of the lock that guards the document. */
const HEADER = "fencing-token";

/**
 * A document behind HTTP: `PUT` replaces it and must show a fencing token no smaller than the largest shown before,
 * else 412. `GET` returns it. The token is kept with the document, so in a real service in the same transaction.
 */
export function guardedDocument(): Server {
  let text = "";
  let largest = 0n;
  return createServer((request, response) => {
    if (request.method !== "PUT") return response.end(text);
    const shown = request.headers[HEADER];
    if (typeof shown !== "string" || !/^[1-9][0-9]{0,18}$/.test(shown)) {
      response.statusCode = 428;
      return response.end(`a write must show its ${HEADER}, the token of the lock that it holds\n`);
    }
    const token = BigInt(shown);
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    // Compared when the whole request is here: what was in time when it began may be late when it ends.
    request.on("end", () => {
      if (token < largest) {
        response.statusCode = 412;
        return response.end(`token ${token} is too old: a later holder has shown ${largest}\n`);
      }
      largest = token;
      text = Buffer.concat(chunks).toString();
      response.end();
    });
  });
}

/** Writes the document under a lock. Throws when a later holder has written. */
export async function putDocument(
  url: string,
  lock: { token: bigint; signal: AbortSignal },
  text: string,
): Promise<void> {
  const response = await fetch(url, {
    method: "PUT",
    body: text,
    headers: { [HEADER]: lock.token.toString() },
    signal: lock.signal,
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
}
