import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ConnectionOptions } from "./connection.ts";

const PATIENCE_MS = 3_000;

/** Why nobody answers at an address, and what to do about it, as far as a look at the connection can tell. */
export async function whyUnreachable(
  address: string,
  { tls, tlsCa }: ConnectionOptions,
): Promise<{ readonly text: string; readonly advice: string }> {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(address);
  if (match === null) return { text: `${address} is no address`, advice: "write host:port, such as 10.0.0.7:7400" };
  const host = match[1] ?? match[2]!;
  const port = Number(match[3]);
  const tcp = await tryTcp(host, port);
  if (tcp !== undefined) return { text: `${address}: ${tcp}`, advice: adviceOf(tcp) };
  const wantsTls = tls === true || tlsCa !== undefined;
  const handshake = await tryTls(host, port, tlsCa);
  if (wantsTls && handshake !== undefined)
    return {
      text: `${address} is reached, but TLS fails: ${handshake}`,
      advice: /wrong version number|packet length|ECONNRESET|no answer/i.test(handshake)
        ? "the server may speak plain text: leave out --tls and --tls-ca"
        : "give the authority that signed its certificate (--tls-ca), and an address that the certificate names",
    };
  if (!wantsTls && (handshake === undefined || !/wrong version number|packet length|no answer/i.test(handshake)))
    return { text: `${address} speaks TLS`, advice: "give --tls, or --tls-ca with the authority of its certificate" };
  return {
    text: `${address} accepts connections, but nobody answers as Holdfast does`,
    advice: "see what listens there, and the server's log",
  };
}

function adviceOf(problem: string): string {
  if (/ECONNREFUSED/.test(problem)) return "start the server, or correct the port";
  if (/ENOTFOUND|EAI_AGAIN/.test(problem)) return "correct the name: it has no address";
  return "see whether the machine is up and a firewall lets the port through";
}

/** What is wrong with a TCP connection; `undefined`: nothing. */
function tryTcp(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connectTcp({ host, port, timeout: PATIENCE_MS });
    const end = (problem: string | undefined) => {
      socket.destroy();
      resolve(problem);
    };
    socket.once("connect", () => end(undefined));
    socket.once("timeout", () => end(`no answer within ${PATIENCE_MS / 1_000} s`));
    socket.once("error", (error) => end(error.message));
  });
}

/** What is wrong with a TLS handshake; `undefined`: nothing. */
function tryTls(host: string, port: number, ca: Buffer | undefined): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connectTls({
      host,
      port,
      ca,
      servername: /^[\d.]+$|:/.test(host) ? "" : host,
      ALPNProtocols: ["h2"],
    });
    const end = (problem: string | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(problem);
    };
    const timer = setTimeout(() => end("no answer to the handshake"), PATIENCE_MS);
    socket.once("secureConnect", () => end(undefined));
    socket.once("error", (error) => end(error.message));
    socket.once("close", () => end("no answer to the handshake: the connection was closed"));
  });
}
