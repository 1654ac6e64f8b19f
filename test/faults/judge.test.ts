import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ClaimRecord, Mode, SessionRecord } from "../../server/gen/holdfast/storage/v1/storage.ts";
import { toolPath } from "../support/etcd.ts";
import { type ClientLine, claimValue } from "./client-log.ts";
import { type ClientRun, endOfBelief, type History, readHistory } from "./history.ts";
import { auditGrants, judgeHistory } from "./judge.ts";
import { TrueQueues } from "./true-queues.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-judge-"));
let porcupine: string;

beforeAll(async () => {
  porcupine = await toolPath("porcupine");
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true }));

/** Keys as they are written to etcd, revision by revision; a claim of session `s` on lock `a` unless said otherwise. */
class Keys {
  readonly queues = new TrueQueues();
  #revision = 1;
  readonly #created = new Map<string, number>();

  get revision(): number {
    return this.#revision;
  }

  write(...changes: readonly { key: string; value?: Uint8Array; lease?: bigint }[]): this {
    this.#revision++;
    this.queues.follow(
      this.#revision,
      changes.map(({ key, value, lease = 1n }) => {
        if (value === undefined) this.#created.delete(key);
        else if (!this.#created.has(key)) this.#created.set(key, this.#revision);
        const createRevision = this.#created.get(key) ?? 0;
        return { key, put: value === undefined ? undefined : { value, createRevision, lease } };
      }),
    );
    return this;
  }

  session(id = "s", attempt = 0n, serverId = "server"): this {
    return this.write({
      key: `session/${id}`,
      value: SessionRecord.encode(SessionRecord.fromPartial({ attempt, serverId })).finish(),
    });
  }

  end(key: string): this {
    return this.write({ key });
  }

  claim(id: number, mode: Mode = Mode.EXCLUSIVE, ordinal = 0, lease = 1n): this {
    const record = ClaimRecord.fromPartial({ mode, ordinal, value: Buffer.from(claimValue(`client ${id}`, 1)) });
    const value = ClaimRecord.encode(record).finish();
    return this.write({ key: keyOf(id), value, lease });
  }

  get found(): string[] {
    return this.queues.findings.map(({ what }) => what);
  }
}

const keyOf = (id: number, session = "s"): string => `claim/a//${session}/${id.toString(16).padStart(16, "0")}`;
const exclusive = { name: "a", mode: "exclusive", permits: 0, limit: 0 } as const;

let runs = 0;

/** What a client writes down; op 1 unless a line says otherwise. */
function clientRun(
  lines: readonly (Partial<ClientLine> & Pick<ClientLine, "kind" | "atMs">)[],
  name = "client",
): ClientRun {
  const logFile = join(folder, `${++runs}.jsonl`);
  writeFileSync(logFile, lines.map((line) => `${JSON.stringify({ op: 1, ...line })}\n`).join(""));
  return { name, logFile, isGo: false, keeps: true, killedAtMs: undefined, answers: [] };
}

const holds = (token: number, fromMs: number, toMs: number, askedAtMs = fromMs - 1, name = "client"): ClientRun =>
  clientRun(
    [
      { kind: "asks", atMs: askedAtMs, locks: [exclusive], waitMs: null },
      { kind: "granted", atMs: fromMs, sessionId: "s", token },
      { kind: "releases", atMs: toMs, how: "release" },
      { kind: "released", atMs: toMs + 5, outcome: "released" },
    ],
    name,
  );

describe("the auditor's own queues", () => {
  it("find nothing wrong with claims that come, are let in and go", () => {
    const keys = new Keys().session().claim(1).claim(2).end(keyOf(1)).session("s", 1n, "other").end("session/s");
    expect(keys.found).toEqual([]);
    const [first, second] = keys.queues.lives.get("a")!;
    expect([first!.heldFrom, first!.endedAt, second!.heldFrom, second!.endedAt]).toEqual([3, 5, 5, 7]);
    expect(keys.queues.counts).toMatchObject({ sessions: 1, claims: 2, resumes: 1 });
  });

  it.each<[string, (keys: Keys) => Keys]>([
    ["ORPHAN", (keys) => keys.end("session/s").claim(1)],
    ["DETACHED", (keys) => keys.claim(1, Mode.EXCLUSIVE, 0, 2n)],
    ["ORDINAL", (keys) => keys.claim(1).claim(1, Mode.EXCLUSIVE, 1)],
    ["SESSION-RETURNS", (keys) => keys.end("session/s").session()],
    ["ATTEMPT-BACK", (keys) => keys.session("s", 2n).session("s", 1n)],
    ["ATTEMPT-BACK", (keys) => keys.session("s", 0n, "another, with the same attempt")],
    ["MONOTONE", (keys) => keys.claim(1, Mode.SHARED).claim(2, Mode.SHARED).claim(1, Mode.EXCLUSIVE)],
  ])("find %s", (what, write) => {
    expect(write(new Keys().session()).found).toContain(what);
  });
});

describe("the audit of grants", () => {
  /** Claim 1 from revision 3 to 5, when claim 2 is let in, which came at revision 4. */
  const { queues } = new Keys().session().claim(1).claim(2).end(keyOf(1));
  /** Revision n was there from n x 100 ms on. */
  const committedAfterMs = (revision: number): number => revision * 100;
  const audit = (...clients: readonly ClientRun[]) => auditGrants(readHistory(clients), queues, committedAfterMs);
  const found = (...clients: readonly ClientRun[]): string[] => audit(...clients).findings.map(({ what }) => what);

  const first = (fromMs: number, toMs: number) => holds(3 * 128, fromMs, toMs, fromMs - 1, "client 1");
  const second = (fromMs: number, toMs: number) => holds(4 * 128, fromMs, toMs, fromMs - 1, "client 2");
  /** One that asks for the lock at 300 ms, waits for so long, and whatever comes then. */
  const asks = (name: string, waitMs: number | null, ...then: Parameters<typeof clientRun>[0]) =>
    clientRun([{ kind: "asks", atMs: 300, locks: [exclusive], waitMs }, ...then], name);

  it("passes what was told when the claim was entitled", () => {
    expect(audit(first(310, 480), second(510, 600))).toEqual({ audited: 2, early: 0, findings: [] });
  });

  it("passes a grant that is told when its holder has given up, before etcd knows", () => {
    expect(audit(first(310, 400), second(410, 600))).toEqual({ audited: 2, early: 1, findings: [] });
  });

  it("finds a grant that was told while another holds", () => {
    expect(found(first(310, 480), second(410, 600))).toEqual(["GRANT-TOO-EARLY"]);
  });

  it("finds a grant that was told before the end of a session was committed", () => {
    const closes = asks(
      "client 1",
      null,
      { kind: "granted", atMs: 310, sessionId: "s", token: 3 * 128 },
      { kind: "releases", atMs: 400, how: "close" },
    );
    expect(found(closes, second(410, 600))).toEqual(["GRANT-TOO-EARLY"]);
  });

  it("passes a grant that is told when who stood before it was told of none and has given up", () => {
    expect(found(asks("client 1", null, { kind: "cancels", atMs: 400 }), second(410, 600))).toEqual([]);
    expect(found(asks("client 1", 100), second(410, 600))).toEqual([]);
  });

  it("finds a grant that was told before who stood before it gave up, or when only somebody else has", () => {
    const another = asks("client 3", null, { kind: "cancels", atMs: 400 });
    expect(found(asks("client 1", null), another, second(410, 600))).toEqual(["GRANT-TOO-EARLY"]);
    expect(found(asks("client 1", null, { kind: "cancels", atMs: 420 }), second(410, 600))).toEqual([
      "GRANT-TOO-EARLY",
    ]);
    expect(found(asks("client 1", 120), second(410, 600))).toEqual(["GRANT-TOO-EARLY"]);
  });

  it("finds a grant that was told while a claim stands before it that its client left in another session", () => {
    const elsewhere = asks(
      "client 1",
      null,
      { kind: "granted", atMs: 310, sessionId: "other", token: 9 * 128 },
      { kind: "releases", atMs: 400, how: "release" },
    );
    expect(found(elsewhere, second(410, 600))).toEqual(["GRANT-OF-NOTHING", "GRANT-TOO-EARLY"]);
  });

  it("finds a grant of a claim that never was, or that is another's", () => {
    expect(found(holds(3 * 128 + 1, 310, 480))).toEqual(["GRANT-OF-NOTHING"]);
    expect(found(holds(3 * 128, 310, 480, 300, "client 2"))).toEqual(["GRANT-OF-ANOTHER"]);
  });
});

describe("what a client believed", () => {
  const story = (run: ClientRun): History["claims"][number] => readHistory([run]).claims[0]!;
  const held = [
    { kind: "asks", atMs: 1, locks: [exclusive], waitMs: null },
    { kind: "granted", atMs: 2, sessionId: "s", token: 1 },
    { kind: "believes", atMs: 3, untilMs: 100 },
  ] as const;

  it("ends when it gives up", () => {
    expect(endOfBelief(story(holds(1, 10, 20)))).toEqual({ fromMs: 20, toMs: 25 });
  });

  it("ends at its deadline if it only noticed later", () => {
    const run = clientRun([...held, { kind: "lost", atMs: 150, reason: "session-expired" }]);
    expect(endOfBelief(story(run))).toEqual({ fromMs: 100, toMs: 150 });
  });

  it("ends when it was told before its deadline", () => {
    const run = clientRun([...held, { kind: "lost", atMs: 50, reason: "session-expired" }]);
    expect(endOfBelief(story(run))).toEqual({ fromMs: 50, toMs: 50 });
  });

  it("ends when it is killed, its last line cut short", () => {
    const run = clientRun(held);
    writeFileSync(run.logFile, '{"op":1,"kind":"lo', { flag: "a" });
    run.killedAtMs = 60;
    expect(endOfBelief(story(run)).fromMs).toBe(60);
  });
});

describe("Porcupine", () => {
  const judge = (...clients: readonly ClientRun[]) => judgeHistory(readHistory(clients), porcupine, folder);
  const touches = (what: "read" | "write", atMs: number, value: number, accepted: boolean) => [
    { kind: "touches" as const, atMs, what, value },
    { kind: "touched" as const, atMs: atMs + 1, accepted, value },
  ];

  it("finds histories of locks correct in which one holds after the other", () => {
    const verdict = judge(holds(1, 10, 20), holds(2, 21, 30, 5), holds(3, 31, 40, 4));
    expect(verdict).toEqual({ operations: 6, objects: 1, illegal: [], unknown: [] });
  });

  it("finds two that believe at a time", () => {
    expect(judge(holds(1, 10, 20), holds(2, 19, 30)).illegal).toEqual(["a"]);
  });

  it("finds who believes on after others have been granted, by the deadline it last saw", () => {
    const run = clientRun([
      { kind: "asks", atMs: 1, locks: [exclusive], waitMs: null },
      { kind: "granted", atMs: 2, sessionId: "s", token: 1 },
      { kind: "believes", atMs: 3, untilMs: 100 },
      { kind: "lost", atMs: 150, reason: "session-expired" },
    ]);
    expect(judge(run, holds(2, 101, 110)).illegal).toEqual([]);
    expect(judge(run, holds(2, 99, 110)).illegal).toEqual(["a"]);
  });

  it("finds a register that took a late write, also of one who was killed before it heard", () => {
    const newer = clientRun([
      { kind: "asks", atMs: 20, locks: [exclusive], waitMs: null },
      { kind: "granted", atMs: 21, sessionId: "s", token: 2 },
      ...touches("write", 22, 7, true),
    ]);
    const asked = [
      { kind: "asks" as const, atMs: 1, locks: [exclusive], waitMs: null },
      { kind: "granted" as const, atMs: 2, sessionId: "s", token: 1 },
      { kind: "believes" as const, atMs: 3, untilMs: 10 },
    ];
    const late = (accepted: boolean) => clientRun([...asked, ...touches("write", 30, 5, accepted)]);
    expect(judge(newer, late(false)).illegal).toEqual([]);
    expect(judge(newer, late(true)).illegal).toEqual(["register a"]);
    const killed: ClientRun = {
      ...clientRun([...asked, { kind: "touches", atMs: 30, what: "write", value: 5 }]),
      killedAtMs: 31,
      answers: [{ op: 1, what: "write", atMs: 32, accepted: true, value: 5 }],
    };
    expect(judge(newer, killed).illegal).toEqual(["register a"]);
  });
});
