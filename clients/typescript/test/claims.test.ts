import { describe, expect, it } from "vitest";
import { denied, granted, MachineRun, waiting } from "./machine-run.ts";

describe("claims of a session that is up", () => {
  it("sends all commands of one turn of the event loop in one frame, in order", () => {
    const run = MachineRun.holding(["a"]);
    run.acquire("b");
    run.release(1n);
    run.acquire("a");
    expect(run.effects()).toEqual([]);
    expect(run.sent()).toEqual([["acquire 2", "release 1", "acquire 3"]]);
    expect(run.machine.hasCommands).toBe(false);
  });

  it("waits with acquires until the session is open, then sends them in order in one frame", () => {
    const run = new MachineRun();
    run.acquire("a");
    run.acquire("b", 0);
    const streamNo = run.session();
    expect(run.sent()).toEqual([["open"], ["acquire 1", "acquire 2 0"]]);
    run.acquire("c");
    run.receive(streamNo, granted(1n));
    expect(run.sent()).toEqual([["acquire 3"]]);
  });

  it("tells where a claim stands in the queue, that it is granted, and that it is denied", () => {
    const run = new MachineRun();
    run.acquire("a");
    run.acquire("b", 0);
    const streamNo = run.session();
    run.effects();
    run.receive(streamNo, waiting(1n), granted(1n), denied(2n));
    expect(run.told()).toEqual(["waiting 1", "granted 1", "denied 2 busy"]);
    expect(run.machine.heldAt(run.at)).toEqual([{ claimId: 1n, locks: [{ name: "x", token: 101n }] }]);
  });

  it("releases for good: once, and until the server says that it is gone", () => {
    const run = MachineRun.holding(["a"]);
    run.release(1n);
    run.release(1n);
    expect(run.machine.heldAt(run.at)).toEqual([]);
    expect(run.sent()).toEqual([["release 1"]]);
    run.receive(1, { kind: "released", claimId: 1n });
    expect(run.told()).toEqual(["released 1"]);
  });

  it("says nothing to the server about a claim that was given up before it was sent", () => {
    const run = new MachineRun();
    const claimId = run.acquire("a");
    run.acquire("b");
    run.release(claimId);
    run.session();
    expect(run.told()).toEqual([`released ${claimId}`, "opened"]);
    expect(run.sent()).toEqual([["open"], ["acquire 2"]]);
  });

  it("stops dialing when nothing is wanted any more", () => {
    const run = new MachineRun();
    const claimId = run.acquire("a");
    const streamNo = run.dialed();
    run.release(claimId);
    expect(run.abandoned()).toEqual([streamNo]);
    expect(run.machine.wakeAtMs).toBe(Number.POSITIVE_INFINITY);
  });

  it("gives back a grant that crosses its cancelling", () => {
    const run = MachineRun.holding(["a"]);
    const claimId = run.acquire("b");
    run.flush();
    run.release(claimId);
    run.flush();
    run.effects();
    run.receive(1, granted(claimId));
    expect(run.sent()).toEqual([[`release ${claimId}`]]);
    expect(run.told()).toEqual([]);
  });

  it("gives back a grant of a claim that it does not know", () => {
    const run = MachineRun.holding(["a"]);
    run.receive(1, granted(7n));
    expect(run.sent()).toEqual([["release 7"]]);
    expect(run.told()).toEqual([]);
  });

  it("takes a denial of a claim that it holds as its loss", () => {
    const run = MachineRun.holding(["a"]);
    run.receive(1, denied(1n, "store-unavailable"));
    expect(run.told()).toEqual(["lost 1 store-unavailable"]);
  });

  it("takes the end of a waiting claim as its denial", () => {
    const run = MachineRun.holding(["a"]);
    run.acquire("b");
    run.flush();
    run.receive(1, { kind: "lost", claimId: 2n, reason: "released-by-force", message: "" });
    expect(run.told()).toEqual(["denied 2 released-by-force"]);
  });

  it("never lets a held claim be demoted to waiting", () => {
    const run = MachineRun.holding(["a"]);
    run.receive(1, waiting(1n));
    expect(run.told()).toEqual([]);
    expect(run.machine.heldAt(run.at)).toHaveLength(1);
  });

  it("answers each update of a held claim in order, and sends none for others", () => {
    const run = MachineRun.holding(["a"]);
    run.acquire("b");
    run.update(1n, "one");
    run.update(2n, "not held");
    run.update(1n, "two");
    expect(run.sent()).toEqual([["acquire 2", "update 1", "update 1"]]);
    run.receive(1, { kind: "updated", claimId: 1n, reason: undefined, message: "" });
    run.receive(1, { kind: "updated", claimId: 1n, reason: "store-unavailable", message: "full" });
    expect(run.told()).toEqual(["updated 1", "updated 1 store-unavailable"]);
  });

  it("times a wait out by itself only when the server has long been due to", () => {
    const run = MachineRun.holding(["a"]);
    run.acquire("b", 3000);
    expect(run.sent()).toEqual([["acquire 2 3000"]]);
    run.pass(3900);
    expect(run.told()).toEqual([]);
    run.pass(200);
    expect(run.told()).toEqual(["denied 2 timeout"]);
    expect(run.sent()).toEqual([["release 2"]]);
    run.receive(1, { kind: "released", claimId: 2n });
    expect(run.told()).toEqual([]);
  });
});
