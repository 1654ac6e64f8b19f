import type { LockSpec } from "../../server/core/frames.ts";
import { isCompatible, wouldHold } from "./reference.ts";
import type { SimulatedServer } from "./simulated-server.ts";
import type { SimulatedStream } from "./simulated-stream.ts";
import type { Truth } from "./truth.ts";

/** How much faster a server's clock may run than true time. */
const RATE = 1.01;

/**
 * A server may ack a heartbeat only after etcd has confirmed a renewal that was sent after the heartbeat arrived, and
 * only while its watch was proven current within the last 2 s; and from then on it may wait for the client no longer
 * than the TTL x 1.01 + 50 ms from when the heartbeat arrived (DESIGN 4.7).
 */
export function checkAck(server: SimulatedServer, stream: SimulatedStream, seq: bigint): void {
  const { world, truth, etcd } = server;
  const received = stream.heartbeats.get(seq);
  if (received === undefined) return world.violation("ACK-UNASKED", `${stream.sessionId} ${seq}`);
  const endedAtMs = truth.endedAtMs.get(stream.sessionId);
  if (endedAtMs !== undefined && world.nowMs - endedAtMs > 2000 * RATE)
    world.violation("ACK-STALE", `${stream.sessionId} ended ${(world.nowMs - endedAtMs).toFixed()} ms before its ack`);
  const entry = etcd.entries.get(`session/${stream.sessionId}`);
  const lease = entry === undefined ? undefined : etcd.leases.get(entry.lease);
  if (lease !== undefined && lease.renewedAtMs < received.trueMs)
    world.violation("ACK-UNCONFIRMED", `${stream.sessionId} ${seq} without a renewal since it came`);
  const session = server.sessionOf(stream.sessionId);
  if (session === undefined) return;
  // The ack is the newest there was, or an older one whose successor extends the deadline further.
  const newestMs = Math.max(...[...stream.heartbeats.values()].map((each) => each.serverMs));
  const latestMs = Math.max(newestMs, stream.openedAtServerMs) + session.record.ttlMs * RATE + 50;
  if (session.deadlineMs > latestMs + 1e-3)
    world.violation("DEADLINE-LATE", `${stream.sessionId} by ${(session.deadlineMs - latestMs).toFixed(1)} ms`);
}

/** A resume is answered only when the lease has been renewed since it came (DESIGN 4.8). */
export function checkOpened({ world, etcd }: SimulatedServer, { sessionId, resumedAtMs }: SimulatedStream): void {
  const entry = etcd.entries.get(`session/${sessionId}`);
  const lease = entry === undefined ? undefined : etcd.leases.get(entry.lease);
  if (resumedAtMs !== undefined && lease !== undefined && lease.renewedAtMs < resumedAtMs)
    world.violation("OPENED-UNRENEWED", sessionId);
}

/** Whether a claim on these locks was denied as busy, or for its mode, with reason: at some time since it was asked for. */
export function wasRefusedRightly(
  truth: Truth,
  reason: "busy" | "conflicting-mode",
  locks: readonly LockSpec[],
  askedAtRevision: number,
): boolean {
  for (const { claims } of truth.since(askedAtRevision))
    if (reason === "busy" ? !wouldHold(claims, locks) : contradicts(claims, locks)) return true;
  return false;
}

function contradicts(claims: Truth["now"]["claims"], locks: readonly LockSpec[]): boolean {
  return locks.some((wanted) =>
    claims.some((claim) =>
      claim.locks.some(
        ({ name, mode, limit }) =>
          name === wanted.name &&
          (wanted.mode === "semaphore" || mode === "semaphore") &&
          !isCompatible([
            { name, mode, limit, permits: 0 },
            { ...wanted, permits: 0 },
          ]),
      ),
    ),
  );
}
