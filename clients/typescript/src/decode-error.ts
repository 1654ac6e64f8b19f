import { status as Code } from "@grpc/grpc-js";
import { ErrorInfo } from "./gen/google/rpc/error_details.ts";
import { Status } from "./gen/google/rpc/status.ts";
import { Denied, Lost } from "./gen/holdfast/v1/lock_service.ts";
import { HoldfastError, LockLostError } from "./holdfast-error.ts";
import { type Reason, reasonFromProtoName } from "./reason.ts";
import { claimFromWire } from "./wire.ts";

/** An error of a gRPC call, as every copy of grpc-js makes it. */
export interface CallError {
  readonly code?: number;
  /** The status message. */
  readonly details?: string;
  readonly message?: string;
  readonly metadata?: { get(key: string): readonly unknown[] };
}

/**
 * The error of a call to Holdfast (a unary one, or the end of a stream) as a `HoldfastError`, with the lock it is
 * about and who holds it; a `LockLostError` if it says that a held claim ended. The original is its `cause`.
 *
 * An error without Holdfast's details is read by its status code: UNAVAILABLE and DEADLINE_EXCEEDED mean
 * `unreachable`, CANCELLED `aborted`, PERMISSION_DENIED and UNAUTHENTICATED `not-permitted`, any other `unknown`.
 */
export function decodeError(error: CallError): HoldfastError {
  const message = error.details || error.message || "the call failed";
  const { info, denied, lost } = readDetails(error);
  if (info === undefined) return new HoldfastError(reasonOfCode(error.code), message, { cause: error });
  const reason = reasonFromProtoName(info.reason);
  const lock = denied?.lock || info.metadata.lock;
  const about = { cause: error, ...(lock ? { lock } : {}) };
  if (lost !== undefined) return new LockLostError(reason, lost.message || message, about);
  if (denied === undefined) return new HoldfastError(reason, message, about);
  const { holderCount } = denied;
  const holders = denied.holders.map(claimFromWire);
  return new HoldfastError(reason, denied.message || message, { ...about, holders, holderCount });
}

interface Details {
  /** `undefined`: nothing here is from Holdfast. */
  readonly info?: ErrorInfo;
  readonly denied?: Denied;
  readonly lost?: Lost;
}

function readDetails({ metadata }: CallError): Details {
  const packed = metadata?.get("grpc-status-details-bin")[0];
  if (!(packed instanceof Uint8Array)) return {};
  try {
    const found: { info?: ErrorInfo; denied?: Denied; lost?: Lost } = {};
    for (const { typeUrl, value } of Status.decode(packed).details) {
      if (typeUrl.endsWith("/google.rpc.ErrorInfo")) found.info = ErrorInfo.decode(value);
      else if (typeUrl.endsWith("/holdfast.v1.Denied")) found.denied = Denied.decode(value);
      else if (typeUrl.endsWith("/holdfast.v1.Lost")) found.lost = Lost.decode(value);
    }
    return found.info?.domain === "holdfast.v1" ? found : {};
  } catch {
    // Garbage, or a proxy's: the code still says something.
    return {};
  }
}

function reasonOfCode(code: number | undefined): Reason {
  switch (code) {
    case Code.UNAVAILABLE:
    case Code.DEADLINE_EXCEEDED:
      return "unreachable";
    case Code.CANCELLED:
      return "aborted";
    case Code.PERMISSION_DENIED:
    case Code.UNAUTHENTICATED:
      return "not-permitted";
    default:
      return "unknown";
  }
}
