import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { openEtcdStore } from "../../../../server/adapters/etcd/index.ts";
import { encodeValue } from "../../../../server/adapters/etcd/records.ts";
import { type RangeRequest, RangeResponse } from "../../../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import { fakeHeader, startFakeEtcd } from "../../../support/fake-etcd.ts";
import { readAll, session } from "../../../support/store-calls.ts";

type Reply = RangeResponse | { readonly code: status; readonly details: string };

/** A page with sessions of these names, as of a revision. */
const page = (revision: number, more: boolean, ...names: readonly string[]): Reply =>
  RangeResponse.create({
    header: fakeHeader(revision),
    more,
    kvs: names.map((name) => ({
      key: Buffer.from(`/fake/session/${name}`),
      value: Buffer.from(encodeValue(session())),
      createRevision: 2n,
      modRevision: 3n,
    })),
  });

const failure = (code: status, details: string): Reply => ({ code, details });

/** Reads all from an etcd that answers page after page as told; tells what was asked and what was read. */
async function readFrom(...replies: readonly Reply[]) {
  const asked: { from: string; revision: number; limit: number }[] = [];
  let opened = false;
  await using etcd = await startFakeEtcd({
    range: ({ request }: { request: RangeRequest }, done) => {
      const { key, rangeEnd, revision, limit } = request;
      // Members are looked at all the time, by a read of one key.
      const isRead = opened && rangeEnd.length > 0;
      const reply = isRead ? replies[asked.length] : page(1, false);
      if (isRead) asked.push({ from: key.toString(), revision: Number(revision), limit: Number(limit) });
      if (reply === undefined || "code" in reply)
        done(reply ?? { code: status.INTERNAL, details: "asked again" }, null);
      else done(null, reply);
    },
  });
  await using store = await openEtcdStore({
    endpoints: [etcd.endpoint],
    prefix: "/fake/",
    onFault: (fault) => {
      throw fault;
    },
  });
  opened = true;
  const snapshot = await readAll(store);
  return { asked, revision: snapshot?.revision, keys: snapshot?.entries.map(({ key }) => key) };
}

describe("a snapshot", () => {
  it("is read in pages, all as of the revision of the first", async () => {
    const { asked, revision, keys } = await readFrom(page(7, true, "a", "b"), page(9, true, "c"), page(9, false, "d"));
    expect(revision).toBe(7);
    expect(keys).toEqual(["session/a", "session/b", "session/c", "session/d"]);
    expect(asked.map(({ from }) => from)).toEqual(["/fake/", "/fake/session/b\0", "/fake/session/c\0"]);
    expect(asked.map((one) => one.revision)).toEqual([0, 7, 7]);
  });

  it("begins anew, with larger pages, when etcd has forgotten the revision", async () => {
    const compacted = failure(status.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted");
    const { asked, revision, keys } = await readFrom(page(7, true, "a"), compacted, page(9, false, "b"));
    expect({ revision, keys }).toEqual({ revision: 9, keys: ["session/b"] });
    expect(asked.map((one) => one.revision)).toEqual([0, 7, 0]);
    expect(asked[2]!.limit).toBe(2 * asked[0]!.limit);
  });

  it("goes on with smaller pages when one is larger than can be received", async () => {
    const tooLarge = failure(status.RESOURCE_EXHAUSTED, "Received message larger than max (20000000 vs 16777216)");
    const { asked, revision, keys } = await readFrom(page(7, true, "a"), tooLarge, page(7, false, "b"));
    expect({ revision, keys }).toEqual({ revision: 7, keys: ["session/a", "session/b"] });
    expect(asked[2]!.limit).toBeLessThan(asked[1]!.limit);
    expect(asked[2]).toMatchObject({ from: asked[1]!.from, revision: 7 });
  });

  it("is none when a page cannot be read", async () => {
    const { keys } = await readFrom(page(7, true, "a"), failure(status.UNAVAILABLE, "etcdserver: no leader"));
    expect(keys).toBeUndefined();
  });
});
