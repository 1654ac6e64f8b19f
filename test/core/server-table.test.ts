import { describe, expect, it } from "vitest";
import type { ServerEntry } from "../../server/core/entry.ts";
import type { ServerRecord } from "../../server/core/records.ts";
import { ServerTable } from "../../server/core/server-table.ts";
import { KeyHistory } from "../support/key-history.ts";

function entry(id: string, about: Partial<ServerRecord> = {}, modRevision = 1): ServerEntry {
  const record = { address: `${id}:7400`, version: "1", startedAtMs: 0, draining: false, ...about };
  return { kind: "server", key: `server/${id}`, record, createRevision: 1, modRevision, lease: 1n };
}

const put = (id: string, about: Partial<ServerRecord> = {}, modRevision = 1) =>
  ({ kind: "put", entry: entry(id, about, modRevision) }) as const;

const ids = (table: ServerTable) => table.list().map(({ id }) => id);

describe("the table of servers", () => {
  it("says whether a revision was about a server, and leaves locks and sessions alone", () => {
    const table = new ServerTable();
    const keys = new KeyHistory();
    keys.claim("s1", [{ name: "server/b", mode: "exclusive", permits: 0, limit: 0 }]);
    for (const { changes } of keys.log) expect(table.apply(changes)).toBe(false);
    expect(table.apply([{ kind: "delete", key: "claim/server/b//s1/0000000000000001" }])).toBe(false);
    expect(table.apply([put("b"), put("a")])).toBe(true);
    expect(ids(table)).toEqual(["a", "b"]);
    expect(table.apply([{ kind: "delete", key: "server/a" }])).toBe(true);
    expect(ids(table)).toEqual(["b"]);
  });

  it("is the same from a snapshot as from every revision", () => {
    const followed = new ServerTable();
    for (const changes of [[put("a"), put("b")], [put("a", { draining: true }, 3)], [put("c", {}, 4)]])
      followed.apply(changes);
    followed.apply([{ kind: "delete", key: "server/b" }]);
    const read = new ServerTable();
    read.replace([entry("gone")]);
    read.replace([entry("c", {}, 4), entry("a", { draining: true }, 3)]);
    expect(read.list()).toEqual(followed.list());
  });

  it("sends clients to the others, each address once, but not to those that drain or tell none", () => {
    const table = new ServerTable();
    table.apply([put("own"), put("b"), put("c", { draining: true }), put("d", { address: "" })]);
    table.apply([put("again", { address: "b:7400" }), put("restarted", { address: "own:7400" })]);
    expect(table.othersThan("own:7400")).toEqual(["b:7400"]);
    expect(table.othersThan("new:7400")).toEqual(["b:7400", "own:7400"]);
  });

  it("sends clients nowhere from a server that tells no address itself", () => {
    const table = new ServerTable();
    table.apply([put("b")]);
    expect(table.othersThan("")).toEqual([]);
  });

  it("tells a client of at most 100 others", () => {
    const table = new ServerTable();
    table.apply(Array.from({ length: 150 }, (_, i) => put(`s${i}`)));
    expect(table.othersThan("own:7400")).toHaveLength(100);
  });

  it("names the first key in which it differs from the store, unless that has changed since", () => {
    const table = new ServerTable();
    table.apply([put("a"), put("b")]);
    const differs = (entries: readonly ServerEntry[], except: readonly string[] = []) =>
      table.disagreement({ revision: 9, entries }, new Set(except));
    expect(differs([entry("b"), entry("a")])).toBeUndefined();
    expect(differs([entry("a")])).toBe("server/b");
    expect(differs([entry("a")], ["server/b"])).toBeUndefined();
    expect(differs([entry("a"), entry("b", {}, 2)])).toBe("server/b");
    expect(differs([entry("a"), entry("b"), entry("c")])).toBe("server/c");
    expect(differs([entry("a"), entry("b"), entry("c")], ["server/c"])).toBeUndefined();
  });
});
