import { describe, expect, it } from "vitest";
import { closed, draining, granted, live, MachineRun, opened } from "./machine-run.ts";

const refused = { reason: "unreachable", message: "refused" } as const;

describe("connecting", () => {
  it("begins when something is wanted, and not before", () => {
    const run = new MachineRun();
    run.pass(60_000);
    expect(run.effects()).toEqual([]);
    run.acquire("a");
    expect(run.dials()).toEqual(["a:1"]);
  });

  it("takes the addresses in turn, from a random one on", () => {
    const run = new MachineRun({ addresses: ["a:1", "b:1", "c:1"], random: () => 0.4 });
    run.acquire("a");
    const tried: string[] = [];
    for (let streamNo = 1; streamNo <= 4; streamNo++) {
      tried.push(...run.dials());
      run.breaks(streamNo, refused);
      run.pass(5000 / 2 ** (8 - streamNo));
    }
    expect(tried).toEqual(["b:1", "c:1", "a:1", "b:1"]);
  });

  it("takes those that a server told of before the others, and the one that failed last", () => {
    const run = new MachineRun({ addresses: ["a:1", "b:1"] });
    run.acquire("a");
    const streamNo = run.dialed();
    run.connected(streamNo);
    run.receive(streamNo, { ...opened(), servers: ["c:1", "b:1", "d:1"] });
    const tried: string[] = [];
    for (let i = streamNo; i < streamNo + 5; i++) {
      run.breaks(i, refused);
      run.pass(1500);
      tried.push(...run.dials());
    }
    expect(tried).toEqual(["d:1", "c:1", "b:1", "a:1", "d:1"]);
  });

  it("forgets those that are not told of any more, and never those of the program", () => {
    const run = new MachineRun({ addresses: ["a:1", "b:1"] });
    run.acquire("a");
    const told = (servers: readonly string[]) => {
      const streamNo = run.dialed();
      run.connected(streamNo);
      run.receive(streamNo, { ...opened(live(1n, false)), servers });
      const known = [...run.machine.addresses].sort();
      run.breaks(streamNo);
      run.pass(0);
      return known;
    };
    expect(told(["c:1", "c:1", "a:1"])).toEqual(["a:1", "b:1", "c:1"]);
    // This is c:1, which does not name itself.
    expect(told(["d:1"])).toEqual(["a:1", "b:1", "c:1", "d:1"]);
    expect(told([])).toEqual(["a:1", "b:1", "d:1"]);
    expect(told([])).toEqual(["a:1", "b:1"]);
  });

  it("spreads over the servers that it was told of", () => {
    const firsts = [0, 0.4, 0.8].map((chance) => {
      const run = new MachineRun({ random: () => chance });
      run.acquire("a");
      run.connected(run.dialed());
      run.receive(1, { ...opened(), servers: ["b:1", "c:1", "d:1"] });
      return run.machine.addresses[0];
    });
    expect(firsts).toEqual(["d:1", "c:1", "b:1"]);
  });

  it("does not try a server that came since before all others that it was told of", () => {
    const places = [0, 0.4, 0.8].map((chance) => {
      let random = 0;
      const run = new MachineRun({ random: () => random });
      run.acquire("a");
      run.connected(run.dialed());
      run.receive(1, { ...opened(), servers: ["b:1", "c:1", "d:1"] });
      random = chance;
      run.receive(1, { kind: "servers", servers: ["b:1", "c:1", "d:1", "e:1"] });
      return run.machine.addresses.indexOf("e:1");
    });
    expect(places).toEqual([0, 1, 3]);
  });

  it("keeps the server that it is on while it tries another, and one that is away for a moment, tried last", () => {
    const run = new MachineRun({ addresses: ["a:1"] });
    run.acquire("a");
    run.connected(run.dialed());
    run.receive(1, { ...opened(), servers: ["b:1"] }, granted(1n));
    run.breaks(1);
    run.pass(0);
    run.connected(run.dialed());
    // It is on b:1 now.
    run.receive(2, { ...opened(live(1n, true)), servers: ["a:1", "c:1"] });
    run.receive(2, draining(0, "a:1", "c:1"));
    run.pass(0);
    expect(run.dials()).toEqual(["c:1"]);
    run.receive(2, { kind: "servers", servers: ["a:1", "d:1"] });
    expect(run.machine.addresses).toEqual(["d:1", "a:1", "b:1", "c:1"]);
    run.receive(2, { kind: "servers", servers: ["a:1"] });
    expect(run.machine.addresses).toEqual(["a:1", "d:1", "b:1", "c:1"]);
    run.receive(2, { kind: "servers", servers: ["a:1"] });
    expect(run.machine.addresses).toEqual(["a:1", "b:1", "c:1"]);
  });

  it("goes to a server that came since, and not to one that is no more", () => {
    const run = new MachineRun({ addresses: ["a:1"] });
    run.acquire("a");
    run.connected(run.dialed());
    run.receive(1, { ...opened(), servers: ["b:1"] }, granted(1n));
    run.receive(1, { kind: "servers", servers: ["c:1"] });
    expect(run.machine.addresses).toEqual(["c:1", "a:1", "b:1"]);
    run.dials();
    run.breaks(1);
    run.pass(0);
    expect(run.dials()).toEqual(["c:1"]);
  });

  it("pauses between attempts for a random part of a bound that doubles from 50 ms to 5 s", () => {
    const run = new MachineRun({ random: () => 0.999, connectTimeoutMs: 1_000_000 });
    run.acquire("a");
    const pauses: number[] = [];
    for (let i = 0; i < 9; i++) {
      run.breaks(run.dialed(), refused);
      pauses.push(run.machine.wakeAtMs - run.nowMs);
      run.pass(5000);
    }
    expect(pauses.map((pause) => Math.round(pause / 0.999))).toEqual([50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
  });

  it("pauses no longer than a tenth of the TTL while there is a session to save", () => {
    const run = MachineRun.holding(["a"], { random: () => 0.999 });
    run.breaks(1);
    let longestMs = 0;
    for (let i = 0; i < 8; i++) {
      longestMs = Math.max(longestMs, run.machine.wakeAtMs - run.nowMs);
      run.pass(run.machine.wakeAtMs - run.nowMs);
      while (run.dials().length === 0) run.pass(run.machine.wakeAtMs - run.nowMs);
      run.breaks(i + 2, refused);
    }
    expect(longestMs).toBeLessThanOrEqual(1500);
    expect(longestMs).toBeGreaterThan(700);
  });

  it("forgets failures after a stream that was up for a second, and not before", () => {
    const run = new MachineRun({ random: () => 0.999 });
    run.acquire("a");
    for (const upMs of [0, 0, 1000]) {
      const streamNo = run.session();
      run.block(upMs);
      run.breaks(streamNo);
      if (upMs === 0) run.pass(200);
    }
    expect(run.machine.wakeAtMs - run.nowMs).toBeCloseTo(50, 0);
  });

  it("gives an address a third of the TTL to connect, at most 5 s, and half of what is left to open", () => {
    const run = MachineRun.holding(["a"]);
    run.breaks(1);
    const first = run.dialed();
    run.pass(4999);
    expect(run.abandoned()).toEqual([1]);
    run.pass(1);
    expect(run.abandoned()).toEqual([first]);
    run.pass(0);
    const second = run.dialed();
    run.connected(second);
    run.pass(4924);
    expect(run.abandoned()).toEqual([]);
    run.pass(1);
    expect(run.abandoned()).toEqual([second]);
    run.pass(0);
    expect(run.dialed()).toBe(second + 1);
  });

  it("shares what is left of the session among the addresses when its server stands still", () => {
    const run = MachineRun.holding(["a"], { addresses: ["a:1", "b:1", "c:1"] });
    run.pass(10_000);
    const mute = run.dialed();
    run.pass(1212);
    expect(run.abandoned()).toEqual([]);
    run.pass(1);
    expect(run.abandoned()).toEqual([mute]);
    run.sent();
    run.connected(run.dialed());
    expect(run.sent()).toEqual([["resume 1"]]);
  });

  it("closes a new session that opens too late, lest it be nobody's", () => {
    const run = new MachineRun();
    run.acquire("a");
    run.connected(run.dialed());
    run.pass(5000);
    expect(run.sent()).toEqual([["open"], ["close"]]);
  });

  it("does not close a session whose resume takes too long", () => {
    const run = MachineRun.holding(["a"]);
    run.breaks(1);
    run.connected(run.dialed());
    run.pass(5000);
    expect(run.sent()).toEqual([["resume 1"]]);
  });
});

describe("a claim that no session can be had for", () => {
  it("is denied after the connect timeout, for the last failure's reason", () => {
    const run = new MachineRun({ random: () => 0.999 });
    run.acquire("a");
    run.connected(run.dialed());
    run.receive(1, closed("store-unavailable"));
    run.pass(4000);
    run.acquire("b");
    run.pass(5999);
    expect(run.told()).toEqual([]);
    run.pass(1);
    expect(run.told()).toEqual(["denied 1 unreachable"]);
    run.pass(4000);
    expect(run.told()).toEqual(["denied 2 unreachable"]);
    expect(run.machine.wakeAtMs).toBe(Number.POSITIVE_INFINITY);
  });

  it("is denied when its own wait is over, and is not called timed out: it never waited in a queue", () => {
    const run = new MachineRun();
    run.acquire("a", 500);
    run.connected(run.dialed());
    run.receive(1, closed("store-unavailable"));
    run.pass(499);
    expect(run.told()).toEqual([]);
    run.pass(1);
    expect(run.told()).toEqual(["denied 1 store-unavailable"]);
  });

  it("is denied at once when a server says that no session may be had", () => {
    for (const reason of ["not-permitted", "invalid", "internal", "unknown"] as const) {
      const run = new MachineRun();
      run.acquire("a");
      run.connected(run.dialed());
      run.receive(1, closed(reason));
      expect(run.told()).toEqual([`denied 1 ${reason}`]);
      expect(run.dials()).toEqual([]);
    }
  });

  it("may take the whole connect timeout again when a session is lost while it waits", () => {
    const run = MachineRun.holding(["a"]);
    run.acquire("b");
    run.flush();
    run.pass(9000);
    run.receive(1, closed("session-expired"));
    run.pass(9999);
    expect(run.told()).toEqual(["lost 1 session-expired"]);
    run.pass(1);
    expect(run.told()).toEqual(["denied 2 unreachable"]);
  });
});

describe("waiting for a session alone", () => {
  it("ends when there is one, also if it was there before", () => {
    const run = new MachineRun();
    run.open();
    run.session();
    expect(run.told()).toEqual(["opened"]);
    run.open();
    expect(run.told()).toEqual(["opened"]);
  });

  it("ends with the reason when there is none within the connect timeout", () => {
    const run = new MachineRun();
    run.open();
    run.breaks(run.dialed(), { reason: "unreachable", message: "refused" });
    run.pass(10_000);
    expect(run.told()).toEqual(["not-opened unreachable"]);
    expect(run.machine.wakeAtMs).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("closing", () => {
  it("loses what is held and denies what waits at once, then tells the server and waits for its answer", () => {
    const run = MachineRun.holding(["a"]);
    run.acquire("b");
    run.close();
    expect(run.told()).toEqual(["lost 1 closed-by-client", "denied 2 closed-by-client"]);
    expect(run.sent()).toEqual([["close"]]);
    run.receive(1, { kind: "released", claimId: 1n }, closed("closed-by-client"));
    expect(run.told()).toEqual(["closed"]);
    expect(run.machine.wakeAtMs).toBe(Number.POSITIVE_INFINITY);
  });

  it("takes no longer than it may", () => {
    const run = MachineRun.holding(["a"]);
    run.close();
    run.told();
    run.pass(1999);
    expect(run.told()).toEqual([]);
    run.pass(1);
    expect(run.told()).toEqual(["closed"]);
    expect(run.abandoned()).toEqual([1]);
    expect(run.machine.wakeAtMs).toBe(Number.POSITIVE_INFINITY);
  });

  it("resumes a session whose connection is broken, to close it", () => {
    const run = MachineRun.holding(["a"]);
    run.breaks(1);
    run.close();
    run.told();
    const streamNo = run.dialed();
    run.connected(streamNo);
    expect(run.sent()).toEqual([["resume 1", "close"]]);
    run.receive(streamNo, opened(live(1n, true)), granted(1n), closed("closed-by-client"));
    expect(run.told()).toEqual(["closed"]);
    expect(run.machine.sessionId).toBeUndefined();
  });

  it("is over at once when there is nothing to close", () => {
    const run = new MachineRun();
    run.acquire("a");
    const streamNo = run.dialed();
    run.close();
    expect(run.told()).toEqual(["denied 1 closed-by-client", "closed"]);
    expect(run.abandoned()).toEqual([streamNo]);
  });

  it("closes a session that is just being opened", () => {
    const run = new MachineRun();
    run.acquire("a");
    const streamNo = run.dialed();
    run.connected(streamNo);
    run.close();
    expect(run.sent()).toEqual([["open"], ["close"]]);
    run.receive(streamNo, opened(), closed("closed-by-client"));
    expect(run.told()).toEqual(["denied 1 closed-by-client", "closed"]);
  });

  it("refuses everything afterwards, and does nothing", () => {
    const run = MachineRun.holding(["a"]);
    run.close();
    run.receive(1, closed("closed-by-client"));
    run.effects();
    run.acquire("b");
    run.open();
    run.close();
    expect(run.effects().map(({ kind }) => kind)).toEqual(["denied", "not-opened"]);
    expect(run.machine.wakeAtMs).toBe(Number.POSITIVE_INFINITY);
  });
});
