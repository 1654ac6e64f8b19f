import { type CallError, decodeError } from "./decode-error.ts";
import { HoldfastError } from "./holdfast-error.ts";

/**
 * What gRPC says of a connection that could not be made, for people: its first line, and a hint if it looks as if one
 * side speaks TLS and the other does not.
 */
export function connectionProblem(said: string, usesTls: boolean): string {
  const [line = ""] = said.replace(/\s*Resolution note:\s*$/, "").split(/\s*\n/, 1);
  const hint = tlsHint(said, usesTls);
  return hint === undefined ? line : `${line.replace(/[.:\s]+$/, "")}; ${hint}`;
}

function tlsHint(said: string, usesTls: boolean): string | undefined {
  // Whoever does not understand what it is sent hangs up, or answers in a language that is not HTTP/2.
  if (!usesTls && /Last error: .*(Failed to connect|Protocol error|ECONNRESET)/.test(said))
    return "if the server speaks TLS, give `tls`";
  return usesTls && /wrong version number|packet length too long/.test(said)
    ? "the server seems to speak plain text: leave `tls` away"
    : undefined;
}

/** The error of a call of this client's own, as `decodeError` has it, with what `connectionProblem` says. */
export function callError(error: CallError, usesTls: boolean): HoldfastError {
  const decoded = decodeError(error);
  if (decoded.reason !== "unreachable") return decoded;
  return new HoldfastError("unreachable", connectionProblem(decoded.message, usesTls), { cause: error });
}
