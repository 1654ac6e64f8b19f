import { describe, expect, it } from "vitest";
import { exclusive } from "../support/key-history.ts";
import { acquire, release, SessionBench, update } from "./session-bench.ts";

function holding() {
  const bench = new SessionBench();
  const session = bench.open("s1");
  session.command(acquire(1n, exclusive("a"), { reentryId: "t", value: new TextEncoder().encode("0") }));
  bench.settle();
  bench.events(session);
  const record = () => {
    const entry = bench.keys.entries.get(bench.keys.keysOf("s1", 1n)[0] ?? "");
    return entry?.kind === "claim" ? entry.record : undefined;
  };
  const value = () => new TextDecoder().decode(record()?.value);
  return { bench, session, value, record };
}

describe("an update", () => {
  it("replaces the value under the epoch and the claim's own revision, and keeps place and lease", () => {
    const { bench, session, value, record } = holding();
    const written = record();
    const before = bench.table.claim("s1", 1n);
    const token = before?.token;
    session.command(update(1n, "new"));
    const flight = bench.takeOff();
    const [operation] = flight?.operations ?? [];
    expect(operation?.guards).toEqual([
      session.epochGuard(),
      { kind: "modified", key: before?.seats[0]?.key, revision: before?.createRevision },
    ]);
    expect(operation?.writes[0]).toMatchObject({ kind: "put", lease: session.lease });
    flight?.land();
    flight?.answer({ kind: "decided", revision: bench.keys.revision, applied: [true] });
    expect(value()).toBe("new");
    expect(record()).toEqual({ ...written, value: new TextEncoder().encode("new") });
    expect(bench.table.claim("s1", 1n)?.token).toBe(token);
    expect(bench.told(session)).toEqual(["updated 1"]);
  });

  it("of a claim that is not seen yet is written when it is", () => {
    const bench = new SessionBench();
    const session = bench.open("s1");
    session.command(acquire(1n, exclusive("a")));
    session.command(update(1n, "early"));
    bench.settle();
    expect(bench.told(session)).toEqual(["granted 1", "updated 1"]);
  });

  it("of a waiting claim is written too", () => {
    const bench = new SessionBench();
    bench.keys.claim("stranger", [exclusive("a")]);
    bench.deliver();
    const session = bench.open("s1");
    session.command(acquire(1n, exclusive("a")));
    bench.settle();
    session.command(update(1n, "w"));
    bench.settle();
    expect(bench.told(session)).toEqual(["waiting 1 1", "updated 1"]);
  });

  it("waits for the earlier one; of those that wait the last is written, and each is answered", () => {
    const { bench, session, value } = holding();
    session.command(update(1n, "1"));
    const first = bench.takeOff();
    for (const each of ["2", "3", "4"]) session.command(update(1n, each));
    expect(bench.takeOff()).toBeUndefined();
    first?.land();
    first?.answer({ kind: "decided", revision: bench.keys.revision, applied: [true] });
    expect(bench.told(session)).toEqual(["updated 1"]);
    const { revision } = bench.keys;
    bench.settle();
    expect(bench.keys.revision).toBe(revision + 1);
    expect(value()).toBe("4");
    expect(bench.told(session)).toEqual(["updated 1", "updated 1", "updated 1"]);
  });

  it("of unknown outcome that landed is answered by what the table shows when its epoch is dead", () => {
    const { bench, session, value } = holding();
    session.command(update(1n, "x"));
    bench.loseAnswer(true);
    expect(bench.told(session)).toEqual([]);
    const { revision } = bench.keys;
    bench.settle();
    expect(bench.told(session)).toEqual(["updated 1"]);
    expect(value()).toBe("x");
    // The bump alone.
    expect(bench.keys.revision).toBe(revision + 1);
  });

  it("of unknown outcome that did not land is written again, and can land only once", () => {
    const { bench, session, value } = holding();
    session.command(update(1n, "x"));
    const late = bench.takeOff();
    late?.answer({ kind: "unknown" });
    bench.settle();
    session.command(update(1n, "y"));
    bench.settle();
    expect(late?.land()).toBe(false);
    expect(value()).toBe("y");
    expect(bench.told(session)).toEqual(["updated 1", "updated 1"]);
  });

  it("that was refused because the claim was written meanwhile is written over that", () => {
    const { bench, session, value } = holding();
    session.command(update(1n, "x"));
    const flight = bench.takeOff();
    bench.keys.update("s1", 1n, new Uint8Array());
    bench.deliver();
    expect(flight?.land()).toBe(false);
    flight?.answer({ kind: "decided", revision: bench.keys.revision, applied: [false] });
    bench.settle();
    expect(value()).toBe("x");
    expect(bench.told(session)).toEqual(["updated 1"]);
  });

  it("that finds the store full is answered so, and the value stays", () => {
    const { bench, session, value } = holding();
    session.command(update(1n, "x"));
    bench.takeOff()?.answer({ kind: "no-space" });
    expect(bench.told(session)).toEqual(["updated 1 store-unavailable"]);
    bench.run();
    expect(value()).toBe("0");
  });

  it("of a claim that is unknown, or was released, does nothing and says so", () => {
    const { bench, session } = holding();
    session.command(update(9n, "x"));
    session.command(release(1n));
    session.command(update(1n, "x"));
    bench.settle();
    expect(bench.told(session)).toEqual(["updated 9 not-found", "updated 1 not-found", "released 1"]);
  });

  it("that waits when its claim ends is answered once, as not found", () => {
    const { bench, session } = holding();
    session.command(update(1n, "x"));
    session.command(update(1n, "y"));
    bench.keys.end("s1", 1n);
    bench.deliver();
    bench.settle();
    const told = bench.told(session);
    expect(told.filter((line) => line.startsWith("updated"))).toEqual(["updated 1 not-found", "updated 1 not-found"]);
    expect(told).toContain("lost 1 released-by-force");
  });

  it("that committed is answered once, though the claim ended before its answer came", () => {
    const { bench, session } = holding();
    session.command(update(1n, "x"));
    const flight = bench.takeOff();
    flight?.land();
    const { revision } = bench.keys;
    bench.keys.end("s1", 1n);
    bench.deliver();
    flight?.answer({ kind: "decided", revision, applied: [true] });
    expect(bench.told(session).filter((line) => line.startsWith("updated"))).toHaveLength(1);
  });

  it("of unknown outcome is answered once, though the claim ended before its epoch was dead", () => {
    const { bench, session } = holding();
    session.command(update(1n, "x"));
    bench.loseAnswer(false);
    bench.keys.end("s1", 1n);
    bench.deliver();
    bench.settle();
    expect(bench.told(session).filter((line) => line.startsWith("updated"))).toEqual(["updated 1 not-found"]);
  });

  it("of a claim that re-entered another is written to that, and answered by its own id", () => {
    const { bench, session, value } = holding();
    session.command(acquire(2n, exclusive("a"), { reentryId: "t" }));
    session.command(update(2n, "inner"));
    bench.settle();
    expect(bench.told(session)).toEqual(["granted 2", "updated 2"]);
    expect(value()).toBe("inner");
  });
});
