import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { failure } from "../../server/adapters/grpc/failure.ts";
import type { ClaimView } from "../../server/core/frames.ts";
import type { Reason } from "../../server/core/reason.ts";
import {
  type GetLockRequest,
  type GetLockResponse,
  Reason as WireReason,
} from "../../server/gen/holdfast/v1/lock_service.ts";
import { ask, claimView, detailsOf, type Ending, open, TestServer } from "./harness.ts";

/** As the comments of `Reason` in lock_service.proto have it; written down here again, not taken from the table. */
const reasons: readonly [Reason, string, status][] = [
  ["busy", "REASON_BUSY", status.ABORTED],
  ["timeout", "REASON_TIMEOUT", status.ABORTED],
  ["deadlock", "REASON_DEADLOCK", status.ABORTED],
  ["queue-full", "REASON_QUEUE_FULL", status.RESOURCE_EXHAUSTED],
  ["too-many-claims", "REASON_TOO_MANY_CLAIMS", status.RESOURCE_EXHAUSTED],
  ["invalid", "REASON_INVALID", status.INVALID_ARGUMENT],
  ["not-permitted", "REASON_NOT_PERMITTED", status.PERMISSION_DENIED],
  ["not-found", "REASON_NOT_FOUND", status.NOT_FOUND],
  ["conflicting-mode", "REASON_CONFLICTING_MODE", status.FAILED_PRECONDITION],
  ["too-deep", "REASON_TOO_DEEP", status.FAILED_PRECONDITION],
  ["wrong-token", "REASON_WRONG_TOKEN", status.FAILED_PRECONDITION],
  ["session-expired", "REASON_SESSION_EXPIRED", status.ABORTED],
  ["released-by-force", "REASON_RELEASED_BY_FORCE", status.ABORTED],
  ["closed-by-force", "REASON_CLOSED_BY_FORCE", status.ABORTED],
  ["superseded", "REASON_SUPERSEDED", status.ABORTED],
  ["client-too-slow", "REASON_CLIENT_TOO_SLOW", status.RESOURCE_EXHAUSTED],
  ["draining", "REASON_DRAINING", status.UNAVAILABLE],
  ["store-unavailable", "REASON_STORE_UNAVAILABLE", status.UNAVAILABLE],
  ["internal", "REASON_INTERNAL", status.INTERNAL],
  ["wrong-server", "REASON_WRONG_SERVER", status.FAILED_PRECONDITION],
];

let server: TestServer;

beforeAll(async () => {
  server = await TestServer.start();
});

afterAll(() => server[Symbol.asyncDispose]());

describe("the status of a call", () => {
  it("is known for every reason of the wire", () => {
    const known = new Set(reasons.map(([, name]) => name.slice("REASON_".length)));
    expect(Object.keys(WireReason).filter((name) => !known.has(name))).toEqual(["UNSPECIFIED", "CLOSED_BY_CLIENT"]);
  });

  describe.each(reasons)("for %s", (reason, name, code) => {
    const message = `because of ${reason}`;

    it("ends a Session after Closed with the same reason", async () => {
      server.engine.onCommand = (stream) => stream.send({ kind: "closed", reason, message });
      const session = server.session();
      session.send(open());
      const ending = await session.ending;
      expect(ending).toMatchObject({ code, details: message });
      expect(detailsOf(ending)).toEqual({
        info: { domain: "holdfast.v1", reason: name, metadata: {} },
        denied: undefined,
        lost: undefined,
        types: ["google.rpc.ErrorInfo"],
      });
      const wire = WireReason[name.slice("REASON_".length) as keyof typeof WireReason];
      expect(session.events).toEqual([{ $case: "closed", value: { reason: wire, message } }]);
    });

    it("ends a read that is about a lock", async () => {
      server.engine.lock = { kind: "failed", reason, message };
      const asked = await ask<GetLockRequest, GetLockResponse>(
        (request, tell) => server.client.getLock(request, tell),
        { name: "orders/42", maxClaims: 0 },
      );
      const failed = "failed" in asked ? asked.failed : undefined;
      expect(failed).toMatchObject({ code, details: message });
      expect(detailsOf(failed!)).toMatchObject({
        info: { domain: "holdfast.v1", reason: name, metadata: { lock: "orders/42" } },
        types: ["google.rpc.ErrorInfo"],
      });
    });

    it("ends a Hold with Denied", async () => {
      const holders = [claimView()];
      server.engine.onCommand = (stream, command) => {
        if (command.kind === "acquire")
          stream.send({ kind: "denied", claimId: 1n, reason, message, lock: "a", holders, holderCount: 3 });
      };
      const ending = await server.hold({ locks: [{ name: "a" }] }).ending;
      expect(ending).toMatchObject({ code, details: message });
      const { info, denied, types } = detailsOf(ending);
      expect(types).toEqual(["google.rpc.ErrorInfo", "holdfast.v1.Denied"]);
      expect(info).toEqual({ domain: "holdfast.v1", reason: name, metadata: { lock: "a" } });
      expect(denied).toMatchObject({ claimId: 1n, message, lock: "a", holderCount: 3, holders: [{ claimId: 7n }] });
    });

    it("ends a Hold with Lost", async () => {
      server.engine.onCommand = (stream, command) => {
        if (command.kind !== "acquire") return;
        stream.send({ kind: "granted", claimId: 1n, locks: [{ name: "a", token: 5n }] });
        stream.send({ kind: "lost", claimId: 1n, reason, message });
      };
      const ending = await server.hold({ locks: [{ name: "a" }] }).ending;
      expect(ending).toMatchObject({ code, details: message });
      const { info, lost, types } = detailsOf(ending);
      expect(types).toEqual(["google.rpc.ErrorInfo", "holdfast.v1.Lost"]);
      expect(info).toEqual({ domain: "holdfast.v1", reason: name, metadata: { lock: "a" } });
      expect(lost).toMatchObject({ claimId: 1n, message });
    });
  });
});

describe("trailers", () => {
  const size = ({ details, metadata }: Pick<Ending, "details" | "metadata">) =>
    encodeURI(details).length + metadata.get("grpc-status-details-bin")[0]!.toString("base64").length;

  const denied = (message: string, holders: readonly ClaimView[], lock = "a") =>
    failure("busy", message, lock, {
      ...{ kind: "denied", claimId: 1n, reason: "busy", message, lock, holders, holderCount: 10 },
    });

  it("name all ten holders if these are of the usual size", () => {
    const client = { name: "shop", host: "web-17.example.com", pid: 4242, language: "go", version: "1.2.0" };
    const holders = Array.from({ length: 10 }, () => claimView({ client, purpose: "deduct stock" }));
    expect(detailsOf(denied('"orders/42" is taken', holders)).denied?.holders).toHaveLength(10);
  });

  it("fit into 8 KiB whatever clients call themselves: holders are left out, and counted", () => {
    const text = "ü".repeat(64);
    const client = { name: text, host: text, pid: 1, language: text, version: text };
    const holders = Array.from({ length: 10 }, () => claimView({ client, purpose: text + text, reentryId: text }));
    const lock = "ü".repeat(256);
    const full = denied(`"${lock}" is taken`, holders, lock);
    expect(size(full)).toBeLessThan(8_000);
    const shown = detailsOf(full).denied;
    expect(shown?.holderCount).toBe(10);
    expect(shown?.holders.length).toBeLessThan(10);
    expect(shown?.lock).toBe(lock);
  });

  it("fit into 8 KiB however long the message is: it is cut between characters", () => {
    const lock = "ü".repeat(256);
    const long = denied("€".repeat(10_000), [], lock);
    expect(size(long)).toBeLessThan(8_000);
    expect(long.details).toMatch(/^€{300}…$/);
    expect(detailsOf(long).denied?.message).toBe(long.details);
  });

  it("carry no half characters, at which the server would fall", async () => {
    server.engine.onCommand = (stream) => stream.send({ kind: "closed", reason: "internal", message: "a\ud800b" });
    const session = server.session();
    session.send(open());
    expect(await session.ending).toMatchObject({ code: status.INTERNAL, details: "a\ufffdb" });
  });
});
