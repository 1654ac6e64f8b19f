import type { Open, Resume } from "../core/frames.ts";
import type { PendingOperation } from "../core/group-commit.ts";
import { sessionKey } from "../core/keys.ts";
import type { TableSession } from "../core/lock-table.ts";
import type { Operation, Settled } from "../core/operation.ts";
import type { Reason } from "../core/reason.ts";
import type { SessionRecord } from "../core/records.ts";
import type { SessionHost } from "../core/session-host.ts";
import type { Link } from "./link.ts";

/** What an opening needs of the engine besides what every session does. */
export interface OpeningHost extends SessionHost {
  /** The link's call ends with a reason; the session, if there is one, is not touched. */
  closeLink(link: Link, reason: Reason, message: string): void;
  /** Nobody waits for this opening any more. */
  forget(opening: Opening): void;
}

const RESUME_AGAIN = "resume again with a larger attempt";

/** A session that is on its way to this server: written, but not yet seen in the table. */
export interface Opening extends PendingOperation {
  readonly attempt: bigint;
  /** `undefined` once the client is gone or was told that it failed. */
  link: Link | undefined;
  /** When what proves the client alive arrived, for the first deadline; on a resume, that is when it is seen. */
  readonly provenAtMs: number | undefined;
  readonly secret: string;
}

abstract class OpeningBase {
  readonly lanes: readonly string[] = [];
  readonly locks: readonly string[] = [];
  readonly bytes = 3000;
  readonly sessionId: string;
  readonly keys: readonly string[];
  link: Link | undefined;
  protected readonly host: OpeningHost;

  constructor(host: OpeningHost, sessionId: string, link: Link) {
    this.host = host;
    this.sessionId = sessionId;
    this.keys = [sessionKey(sessionId)];
    this.link = link;
  }

  protected fail(reason: Reason, message: string): void {
    const { link } = this;
    this.link = undefined;
    if (link !== undefined && link.state.at === "opening") this.host.closeLink(link, reason, message);
  }
}

/**
 * Writes a new session. One of unknown outcome is given up together with its lease and never repeated: its id
 * is random and the client has not been told of it, so nothing else depends on it (DESIGN 4.1).
 */
export class NewSession extends OpeningBase implements Opening {
  readonly kind = "open";
  readonly attempt = 0n;
  readonly secret: string;
  readonly provenAtMs: number;
  private readonly record: SessionRecord;
  private readonly lease: bigint;

  constructor(host: OpeningHost, link: Link, about: NewSessionAbout) {
    super(host, about.sessionId, link);
    this.secret = about.secret;
    this.provenAtMs = about.receivedAtMs;
    this.record = about.record;
    this.lease = about.lease;
  }

  build(): Operation | undefined {
    if (this.link === undefined || this.link.state.at === "closed") {
      this.abandon();
      return undefined;
    }
    const [key] = this.keys as [string];
    return {
      guards: [{ kind: "absent", key }],
      writes: [{ kind: "put", key, value: { kind: "session", record: this.record }, lease: this.lease }],
    };
  }

  settled(outcome: Settled): void {
    if (outcome.kind === "applied") {
      // Written and not seen: it came and went, with its lease.
      this.host.whenTable(outcome.revision, () => {
        this.fail("session-expired", "the session ended as it was opened: open a new one");
        this.host.forget(this);
      });
      return;
    }
    // The watch can be quicker than the reply, or the reply lost: what the table shows is open, and its client knows.
    if (this.host.table.sessions.has(this.sessionId)) return;
    const full = outcome.kind === "no-space";
    this.fail(
      "store-unavailable",
      full ? "the store is full: an operator must free space" : "the store does not answer: try again later",
    );
    this.abandon();
  }

  private abandon(): void {
    this.host.forget(this);
    this.host.revokeLease(this.lease);
  }
}

export interface NewSessionAbout {
  readonly sessionId: string;
  readonly secret: string;
  readonly lease: bigint;
  readonly receivedAtMs: number;
  readonly record: SessionRecord;
}

export function recordOf(
  open: Open,
  about: { serverId: string; secretHash: string; link: Link; wallMs: number },
): SessionRecord {
  return {
    ttlMs: open.ttlMs,
    onDisconnect: open.onDisconnect,
    liveness: open.liveness,
    secretHash: about.secretHash,
    serverId: about.serverId,
    attempt: 0n,
    identity: about.link.stream.identity,
    peer: about.link.stream.peer,
    client: open.client,
    labels: open.labels,
    openedAtMs: about.wallMs,
  };
}

/**
 * Takes a session over: a compare-and-swap by attempt number, sent once, and not at all if its stream is gone.
 * If its outcome is unknown the stream is closed, but should the table show this very attempt, the session is
 * kept, without a stream, and its deadline judged here (DESIGN 4.8).
 */
export class ResumeSession extends OpeningBase implements Opening {
  readonly kind = "life";
  readonly attempt: bigint;
  readonly secret: string;
  readonly provenAtMs = undefined;

  constructor(host: OpeningHost, link: Link, resume: Resume) {
    super(host, resume.sessionId, link);
    this.attempt = resume.attempt;
    this.secret = resume.secret;
  }

  build(): Operation | undefined {
    const session = this.host.table.sessions.get(this.sessionId);
    const refusal = this.link?.state.at === "opening" ? refusalOf(session, this.attempt) : undefined;
    if (refusal !== undefined) this.fail(refusal.reason, refusal.message);
    if (session === undefined || this.link?.state.at !== "opening") {
      this.host.forget(this);
      return undefined;
    }
    const [key] = this.keys as [string];
    const { peer } = this.link.stream;
    const record = { ...session.record, serverId: this.host.serverId, attempt: this.attempt, peer };
    return {
      guards: [{ kind: "modified", key, revision: session.modRevision }],
      writes: [{ kind: "put", key, value: { kind: "session", record }, lease: session.lease }],
    };
  }

  settled(outcome: Settled): void {
    switch (outcome.kind) {
      case "applied":
        // Written and not seen as ours: another has it already, or it has ended.
        return this.host.whenTable(outcome.revision, () => {
          this.fail("superseded", "the session was resumed on another stream");
          this.host.forget(this);
        });
      case "unknown":
        // It may land yet: the engine goes on looking for it, without a stream.
        return this.fail("store-unavailable", `the store does not answer: ${RESUME_AGAIN}`);
      default:
        this.fail(
          "store-unavailable",
          `the session was written at the same time by another, or the store is full: ${RESUME_AGAIN}`,
        );
        return this.host.forget(this);
    }
  }
}

/** Why a session cannot be taken over with this attempt number. */
export function refusalOf(
  session: TableSession | undefined,
  attempt: bigint,
): { reason: Reason; message: string } | undefined {
  if (session === undefined)
    return { reason: "session-expired", message: "there is no such session any more: open a new one" };
  if (attempt <= session.record.attempt)
    return {
      reason: "superseded",
      message: `attempt ${attempt} is not larger than ${session.record.attempt}, which has it`,
    };
  return undefined;
}
