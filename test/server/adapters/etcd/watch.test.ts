import type { ServerDuplexStream } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { type EtcdStore, openEtcdStore } from "../../../../server/adapters/etcd/index.ts";
import { encodeValue } from "../../../../server/adapters/etcd/records.ts";
import { RangeResponse, type WatchRequest, WatchResponse } from "../../../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import { Event_EventType } from "../../../../server/gen/etcd/api/mvccpb/kv.ts";
import { fakeHeader, startFakeEtcd } from "../../../support/fake-etcd.ts";
import { FeedRecorder } from "../../../support/feed-recorder.ts";
import { session } from "../../../support/store-calls.ts";

type WatchCall = ServerDuplexStream<WatchRequest, WatchResponse>;

/** A put of a session in a revision. */
const event = (revision: number, name: string) => ({
  type: Event_EventType.PUT,
  kv: {
    key: Buffer.from(`/fake/session/${name}`),
    value: Buffer.from(encodeValue(session())),
    createRevision: BigInt(revision),
    modRevision: BigInt(revision),
  },
});

const created = () => WatchResponse.create({ header: fakeHeader(1), created: true });
const events = (fragment: boolean, ...all: ReturnType<typeof event>[]) =>
  WatchResponse.create({ header: fakeHeader(99), fragment, events: all });
const progress = (revision: number, watchId = -1n) => WatchResponse.create({ header: fakeHeader(revision), watchId });

/** The revision from which a request wants to watch. */
function startOf({ requestUnion }: WatchRequest): number {
  if (requestUnion?.$case !== "createRequest") throw new Error("not a request to watch");
  return Number(requestUnion.value.startRevision);
}

/** What the etcd of a test answers when it is read. */
let snapshotRevision = 1;

interface Followed {
  readonly feed: FeedRecorder;
  readonly store: EtcdStore;
  readonly faults: string[];
  readonly fault: Promise<Error>;
  readonly troubles: string[];
}

/** Follows an etcd that serves the n-th watch (from 1) as told, after its first request. */
async function followed(
  serve: (call: WatchCall, request: WatchRequest, n: number) => void,
  use: (followed: Followed) => Promise<void>,
  silenceMs = 10_000,
): Promise<void> {
  let watches = 0;
  snapshotRevision = 1;
  await using etcd = await startFakeEtcd({
    range: (_, done) => done(null, RangeResponse.create({ header: fakeHeader(snapshotRevision) })),
    watch: (call) => {
      const n = ++watches;
      call.once("data", (request) => serve(call, request, n));
      call.on("end", () => call.end());
    },
  });
  const faults: string[] = [];
  const { promise: fault, resolve } = Promise.withResolvers<Error>();
  const troubles: string[] = [];
  await using store = await openEtcdStore({
    endpoints: [etcd.endpoint],
    prefix: "/fake/",
    readTimeoutMs: silenceMs,
    onFault: (error) => {
      faults.push(error.message);
      resolve(error);
    },
    onTrouble: (event) => troubles.push(event),
  });
  const feed = new FeedRecorder();
  store.follow(feed);
  await use({ feed, store, faults, fault, troubles });
}

const send = (call: WatchCall, ...responses: readonly WatchResponse[]) => {
  for (const response of responses) call.write(response);
};

const shapeOf = (feed: FeedRecorder) => feed.revisions.map(({ revision, changes }) => [revision, changes.length]);

describe("the watch", () => {
  it("puts a revision together from fragments, wherever they were divided", async () => {
    const serve = (call: WatchCall) =>
      send(
        call,
        created(),
        events(true, event(2, "a"), event(2, "b")),
        events(true, event(2, "c"), event(3, "d")),
        events(false, event(3, "e"), event(4, "f")),
        progress(9),
      );
    await followed(serve, async ({ feed }) => {
      await feed.until(() => feed.progressed === 9);
      expect(shapeOf(feed)).toEqual([
        [2, 3],
        [3, 2],
        [4, 1],
      ]);
    });
  });

  it("does not believe in progress while a fragment is missing", async () => {
    const serve = (call: WatchCall) =>
      send(call, created(), events(true, event(2, "a")), progress(9), events(false, event(2, "b")), progress(8));
    await followed(serve, async ({ feed }) => {
      await feed.until(() => feed.progressed > 0);
      expect(feed.progressed).toBe(8);
      expect(shapeOf(feed)).toEqual([[2, 2]]);
    });
  });

  it("does not take for progress what is not said of it", async () => {
    const serve = (call: WatchCall) =>
      send(call, progress(5), progress(6, 0n), created(), progress(7, 4n), progress(8, 0n));
    await followed(serve, async ({ feed }) => {
      await feed.until(() => feed.progressed > 0);
      expect(feed.progressed).toBe(8);
    });
  });

  it("delivers no revision twice, and goes on after the last whole one when its stream breaks", async () => {
    const starts: number[] = [];
    const serve = (call: WatchCall, request: WatchRequest, n: number) => {
      starts.push(startOf(request));
      if (n === 1) send(call, created(), events(true, event(2, "a"), event(3, "b"), event(4, "c")));
      if (n === 1) call.emit("error", { code: 14, details: "broken on purpose" });
      if (n === 2) send(call, created(), events(false, event(3, "b"), event(4, "c"), event(4, "d")), progress(9));
    };
    await followed(serve, async ({ feed, troubles }) => {
      await feed.until(() => feed.progressed === 9);
      expect(shapeOf(feed)).toEqual([
        [2, 1],
        [3, 1],
        [4, 2],
      ]);
      expect(starts).toEqual([1, 3]);
      expect(troubles).toEqual(["watch.broken"]);
    });
  });

  it("delivers nothing once the store is closed, not even what came with what closed it", async () => {
    const serve = (call: WatchCall) => send(call, created(), events(false, event(2, "a"), event(3, "b")));
    await followed(serve, async ({ feed, store }) => {
      const closed = Promise.withResolvers<void>();
      const deliver = feed.changes.bind(feed);
      feed.changes = (revision, changes) => {
        deliver(revision, changes);
        void store.close().then(closed.resolve);
      };
      await closed.promise;
      expect(shapeOf(feed)).toEqual([[2, 1]]);
    });
  });

  it("is opened again when etcd ends it, refuses it, or is silent when asked for it", async () => {
    const serve = (call: WatchCall, _: WatchRequest, n: number) => {
      if (n === 1) call.end();
      if (n === 2)
        send(call, WatchResponse.create({ created: true, canceled: true, watchId: -1n, cancelReason: "no" }));
      if (n === 4) send(call, created(), events(false, event(2, "a")));
    };
    await followed(
      serve,
      async ({ feed, troubles }) => {
        await feed.until(() => feed.revision === 2);
        expect(troubles).toEqual(["watch.broken", "watch.broken", "watch.broken"]);
      },
      2_000,
    );
  });

  it.each([
    ["within a response", [events(false, event(3, "a"), event(2, "b"))]],
    ["in a later response", [events(false, event(3, "a")), events(false, event(2, "b"))]],
    ["divided between responses", [events(false, event(3, "a")), events(false, event(3, "b"))]],
    ["after it told more progress", [progress(5), events(false, event(5, "a"))]],
  ])("reads everything anew when revisions come out of order: %s", async (_, responses) => {
    const serve = (call: WatchCall, _: WatchRequest, n: number) => {
      if (n === 1) send(call, created(), ...responses);
    };
    await followed(serve, async ({ feed, troubles, faults }) => {
      snapshotRevision = 7;
      await feed.until(() => feed.snapshots.length === 2);
      expect(feed.revision).toBe(7);
      expect(troubles).toEqual(["watch.broken"]);
      expect(faults).toEqual([]);
    });
  });

  it("stops at an etcd that has gone back in time", async () => {
    const serve = (call: WatchCall) =>
      send(
        call,
        created(),
        events(false, event(5, "a")),
        WatchResponse.create({ header: fakeHeader(9), canceled: true, compactRevision: 9n }),
      );
    await followed(serve, async ({ feed, fault }) => {
      snapshotRevision = 4;
      expect((await fault).message).toMatch("etcd went back from revision 5 to 4");
      expect(feed.snapshots).toHaveLength(1);
    });
  });
});
