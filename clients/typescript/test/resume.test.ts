import { describe, expect, it } from "vitest";
import {
  ack,
  closed,
  denied,
  draining,
  granted,
  live,
  lostConnection,
  MachineRun,
  opened,
  waiting,
} from "./machine-run.ts";

/** Breaks stream 1 and resumes on the next one, where these claims are live; returns its number. */
function resume(run: MachineRun, ...claims: Parameters<typeof opened>): number {
  run.breaks(1);
  return run.session(...claims);
}

describe("a resume", () => {
  it("keeps what is held, without a word to the program", () => {
    const run = MachineRun.holding(["a"]);
    resume(run, live(1n, true));
    expect(run.sent()).toEqual([["resume 1"]]);
    expect(run.told()).toEqual(["opened"]);
    expect(run.machine.heldAt(run.at)).toHaveLength(1);
  });

  it("has a larger attempt number than any before, whether or not those were answered", () => {
    const run = MachineRun.holding(["a"]);
    run.breaks(1);
    for (const why of [lostConnection, closed("superseded"), closed("store-unavailable"), closed("draining")]) {
      const streamNo = run.dialed();
      run.connected(streamNo);
      if (why === lostConnection) run.breaks(streamNo);
      else run.receive(streamNo, why as ReturnType<typeof closed>);
    }
    run.session(live(1n, true));
    expect(run.sent()).toEqual([["resume 1"], ["resume 2"], ["resume 3"], ["resume 4"], ["resume 5"]]);
    expect(run.told()).toEqual(["opened"]);
  });

  it("takes nothing more from earlier streams from the moment it is sent", () => {
    const run = MachineRun.holding(["a"], { addresses: ["a:1", "b:1"] });
    run.acquire("b");
    run.pass(10_000);
    run.connected(run.dialed());
    run.told();
    run.receive(1, ack(1n), granted(2n), denied(1n), closed("session-expired"));
    run.breaks(1);
    expect(run.told()).toEqual([]);
    run.pass(4850);
    expect(run.told()).toEqual(["lost 1 session-expired"]);
  });

  it("takes an ack of a heartbeat of an earlier stream for nothing", () => {
    const run = MachineRun.holding(["a"]);
    run.pass(5000);
    const streamNo = resume(run, live(1n, true));
    run.told();
    run.block(4000);
    run.receive(streamNo, ack(1n, 60_000));
    run.block(10_850);
    run.tick();
    expect(run.told()).toEqual(["lost 1 session-expired"]);
  });

  it("sends releases first, then what is not granted with what is left of its wait, then updates", () => {
    const run = MachineRun.holding(["a", "b"]);
    run.acquire("c", 10_000);
    run.acquire("d");
    run.flush();
    run.update(2n, "one");
    run.update(2n, "two");
    run.release(1n);
    run.flush();
    run.sent();
    run.breaks(1);
    run.block(4000);
    run.acquire("e", 0);
    run.session(live(1n, true), live(2n, true), live(3n, false));
    expect(run.sent()).toEqual([["resume 1"], ["release 1", "acquire 3 6000", "acquire 4", "acquire 5 0", "update 2"]]);
  });

  it("answers updates that were sent twice once each, with the last value", () => {
    const run = MachineRun.holding(["a"]);
    run.update(1n, "one");
    run.update(1n, "two");
    run.flush();
    run.frames();
    const streamNo = resume(run, live(1n, true));
    expect(run.frames().at(-1)).toEqual([{ kind: "update", claimId: 1n, value: Buffer.from("two") }]);
    run.receive(streamNo, { kind: "updated", claimId: 1n, reason: undefined, message: "" });
    expect(run.effects()).toContainEqual(expect.objectContaining({ kind: "updated", claimId: 1n, count: 2 }));
  });

  it("never makes a try of a wait that is nearly over", () => {
    const run = MachineRun.holding(["a"]);
    run.acquire("b", 4000);
    run.flush();
    run.sent();
    run.breaks(1);
    run.block(3999.9);
    run.session(live(1n, true));
    expect(run.sent()).toEqual([["resume 1"], ["acquire 2 1"]]);
  });

  it("gives up a wait that is over, in words and at the server", () => {
    const run = MachineRun.holding(["a"]);
    run.acquire("b", 4000);
    run.flush();
    run.sent();
    run.breaks(1);
    run.block(4000);
    run.session(live(1n, true), live(2n, false));
    expect(run.told()).toEqual(["opened", "denied 2 timeout"]);
    expect(run.sent()).toEqual([["resume 1"], ["release 2"]]);
  });

  it("loses held claims that are not listed", () => {
    const run = MachineRun.holding(["a", "b"]);
    resume(run, live(2n, true));
    expect(run.told()).toEqual(["opened", "lost 1 released-by-force"]);
    expect(run.machine.heldAt(run.at)).toHaveLength(1);
  });

  it("keeps a held claim that is listed as waiting: another server sees an early hand-off late", () => {
    const run = MachineRun.holding(["a"]);
    const streamNo = resume(run, live(1n, false));
    run.receive(streamNo, waiting(1n), granted(1n));
    expect(run.told()).toEqual(["opened"]);
    expect(run.sent()).toEqual([["resume 1"]]);
    expect(run.machine.heldAt(run.at)).toHaveLength(1);
  });

  it("takes a claim as granted that is listed as held", () => {
    const run = MachineRun.holding(["a"]);
    run.acquire("b");
    run.flush();
    run.sent();
    resume(run, live(1n, true), live(2n, true));
    expect(run.told()).toEqual(["opened", "granted 2"]);
    expect(run.sent()).toEqual([["resume 1"]]);
  });

  it("releases listed claims that nobody here wants", () => {
    const run = MachineRun.holding(["a"]);
    const cancelled = run.acquire("b");
    run.flush();
    run.breaks(1);
    run.release(cancelled);
    run.sent();
    run.session(live(1n, true), live(2n, true), live(9n, false));
    expect(run.sent()).toEqual([["resume 1"], ["release 2", "release 9"]]);
    expect(run.told()).toEqual(["opened"]);
  });

  it("takes a released claim that is not listed as gone", () => {
    const run = MachineRun.holding(["a", "b"]);
    run.release(1n);
    run.flush();
    resume(run, live(2n, true));
    expect(run.told()).toEqual(["opened", "released 1"]);
  });

  it("extends the deadline from when it was sent", () => {
    const run = MachineRun.holding(["a"]);
    run.block(4000);
    run.breaks(1);
    const streamNo = run.dialed();
    run.connected(streamNo);
    run.block(4000);
    run.receive(streamNo, opened(live(1n, true)));
    run.told();
    run.block(10_849);
    run.tick();
    expect(run.told()).toEqual([]);
    run.block(1);
    run.tick();
    expect(run.told()).toEqual(["lost 1 session-expired"]);
  });

  it("is given up at the deadline, and a fresh session opened on the next stream for what still waits", () => {
    const run = MachineRun.holding(["a"]);
    run.acquire("b");
    run.flush();
    run.breaks(1);
    const streamNo = run.dialed();
    run.connected(streamNo);
    run.sent();
    run.block(14_850);
    run.receive(streamNo, opened(live(1n, true)));
    expect(run.told()).toEqual(["lost 1 session-expired"]);
    expect(run.sent()).toEqual([["close"]]);
    run.session();
    expect(run.sent()).toEqual([["open"], ["acquire 2"]]);
  });

  it("of a session that has ended loses what was held, and asks again for what was not", () => {
    for (const reason of ["session-expired", "not-permitted"] as const) {
      const run = MachineRun.holding(["a"]);
      run.acquire("b");
      run.flush();
      run.breaks(1);
      const streamNo = run.dialed();
      run.connected(streamNo);
      run.sent();
      run.receive(streamNo, closed(reason));
      expect(run.told()).toEqual([`lost 1 ${reason}`]);
      run.session();
      expect(run.sent()).toEqual([["open"], ["acquire 2"]]);
    }
  });

  it("follows a stream that the server had to end, since that keeps the session", () => {
    for (const reason of ["client-too-slow", "internal"] as const) {
      const run = MachineRun.holding(["a"]);
      run.receive(1, closed(reason));
      expect(run.told()).toEqual([]);
      run.session(live(1n, true));
      expect(run.sent()).toEqual([["resume 1"]]);
      expect(run.told()).toEqual(["opened"]);
    }
  });

  it("is not tried for a session in which nothing is wanted", () => {
    const run = MachineRun.holding(["a"]);
    run.release(1n);
    run.receive(1, { kind: "released", claimId: 1n });
    run.breaks(1);
    expect(run.dials()).toEqual([]);
    expect(run.machine.sessionId).toBeUndefined();
    expect(run.machine.wakeAtMs).toBe(Number.POSITIVE_INFINITY);
  });

  it("brings a release to the server although nothing else is wanted", () => {
    const run = MachineRun.holding(["a"]);
    run.breaks(1);
    run.release(1n);
    run.sent();
    run.session(live(1n, true));
    expect(run.sent()).toEqual([["resume 1"], ["release 1"]]);
  });
});

describe("the end of a stream", () => {
  it("loses everything that is held when the session cannot be resumed, and asks again for the rest", () => {
    const run = MachineRun.holding(["a"], { onDisconnect: "release" });
    run.acquire("b");
    run.flush();
    run.sent();
    run.breaks(1);
    expect(run.told()).toEqual(["lost 1 connection-lost"]);
    run.session();
    expect(run.sent()).toEqual([["open"], ["acquire 2"]]);
  });

  it("starts a deadline where the transport was the proof", () => {
    const run = MachineRun.holding(["a"], { liveness: "transport" });
    run.pass(60_000);
    run.breaks(1);
    run.pass(14_849);
    expect(run.told()).toEqual([]);
    run.pass(1);
    expect(run.told()).toEqual(["lost 1 session-expired"]);
  });

  it("is resumed from without a deadline where the transport is the proof", () => {
    const run = MachineRun.holding(["a"], { liveness: "transport" });
    resume(run, live(1n, true));
    run.pass(60_000);
    expect(run.told()).toEqual(["opened"]);
  });

  it("by force loses what is held and refuses what waits", () => {
    const run = MachineRun.holding(["a"]);
    run.acquire("b");
    run.flush();
    run.receive(1, closed("closed-by-force"));
    expect(run.told()).toEqual(["lost 1 closed-by-force", "denied 2 closed-by-force"]);
    expect(run.dials()).toEqual([]);
  });

  it("is the end of its frame", () => {
    const run = MachineRun.holding(["a"]);
    run.acquire("b");
    run.flush();
    run.receive(1, closed("superseded"), granted(2n));
    expect(run.told()).toEqual([]);
  });
});

describe("a server that goes away", () => {
  it("is left for the next address, without a gap: it serves until the resume is sent", () => {
    const run = MachineRun.holding(["a"], { addresses: ["a:1", "b:1"] });
    run.acquire("b");
    run.flush();
    run.sent();
    run.receive(1, draining(10_000));
    run.pass(0);
    const streamNo = run.dialed();
    run.receive(1, granted(2n));
    expect(run.told()).toEqual(["granted 2"]);
    run.connected(streamNo);
    run.receive(streamNo, opened(live(1n, true), live(2n, true)));
    expect(run.abandoned()).toEqual([1]);
    expect(run.sent()).toEqual([["resume 1"]]);
    expect(run.told()).toEqual(["opened"]);
  });

  it("is left for one that it names, rather than for one that may be itself", () => {
    const run = MachineRun.holding(["a"], { addresses: ["localhost:1", "a:1"] });
    run.receive(1, draining(10_000, "b:1"));
    run.pass(0);
    expect(run.dials()).toEqual(["b:1"]);
    run.breaks(2, { reason: "unreachable", message: "refused" });
    run.pass(50);
    expect(run.dials()).toEqual(["a:1"]);
  });

  it("is not left by all at once: each takes a random part of a second", () => {
    const run = MachineRun.holding(["a"], { random: () => 0.5 });
    run.receive(1, draining(10_000));
    run.pass(499);
    expect(run.dials()).toEqual([]);
    run.pass(1);
    expect(run.dials()).toEqual(["a:1"]);
  });

  it("is left while three quarters of the session are left, however short it is", () => {
    const run = new MachineRun({ random: () => 0.5 });
    run.acquire("a");
    run.connected(run.dialed());
    run.receive(1, { ...opened(), ttlMs: 2000, validForMs: 2000, heartbeatIntervalMs: 667 }, granted(1n));
    run.receive(1, draining(10_000));
    run.pass(247);
    expect(run.dials()).toEqual([]);
    run.pass(1);
    expect(run.dials()).toEqual(["a:1"]);
  });

  it("is left by closing a session in which nothing is wanted", () => {
    const run = MachineRun.holding(["a"]);
    run.release(1n);
    run.receive(1, { kind: "released", claimId: 1n });
    run.sent();
    run.receive(1, draining(10_000));
    expect(run.sent()).toEqual([["close"]]);
    expect(run.abandoned()).toEqual([1]);
    expect(run.dials()).toEqual([]);
  });

  it("keeps a session that cannot be resumed until nothing is held", () => {
    const run = MachineRun.holding(["a"], { onDisconnect: "release" });
    run.receive(1, draining(10_000));
    run.pass(1000);
    expect(run.dials()).toEqual([]);
    run.acquire("b");
    run.flush();
    run.release(1n);
    expect(run.sent().flat()).toContain("close");
    run.session();
    expect(run.sent()).toEqual([["open"], ["acquire 2"]]);
  });
});
