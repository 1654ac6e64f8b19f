import { describe, expect, it } from "vitest";
import { viewWaits } from "../../server/core/wait-view.ts";
import { exclusive, KeyHistory, semaphore, shared } from "../support/key-history.ts";

/** What a view says in short: nodes by session and thread, edges between them. */
function shown(keys: KeyHistory, prefix = "", maxNodes = 200) {
  const { nodes, edges, omitted } = viewWaits(keys.table, prefix, maxNodes);
  const names = new Map(nodes.map((node) => [node.id, `${node.sessionId}${node.reentryId && `/${node.reentryId}`}`]));
  return {
    nodes: nodes.map((node) => `${names.get(node.id)}${node.deadlocked ? " !" : ""}`),
    edges: edges.map(({ from, to, lock, held }) => `${names.get(from)} ${held ? "=>" : "->"} ${names.get(to)} ${lock}`),
    omitted,
  };
}

describe("who waits for whom", () => {
  it("shows the holder and the waiters of a contended lock, each behind the one ahead", () => {
    const keys = new KeyHistory();
    for (const session of ["s1", "s2", "s3"]) keys.claim(session, [exclusive("a")]);
    keys.claim("s4", [exclusive("free of trouble")]);
    expect(shown(keys)).toEqual({
      nodes: ["s1", "s2", "s3"],
      edges: ["s2 => s1 a", "s3 -> s2 a"],
      omitted: 0,
    });
  });

  it("shows nothing when nobody waits", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [shared("a")]);
    keys.claim("s2", [shared("a")]);
    expect(shown(keys)).toEqual({ nodes: [], edges: [], omitted: 0 });
  });

  it("takes the claims of one thread of control for one node, and tells what it holds and wants", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")], { reentryId: "x" });
    keys.claim("s2", [exclusive("b")], { reentryId: "y" });
    keys.claim("s1", [exclusive("b")], { reentryId: "x" });
    keys.claim("s3", [exclusive("a")]);
    const { nodes } = viewWaits(keys.table, "", 200);
    expect(
      nodes.map(({ sessionId, reentryId, claimId, held, wanted }) => [sessionId, reentryId, claimId, held, wanted]),
    ).toEqual([
      ["s1", "x", 0n, ["a"], ["b"]],
      ["s3", "", 1n, [], ["a"]],
      ["s2", "y", 0n, ["b"], []],
    ]);
    expect(shown(keys).edges.sort()).toEqual(["s1/x => s2/y b", "s3 => s1/x a"]);
  });

  it("marks the threads that wait for each other in a circle, and not who waits for them", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")], { reentryId: "x" });
    keys.claim("s2", [exclusive("b")], { reentryId: "y" });
    keys.claim("s1", [exclusive("b")], { reentryId: "x" });
    keys.claim("s2", [exclusive("a")], { reentryId: "y" });
    keys.claim("s3", [exclusive("a")]);
    const { nodes, edges } = shown(keys);
    expect(nodes.sort()).toEqual(["s1/x !", "s2/y !", "s3"]);
    expect(edges.sort()).toEqual(["s1/x => s2/y b", "s2/y => s1/x a", "s3 -> s2/y a"]);
  });

  it("gives circles before queues, however long those are", () => {
    const keys = new KeyHistory();
    for (let i = 0; i < 50; i++) keys.claim(`q${i}`, [exclusive("hot")]);
    keys.claim("s1", [exclusive("a")], { reentryId: "x" });
    keys.claim("s2", [exclusive("b")], { reentryId: "y" });
    keys.claim("s1", [exclusive("b")], { reentryId: "x" });
    keys.claim("s2", [exclusive("a")], { reentryId: "y" });
    const { nodes, edges, omitted } = shown(keys, "", 4);
    expect(nodes.slice(0, 2).sort()).toEqual(["s1/x !", "s2/y !"]);
    expect(nodes.slice(2)).toEqual(["q0", "q1"]);
    expect(edges).toContain("q1 => q0 hot");
    expect(omitted).toBe(48);
  });

  it("shows something of each contended lock before all of one, the longest queue first", () => {
    const keys = new KeyHistory();
    for (let i = 0; i < 5; i++) keys.claim(`a${i}`, [exclusive("a")]);
    for (let i = 0; i < 100; i++) keys.claim(`b${i}`, [exclusive("b")]);
    const { nodes } = shown(keys, "", 20);
    expect(nodes.slice(0, 11)).toEqual(Array.from({ length: 11 }, (_, i) => `b${i}`));
    expect(nodes.slice(11, 16)).toEqual(["a0", "a1", "a2", "a3", "a4"]);
    expect(nodes).toHaveLength(20);
  });

  it("leads over those who are not shown to the nearest one who is", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a")], { reentryId: "x" });
    for (let i = 0; i < 30; i++) keys.claim(`q${i}`, [exclusive("a")]);
    keys.claim("s2", [exclusive("b")], { reentryId: "y" });
    keys.claim("s1", [exclusive("b")], { reentryId: "x" });
    keys.claim("s2", [exclusive("a")], { reentryId: "y" });
    const { edges } = shown(keys, "", 2);
    expect(edges.sort()).toEqual(["s1/x => s2/y b", "s2/y => s1/x a"]);
  });

  it("keeps to the locks with a prefix", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [exclusive("a/1"), exclusive("b/1")]);
    keys.claim("s2", [exclusive("a/1"), exclusive("b/1")]);
    const { nodes, edges } = viewWaits(keys.table, "a/", 10);
    expect(nodes.map(({ held, wanted }) => [held, wanted])).toEqual([
      [["a/1"], []],
      [[], ["a/1"]],
    ]);
    expect(edges).toHaveLength(1);
    expect(shown(keys, "c").nodes).toEqual([]);
  });

  it("gives the next claim at most ten holders to wait for", () => {
    const keys = new KeyHistory();
    for (let i = 0; i < 30; i++) keys.claim(`h${i}`, [semaphore("a", 1, 30)]);
    keys.claim("w", [semaphore("a", 1, 30)]);
    expect(shown(keys).edges.filter((edge) => edge.startsWith("w => "))).toHaveLength(10);
  });

  it("does not wait for itself", () => {
    const keys = new KeyHistory();
    keys.claim("s1", [shared("a")], { reentryId: "x" });
    keys.claim("s1", [exclusive("a")], { reentryId: "x" });
    expect(shown(keys).edges).toEqual([]);
  });

  it("fits an answer, however long the names are", () => {
    const keys = new KeyHistory();
    const names = Array.from({ length: 16 }, (_, i) => `${i}${"é".repeat(250)}`);
    for (let i = 0; i < 400; i++) keys.claim(`s${i}`, names.map(exclusive));
    const view = viewWaits(keys.table, "", 1_000);
    const bytes = Buffer.byteLength(
      JSON.stringify(view, (_, value) => (typeof value === "bigint" ? String(value) : value)),
    );
    expect(view.nodes.length).toBeLessThan(400);
    expect(bytes).toBeLessThan(3_000_000);
    expect(view.omitted).toBeGreaterThan(0);
  });
});
