import { type ServiceError, status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { openEtcdStore } from "../../../../server/adapters/etcd/index.ts";
import { sessionKey } from "../../../../server/core/keys.ts";
import type { Operation } from "../../../../server/core/operation.ts";
import { type TxnRequest, TxnResponse } from "../../../../server/gen/etcd/api/etcdserverpb/rpc.ts";
import { fakeHeader, startFakeEtcd } from "../../../support/fake-etcd.ts";
import { absent, claim, commit, modified, operation, put, remove, session } from "../../../support/store-calls.ts";

const KEY = sessionKey("one");
const OPEN = operation([absent(KEY)], put(KEY, session()));
const OTHER = operation([absent(sessionKey("two"))], put(sessionKey("two"), session()));

/** Commits to an etcd that answers each transaction as told; tells the outcome, what was sent, and the faults. */
async function commitTo(
  answer: (request: TxnRequest, attempt: number) => TxnResponse | Partial<ServiceError>,
  ...operations: readonly Operation[]
) {
  const sent: TxnRequest[] = [];
  await using etcd = await startFakeEtcd({
    txn: (call, done) => {
      sent.push(call.request);
      const reply = answer(call.request, sent.length);
      if ("code" in reply) done(reply, null);
      else done(null, reply as TxnResponse);
    },
  });
  const faults: string[] = [];
  await using store = await openEtcdStore({
    endpoints: [etcd.endpoint],
    prefix: "/fake/",
    commitTimeoutMs: 10_000,
    onFault: ({ message }) => faults.push(message),
  });
  return { outcome: await commit(store, ...operations), sent, faults };
}

const error = (code: status, details: string) => ({ code, details });

/** What etcd answers to nested transactions, by whether the guards of each hold. */
const nested = (...holds: readonly boolean[]) =>
  TxnResponse.create({
    header: fakeHeader(7),
    succeeded: true,
    responses: holds.map((succeeded) => ({ response: { $case: "responseTxn", value: { succeeded } } })),
  });

const flat = (succeeded: boolean) => TxnResponse.create({ header: fakeHeader(6), succeeded });

const NO_SPACE = error(status.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded");

describe("a transaction", () => {
  it("goes flat, with each distinct guard once", async () => {
    const epoch = modified(sessionKey("one"), 5);
    const operations = ["a", "b", "c"].map((lock) =>
      operation([epoch, absent(`claim/${lock}//one/0000000000000001`)], remove(`claim/${lock}//one/0000000000000001`)),
    );
    const { outcome, sent } = await commitTo(() => flat(true), ...operations);
    expect(outcome).toEqual({ kind: "decided", revision: 6, applied: [true, true, true] });
    expect(sent.map(({ compare, success }) => [compare.length, success.length])).toEqual([[4, 3]]);
  });

  it("goes nested when it failed flat, and tells for each operation whether it was applied", async () => {
    const { outcome, sent } = await commitTo(
      (_, attempt) => (attempt === 1 ? flat(false) : nested(true, false)),
      OPEN,
      OTHER,
    );
    expect(outcome).toEqual({ kind: "decided", revision: 7, applied: [true, false] });
    expect(sent).toHaveLength(2);
  });

  it("is not sent again when its only operation failed", async () => {
    const { outcome, sent } = await commitTo(() => flat(false), OPEN);
    expect(outcome).toEqual({ kind: "decided", revision: 6, applied: [false] });
    expect(sent).toHaveLength(1);
  });

  it("goes nested at once when its guards are more than etcd takes", async () => {
    const operations = Array.from({ length: 60 }, (_, i) => {
      const guards = [1, 2, 3].map((revision) => modified(sessionKey(`${i}`), revision));
      return operation(guards, remove(sessionKey(`${i}`)));
    });
    const { outcome, sent } = await commitTo(() => nested(...Array<boolean>(60).fill(true)), ...operations);
    expect(outcome).toMatchObject({ kind: "decided", revision: 7 });
    expect(sent.map(({ compare, success }) => [compare.length, success.length])).toEqual([[0, 60]]);
  });

  it.each([
    ["etcdserver: request timed out", status.UNAVAILABLE],
    ["etcdserver: request timed out, possibly due to previous leader failure", status.UNAVAILABLE],
    ["etcdserver: leader changed", status.UNAVAILABLE],
    ["etcdserver: no leader", status.UNAVAILABLE],
    ["etcdserver: too many requests", status.RESOURCE_EXHAUSTED],
    ["etcdserver: corrupt cluster", status.DATA_LOSS],
    ["etcdserver: permission denied", status.PERMISSION_DENIED],
    ["something else", status.UNKNOWN],
  ])("is of unknown outcome when etcd says %j", async (details, code) => {
    const { outcome, sent, faults } = await commitTo(() => error(code, details), OPEN, OTHER);
    expect(outcome).toEqual({ kind: "unknown" });
    expect(sent).toHaveLength(1);
    expect(faults).toEqual([]);
  });

  it("is of unknown outcome when it failed flat and nothing is known of it nested", async () => {
    const answer = (_: TxnRequest, attempt: number) =>
      attempt === 1 ? flat(false) : error(status.UNAVAILABLE, "etcdserver: request timed out");
    expect((await commitTo(answer, OPEN, OTHER)).outcome).toEqual({ kind: "unknown" });
  });

  it("wrote nothing when etcd does not know a lease", async () => {
    const answer = () => error(status.NOT_FOUND, "etcdserver: requested lease not found");
    expect((await commitTo(answer, OPEN)).outcome).toEqual({ kind: "lease-not-found" });
  });

  it.each([
    "etcdserver: too many operations in txn request",
    "etcdserver: duplicate key given in txn request",
    "etcdserver: key is not provided",
    "etcdserver: request is too large",
    "grpc: received message larger than max (2097152 vs. 2097151)",
  ])("that nobody may send is a fault: %s", async (details) => {
    const { outcome, faults } = await commitTo(() => error(status.INVALID_ARGUMENT, details), OPEN);
    expect(outcome).toEqual({ kind: "unknown" });
    expect(faults).toEqual([expect.stringContaining(details)]);
  });

  it("with a guard that would hold for a key that is not there is a fault, and not sent", async () => {
    const { outcome, sent, faults } = await commitTo(() => flat(true), operation([modified(KEY, 0)], remove(KEY)));
    expect(outcome).toEqual({ kind: "unknown" });
    expect(sent).toEqual([]);
    expect(faults).toEqual(["a guard that session/one is of revision 0"]);
  });

  it("that writes a key twice is a fault, and not sent", async () => {
    const { outcome, sent, faults } = await commitTo(() => flat(true), OPEN, operation([], remove(KEY)));
    expect(outcome).toEqual({ kind: "unknown" });
    expect(sent).toEqual([]);
    expect(faults).toEqual(["session/one is written twice in one transaction"]);
  });

  describe("for which the database is said to be full", () => {
    it("wrote nothing if guards that it would have broken still hold", async () => {
      const answer = (_: TxnRequest, attempt: number) => (attempt === 1 ? NO_SPACE : nested(true, false));
      const { outcome, sent } = await commitTo(answer, OPEN, OTHER);
      expect(outcome).toEqual({ kind: "no-space" });
      expect(sent[1]!.success.map(({ request }) => request)).toMatchObject([
        { $case: "requestTxn", value: { success: [] } },
        { $case: "requestTxn", value: { success: [] } },
      ]);
    });

    it("may have been applied if none of them does", async () => {
      const answer = (_: TxnRequest, attempt: number) => (attempt === 1 ? NO_SPACE : nested(false, false));
      expect((await commitTo(answer, OPEN, OTHER)).outcome).toEqual({ kind: "unknown" });
    });

    it("may have been applied if it has no guard that it would have broken", async () => {
      const put1 = operation([modified(sessionKey("two"), 3)], put("claim/a//two/0000000000000001", claim("a")));
      const answer = (_: TxnRequest, attempt: number) => (attempt === 1 ? NO_SPACE : nested(true));
      expect((await commitTo(answer, put1)).outcome).toEqual({ kind: "unknown" });
    });

    it("may have been applied in part if it went nested and not all of them hold", async () => {
      const answer = (_: TxnRequest, attempt: number) => [flat(false), NO_SPACE, nested(true, false)][attempt - 1]!;
      expect((await commitTo(answer, OPEN, OTHER)).outcome).toEqual({ kind: "unknown" });
    });

    it("is of unknown outcome if that cannot be asked", async () => {
      const answer = (_: TxnRequest, attempt: number) =>
        attempt === 1 ? NO_SPACE : error(status.UNAVAILABLE, "etcdserver: request timed out");
      expect((await commitTo(answer, OPEN)).outcome).toEqual({ kind: "unknown" });
    });
  });
});
