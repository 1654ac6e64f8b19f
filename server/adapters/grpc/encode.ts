import { BinaryWriter } from "@bufbuild/protobuf/wire";
import type { SessionEvent } from "../../core/frames.ts";
import { HoldResponse, SessionResponse, type SessionEvent as WireEvent } from "../../gen/holdfast/v1/lock_service.ts";
import { writeDuration } from "./duration.ts";
import { toClosed, toDenied, toDraining, toGranted, toLost, toOpened, toUpdated, toWaiting } from "./events.ts";

/** The steps of a Hold; what ends one becomes the status of its call. */
export type HoldStep = Extract<SessionEvent, { kind: "waiting" | "granted" | "draining" }>;

/** One event as a `SessionResponse` of its own. Several of them, one behind the other, are one with all their events. */
export function encodeSessionEvent(event: SessionEvent): Uint8Array {
  return encode(SessionResponse, { events: [{ event: toWire(event) }] });
}

/** One step of a Hold as a `HoldResponse`. */
export function encodeHoldStep(step: HoldStep): Uint8Array {
  return encode(HoldResponse, { event: stepToWire(step) });
}

interface Codec<Message> {
  encode(message: Message, writer: BinaryWriter): BinaryWriter;
}

const writer = new BinaryWriter();

/** Encodes with a buffer that all share: growing one anew for each message costs more than the encoding. */
export function encode<Message>(codec: Codec<Message>, message: Message): Uint8Array {
  try {
    return codec.encode(message, writer).finish();
  } catch (error) {
    // What was written of it so far must not come before the next message.
    writer.finish();
    throw error;
  }
}

function toWire(event: SessionEvent): WireEvent["event"] {
  switch (event.kind) {
    case "granted":
      return { $case: "granted", value: toGranted(event) };
    case "released":
      return { $case: "released", value: { claimId: event.claimId } };
    case "heartbeat-ack":
      return { $case: "heartbeatAck", value: { seq: event.seq, validFor: writeDuration(event.validForMs) } };
    case "waiting":
      return { $case: "waiting", value: toWaiting(event) };
    case "denied":
      return { $case: "denied", value: toDenied(event) };
    case "updated":
      return { $case: "updated", value: toUpdated(event) };
    case "lost":
      return { $case: "lost", value: toLost(event) };
    case "opened":
      return { $case: "opened", value: toOpened(event) };
    case "draining":
      return { $case: "draining", value: toDraining(event) };
    case "servers":
      return { $case: "servers", value: { servers: [...event.servers] } };
    case "closed":
      return { $case: "closed", value: toClosed(event) };
    default:
      return event satisfies never;
  }
}

function stepToWire(step: HoldStep): HoldResponse["event"] {
  switch (step.kind) {
    case "waiting":
      return { $case: "waiting", value: toWaiting(step) };
    case "granted":
      return { $case: "granted", value: toGranted(step) };
    case "draining":
      return { $case: "draining", value: toDraining(step) };
    default:
      return step satisfies never;
  }
}
