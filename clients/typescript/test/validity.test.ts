import { describe, expect, it } from "vitest";
import { ack, granted, MachineRun, opened } from "./machine-run.ts";

// A session of 15 s, opened at once: heartbeats each 5 s, and a validity deadline 14.85 s after what proved it.

describe("the validity deadline", () => {
  it("is counted from when open was sent, less a hundredth", () => {
    const run = new MachineRun();
    run.acquire("a");
    const streamNo = run.dialed();
    run.connected(streamNo);
    run.block(4000);
    run.receive(streamNo, opened(), granted(1n));
    run.told();
    run.block(10_849);
    run.tick();
    expect(run.told()).toEqual([]);
    run.block(1);
    run.tick();
    expect(run.told()).toEqual(["lost 1 session-expired"]);
  });

  it("is counted from when the heartbeat that is answered was sent, not from its answer", () => {
    const run = MachineRun.holding(["a"]);
    run.pass(5000);
    expect(run.sent()).toEqual([["heartbeat 1"]]);
    run.pass(4000);
    run.receive(1, ack(1n));
    run.block(10_849);
    run.tick();
    expect(run.told()).toEqual([]);
    run.block(1);
    run.tick();
    expect(run.told()).toEqual(["lost 1 session-expired"]);
  });

  it("believes no longer than an ack says, and never less than an earlier one said", () => {
    const run = MachineRun.holding(["a"]);
    run.pass(5000);
    run.receive(1, ack(1n, 6000));
    run.block(9849);
    run.tick();
    expect(run.told()).toEqual([]);
    run.block(1);
    run.tick();
    expect(run.told()).toEqual(["lost 1 session-expired"]);
  });

  it("takes nothing for an ack of a heartbeat that was not sent", () => {
    const run = MachineRun.holding(["a"]);
    run.receive(1, ack(9n));
    run.block(14_850);
    run.tick();
    expect(run.told()).toEqual(["lost 1 session-expired"]);
  });

  it("comes before the ack that arrives past it", () => {
    const run = MachineRun.holding(["a"]);
    run.pass(5000);
    run.block(9850);
    run.receive(1, ack(1n));
    expect(run.told()).toEqual(["lost 1 session-expired"]);
  });

  it("comes before the grant that arrives past it", () => {
    const run = MachineRun.holding(["a"]);
    run.acquire("b");
    run.flush();
    run.block(14_850);
    run.receive(1, granted(2n));
    expect(run.told()).toEqual(["lost 1 session-expired"]);
  });

  it("comes before the heartbeat of a timer that fires late", () => {
    const run = MachineRun.holding(["a"]);
    run.block(20_000);
    run.tick();
    expect(run.sent()).toEqual([["close"]]);
    expect(run.told()).toEqual(["lost 1 session-expired"]);
  });

  it("is as far away as the machine says, as long as nothing more is heard", () => {
    const run = MachineRun.holding(["a"]);
    run.pass(5000);
    expect(run.machine.remainingMsAt(run.at)).toBe(9850);
    run.wallMs += 500;
    run.receive(1, ack(1n));
    expect(run.machine.remainingMsAt(run.at)).toBe(14_350);
    run.block(14_350);
    expect(run.machine.remainingMsAt(run.at)).toBe(0);
    run.tick();
    expect(run.machine.remainingMsAt(run.at)).toBe(0);
  });

  it("is looked at by every call of the program", () => {
    for (const call of [
      (run: MachineRun) => run.acquire("b"),
      (run: MachineRun) => run.release(7n),
      (run: MachineRun) => run.update(1n, "value"),
      (run: MachineRun) => run.open(),
    ]) {
      const run = MachineRun.holding(["a"]);
      run.block(14_850);
      expect(run.machine.heldAt(run.at)).toEqual([]);
      call(run);
      expect(run.told()[0]).toBe("lost 1 session-expired");
    }
  });

  it("ends the session for good: it is closed, and what still waits is asked for in a fresh one", () => {
    const run = MachineRun.holding(["a"]);
    run.acquire("b", 60_000);
    run.flush();
    run.effects();
    run.block(14_850);
    run.tick();
    expect(run.told()).toEqual(["lost 1 session-expired"]);
    expect(run.sent()).toEqual([["close"]]);
    expect(run.abandoned()).toEqual([1]);
    expect(run.machine.sessionId).toBeUndefined();
    run.session();
    expect(run.sent()).toEqual([["open"], ["acquire 2 45150"]]);
  });

  it("loses a session that opened too late to be believed", () => {
    const run = new MachineRun({ ttlMs: 2000 });
    run.acquire("a");
    const streamNo = run.dialed();
    run.connected(streamNo);
    run.block(990);
    run.receive(streamNo, { ...opened(), ttlMs: 1000, validForMs: 1000 });
    expect(run.sent()).toEqual([["open"], ["close"]]);
    expect(run.machine.sessionId).toBeUndefined();
  });
});

describe("a suspended machine", () => {
  it("has lost its session when the wall clock jumps more than a second ahead of the monotonic one", () => {
    const run = MachineRun.holding(["a"]);
    run.wallMs += 1000;
    run.tick();
    expect(run.told()).toEqual([]);
    run.wallMs += 1;
    run.tick();
    expect(run.told()).toEqual(["lost 1 session-expired"]);
  });

  it("is noticed within a second while something is held", () => {
    const run = MachineRun.holding(["a"]);
    run.wallMs += 60_000;
    run.pass(1000);
    expect(run.told()).toEqual(["lost 1 session-expired"]);
  });

  it("is noticed although the wall clock was set back before", () => {
    const run = MachineRun.holding(["a"]);
    run.wallMs -= 60_000;
    run.tick();
    run.wallMs += 1001;
    run.tick();
    expect(run.told()).toEqual(["lost 1 session-expired"]);
  });

  it("counts smaller jumps as time that has passed, until the next proof", () => {
    const run = MachineRun.holding(["a"]);
    run.wallMs += 900;
    run.tick();
    run.block(13_949);
    run.tick();
    expect(run.told()).toEqual([]);
    run.block(1);
    run.tick();
    expect(run.told()).toEqual(["lost 1 session-expired"]);
  });

  it("starts afresh with each proof, so that clocks may drift", () => {
    const run = MachineRun.holding(["a"]);
    for (let seq = 1n; seq <= 5n; seq++) {
      run.pass(5000);
      run.wallMs += 400;
      run.receive(1, ack(seq));
    }
    expect(run.told()).toEqual([]);
  });
});

describe("heartbeats", () => {
  it("are sent each interval, numbered upwards, whatever else is sent", () => {
    const run = MachineRun.holding(["a"]);
    run.acquire("b");
    expect(run.sent()).toEqual([["acquire 2"]]);
    run.pass(5000);
    run.receive(1, ack(1n));
    run.pass(5000);
    expect(run.sent()).toEqual([["heartbeat 1"], ["heartbeat 2"]]);
  });

  it("go on with the next number after a resume", () => {
    const run = MachineRun.holding(["a"]);
    run.pass(5000);
    run.breaks(1);
    const streamNo = run.dialed();
    run.connected(streamNo);
    run.receive(streamNo, opened({ claimId: 1n, held: true, locks: [] }));
    run.sent();
    run.pass(5000);
    expect(run.sent()).toEqual([["heartbeat 2"]]);
  });

  it("are not wanted when the transport proves that the client lives, nor is there a deadline then", () => {
    const run = MachineRun.holding(["a"], { liveness: "transport" });
    run.pass(3_600_000);
    run.wallMs += 5000;
    run.tick();
    expect(run.effects()).toEqual([]);
  });

  it("that go unanswered for an interval make it connect elsewhere, and resume there", () => {
    const run = MachineRun.holding(["a"], { addresses: ["a:1", "b:1"] });
    run.pass(9999);
    expect(run.dials()).toEqual([]);
    run.pass(1);
    expect(run.sent()).toEqual([["heartbeat 1"], ["heartbeat 2"]]);
    run.connected(run.dialed());
    expect(run.abandoned()).toEqual([1]);
    expect(run.sent()).toEqual([["resume 1"]]);
  });

  it("that are answered after all leave it where it is", () => {
    const run = MachineRun.holding(["a"], { addresses: ["a:1", "b:1"] });
    run.pass(10_000);
    const streamNo = run.dialed();
    run.receive(1, ack(2n));
    expect(run.abandoned()).toEqual([streamNo]);
    run.connected(streamNo);
    expect(run.sent()).toEqual([["heartbeat 1"], ["heartbeat 2"]]);
  });
});
