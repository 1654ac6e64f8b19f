import { Metadata, status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { Reason as WireReason } from "../src/gen/holdfast/v1/lock_service.ts";
import { decodeError, HoldfastError, LockLostError } from "../src/index.ts";
import { reasonFromWire } from "../src/wire.ts";
import { failure } from "./fake-server.ts";

describe("decodeError", () => {
  it("reads the reason and the lock from the error's details", () => {
    const error = failure(status.INVALID_ARGUMENT, "INVALID", { lock: "a" });
    const decoded = decodeError(error);
    expect(decoded).toBeInstanceOf(HoldfastError);
    expect(decoded).toMatchObject({ reason: "invalid", message: "INVALID in words", lock: "a", cause: error });
  });

  it("tells who holds the lock that was denied", () => {
    const denied = {
      reason: WireReason.BUSY,
      message: "taken",
      lock: "a",
      holders: [{ sessionId: "other", fencingToken: 5n }],
      holderCount: 12,
    };
    const decoded = decodeError(failure(status.ABORTED, "BUSY", { lock: "a", denied: denied as never }));
    expect(decoded).toMatchObject({ reason: "busy", message: "taken", lock: "a", holderCount: 12 });
    expect(decoded.holders).toMatchObject([{ sessionId: "other", token: 5n }]);
  });

  it("tells a loss apart", () => {
    const lost = { reason: WireReason.RELEASED_BY_FORCE, message: "by Ann" };
    const decoded = decodeError(failure(status.ABORTED, "RELEASED_BY_FORCE", { lock: "a", lost }));
    expect(decoded).toBeInstanceOf(LockLostError);
    expect(decoded).toMatchObject({ name: "LockLostError", reason: "released-by-force", message: "by Ann", lock: "a" });
  });

  it("knows the name of every reason of the service, and calls one that is newer unknown", () => {
    for (const [name, number] of Object.entries(WireReason)) {
      if (number === WireReason.UNSPECIFIED) continue;
      const reason = name.toLowerCase().replaceAll("_", "-");
      expect(reasonFromWire(number)).toBe(reason);
      expect(decodeError(failure(status.ABORTED, name)).reason).toBe(reason);
    }
    expect(reasonFromWire(999 as WireReason)).toBe("unknown");
    expect(decodeError(failure(status.ABORTED, "NEWER")).reason).toBe("unknown");
  });

  it("reads errors that are not Holdfast's by their status code", () => {
    const reasonOf = (code: number) => decodeError({ code, details: "x" }).reason;
    expect(reasonOf(status.UNAVAILABLE)).toBe("unreachable");
    expect(reasonOf(status.DEADLINE_EXCEEDED)).toBe("unreachable");
    expect(reasonOf(status.CANCELLED)).toBe("aborted");
    expect(reasonOf(status.UNAUTHENTICATED)).toBe("not-permitted");
    expect(reasonOf(status.PERMISSION_DENIED)).toBe("not-permitted");
    expect(reasonOf(status.UNIMPLEMENTED)).toBe("unknown");
    expect(decodeError(new Error("no call at all"))).toMatchObject({ reason: "unknown", message: "no call at all" });
  });

  it("is not confused by details of others, or by garbage", () => {
    const foreign = failure(status.UNAVAILABLE, "BUSY") as Error & { metadata: Metadata };
    const packed = foreign.metadata.get("grpc-status-details-bin")[0] as Buffer;
    const spoilt = new Metadata();
    spoilt.set(
      "grpc-status-details-bin",
      Buffer.from(packed.toString("latin1").replace("holdfast.v1", "elsewhere.v"), "latin1"),
    );
    expect(decodeError({ code: status.UNAVAILABLE, metadata: spoilt }).reason).toBe("unreachable");
    spoilt.set("grpc-status-details-bin", packed.subarray(0, packed.length - 3));
    expect(decodeError({ code: status.UNAVAILABLE, metadata: spoilt }).reason).toBe("unreachable");
  });
});
