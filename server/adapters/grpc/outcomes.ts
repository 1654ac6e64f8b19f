import { status } from "@grpc/grpc-js";
import type { Reason } from "../../core/reason.ts";
import { Reason as WireReason } from "../../gen/holdfast/v1/lock_service.ts";

/**
 * What each reason is on the wire, and the status that a call ends with for it: the one table, as the comments
 * of `Reason` in `holdfast/v1/lock_service.proto` have it.
 */
export const outcomes = {
  busy: { reason: WireReason.BUSY, status: status.ABORTED },
  timeout: { reason: WireReason.TIMEOUT, status: status.ABORTED },
  deadlock: { reason: WireReason.DEADLOCK, status: status.ABORTED },
  "queue-full": { reason: WireReason.QUEUE_FULL, status: status.RESOURCE_EXHAUSTED },
  "too-many-claims": { reason: WireReason.TOO_MANY_CLAIMS, status: status.RESOURCE_EXHAUSTED },
  invalid: { reason: WireReason.INVALID, status: status.INVALID_ARGUMENT },
  "not-permitted": { reason: WireReason.NOT_PERMITTED, status: status.PERMISSION_DENIED },
  "not-found": { reason: WireReason.NOT_FOUND, status: status.NOT_FOUND },
  "conflicting-mode": { reason: WireReason.CONFLICTING_MODE, status: status.FAILED_PRECONDITION },
  "too-deep": { reason: WireReason.TOO_DEEP, status: status.FAILED_PRECONDITION },
  "wrong-token": { reason: WireReason.WRONG_TOKEN, status: status.FAILED_PRECONDITION },
  "session-expired": { reason: WireReason.SESSION_EXPIRED, status: status.ABORTED },
  "released-by-force": { reason: WireReason.RELEASED_BY_FORCE, status: status.ABORTED },
  "closed-by-force": { reason: WireReason.CLOSED_BY_FORCE, status: status.ABORTED },
  "closed-by-client": { reason: WireReason.CLOSED_BY_CLIENT, status: status.OK },
  superseded: { reason: WireReason.SUPERSEDED, status: status.ABORTED },
  "client-too-slow": { reason: WireReason.CLIENT_TOO_SLOW, status: status.RESOURCE_EXHAUSTED },
  draining: { reason: WireReason.DRAINING, status: status.UNAVAILABLE },
  "store-unavailable": { reason: WireReason.STORE_UNAVAILABLE, status: status.UNAVAILABLE },
  internal: { reason: WireReason.INTERNAL, status: status.INTERNAL },
  "wrong-server": { reason: WireReason.WRONG_SERVER, status: status.FAILED_PRECONDITION },
} as const satisfies Record<Reason, { readonly reason: WireReason; readonly status: status }>;
