import { Metadata, status } from "@grpc/grpc-js";
import type { SessionEvent } from "../../core/frames.ts";
import { utf8Length } from "../../core/lock-name.ts";
import type { Reason } from "../../core/reason.ts";
import type { Any } from "../../gen/google/protobuf/any.ts";
import { ErrorInfo } from "../../gen/google/rpc/error_details.ts";
import { Status } from "../../gen/google/rpc/status.ts";
import { Denied, Lost, reasonToJSON } from "../../gen/holdfast/v1/lock_service.ts";
import { encode } from "./encode.ts";
import { toDenied, toLost } from "./events.ts";
import { outcomes } from "./outcomes.ts";

/** How a call ends, as grpc-js takes it. */
export interface Failure {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
}

/** What became of a claim, if the call was about one. */
export type ClaimEnd = Extract<SessionEvent, { kind: "denied" | "lost" }>;

/** Some clients read no more than 8 KiB of trailers; this is left after what every call sends. */
const TRAILER_BYTES = 7_500;
const MESSAGE_BYTES = 900;

/**
 * The status of a call with the details that the top of `lock_service.proto` lists: `ErrorInfo`, then what became
 * of the claim. `lock` is empty unless it is about one lock.
 *
 * Trailers are small: a longer message is cut, and of the holders so many are left out that the rest fits.
 */
export function failure(reason: Reason, message: string, lock = "", end?: ClaimEnd): Failure {
  const { reason: wireReason } = outcomes[reason];
  // Who still hears of its own close by a failure gave the call up.
  const code = reason === "closed-by-client" ? status.CANCELLED : outcomes[reason].status;
  const details = clip(message);
  const info: ErrorInfo = {
    reason: reasonToJSON(wireReason),
    domain: "holdfast.v1",
    metadata: lock === "" ? {} : { lock },
  };
  const pack = (claimEnd: Any[]) =>
    encode(Status, {
      code,
      message: details,
      details: [any("google.rpc.ErrorInfo", encode(ErrorInfo, info)), ...claimEnd],
    });
  const room = ((TRAILER_BYTES - encodeURI(details).length) * 3) / 4;
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(fitting(end, room, pack)));
  return { code, details, metadata };
}

/** How a call ends that comes when no more are let in. */
export const goesAway = (): Failure => failure("draining", "this server goes away: call another one");

/** The packed status with as many holders as there is room for. */
function fitting(end: ClaimEnd | undefined, room: number, pack: (details: Any[]) => Uint8Array): Uint8Array {
  if (end === undefined) return pack([]);
  const message = clip(end.message);
  if (end.kind === "lost") return pack([any("holdfast.v1.Lost", encode(Lost, toLost({ ...end, message })))]);
  for (let holders = end.holders; ; holders = holders.slice(0, -1)) {
    const denied = encode(Denied, toDenied({ ...end, message, holders }));
    const packed = pack([any("holdfast.v1.Denied", denied)]);
    if (packed.length <= room || holders.length === 0) return packed;
  }
}

const any = (name: string, value: Uint8Array): Any => ({
  typeUrl: `type.googleapis.com/${name}`,
  value: Buffer.from(value),
});

/** A text that fits, whole characters of it, and that grpc-js can send: it throws at a lone surrogate. */
function clip(message: string): string {
  const text = message.toWellFormed();
  if (utf8Length(text) <= MESSAGE_BYTES) return text;
  const cut = Buffer.from(text).subarray(0, MESSAGE_BYTES).toString("utf8");
  return `${cut.replace(/\uFFFD$/, "")}…`;
}
