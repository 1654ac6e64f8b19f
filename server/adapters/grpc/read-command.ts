import type { Command } from "../../core/frames.ts";
import type { SessionCommand } from "../../gen/holdfast/v1/lock_service.ts";
import { MAX_VALUE_BYTES, readAcquire } from "./read-acquire.ts";
import { readOpen } from "./read-open.ts";

/**
 * A command as the decisions know it, every field of it checked; or, if the stream cannot go on after it, what is
 * wrong in words that name the field. What is wrong with one acquire alone becomes a `refused`. `traceparent` is the
 * call's own.
 */
export function readCommand(
  { command }: SessionCommand,
  maxTtlMs: number,
  traceparent: string | undefined,
): Command | string {
  switch (command?.$case) {
    case "acquire":
      if (command.value.claimId === 0n) return "acquire.claim_id is zero: count claims from 1";
      return readAcquire(command.value, "acquire.", traceparent);
    case "release":
      return { kind: "release", claimId: command.value.claimId };
    case "heartbeat":
      return { kind: "heartbeat", seq: command.value.seq };
    case "update": {
      const { claimId, value } = command.value;
      // An answer out of turn would be taken for that of an earlier update, so this is not refused by itself.
      if (value.length > MAX_VALUE_BYTES) return `update.value is longer than ${MAX_VALUE_BYTES} bytes`;
      return { kind: "update", claimId, value };
    }
    case "open":
      return readOpen(command.value, maxTtlMs);
    case "close":
      return { kind: "close" };
    case undefined:
      return "command is unset, or unknown to this server";
    default:
      return command satisfies never;
  }
}
