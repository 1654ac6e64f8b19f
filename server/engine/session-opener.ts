import type { Command, Open, Resume } from "../core/frames.ts";
import type { TableSession } from "../core/lock-table.ts";
import type { Reason } from "../core/reason.ts";
import { Session } from "../core/session.ts";
import type { Entropy } from "../ports/entropy.ts";
import type { SessionStream } from "../ports/session-stream.ts";
import type { Store } from "../ports/store.ts";
import type { EngineNote } from "../ports/telemetry.ts";
import { deadlineOf } from "./deadlines.ts";
import type { Link } from "./link.ts";
import { Openings } from "./openings.ts";
import { NewSession, type Opening, type OpeningHost, ResumeSession, recordOf, refusalOf } from "./session-openings.ts";

/** What it needs of the engine besides what an opening does. */
export interface SessionOpenerHost extends OpeningHost {
  /** Why no session can be had here now. */
  refusal(): { readonly reason: Reason; readonly message: string } | undefined;
  /** From now on the session is this server's. */
  took(session: Session): void;
  command(stream: SessionStream, command: Command): void;
  /** Where else clients can go. */
  otherServers(): readonly string[];
  note(note: EngineNote): void;
}

/** Opens sessions, and takes up earlier ones: from the first command of a stream to `opened` (DESIGN 4.1, 4.8). */
export class SessionOpener {
  private readonly host: SessionOpenerHost;
  private readonly store: Store;
  private readonly entropy: Entropy;
  private readonly openings = new Openings();

  constructor(host: SessionOpenerHost, store: Store, entropy: Entropy) {
    this.host = host;
    this.store = store;
    this.entropy = entropy;
  }

  /** Whether a session is on its way that nobody but this server knows of. */
  get hasNew(): boolean {
    return this.openings.hasNew;
  }

  open(link: Link, open: Open): void {
    const { host } = this;
    const receivedAtMs = host.nowMs();
    const problem = host.refusal();
    if (problem !== undefined) return host.closeLink(link, problem.reason, problem.message);
    link.state = { at: "opening", queued: [] };
    // The last resort only: dead sessions are ended by their keys, in batches (DESIGN 4.7).
    const leaseSeconds = Math.ceil((open.ttlMs * 1.02) / 1000 + 2);
    this.store.grantLease(leaseSeconds, (outcome) => {
      if (outcome.kind !== "granted") {
        const full = outcome.kind === "no-space";
        const message = full
          ? "the store is full: an operator must free space"
          : "the store does not answer: try again later";
        return host.closeLink(link, "store-unavailable", message);
      }
      if (link.state.at !== "opening") return host.revokeLease(outcome.lease);
      const secret = open.onDisconnect === "keep" ? this.entropy.newSecret() : "";
      const secretHash = secret === "" ? "" : this.entropy.hash(secret);
      const record = recordOf(open, { serverId: host.serverId, secretHash, link, wallMs: host.wallMs() });
      const sessionId = this.entropy.newId();
      this.expect(new NewSession(host, link, { sessionId, secret, lease: outcome.lease, receivedAtMs, record }));
    });
  }

  resume(link: Link, resume: Resume): void {
    const { host } = this;
    const problem = host.refusal();
    if (problem !== undefined) return host.closeLink(link, problem.reason, problem.message);
    link.state = { at: "opening", queued: [] };
    host.barrier((current) => {
      if (link.state.at !== "opening") return;
      if (!current)
        return host.closeLink(
          link,
          "store-unavailable",
          "the store does not answer: resume again with a larger attempt",
        );
      const session = host.table.sessions.get(resume.sessionId);
      if (session !== undefined && !this.mayResume(session, resume, link))
        return host.closeLink(
          link,
          "not-permitted",
          "secret or identity is not that of the session, or it cannot be resumed",
        );
      const refusal = refusalOf(session, resume.attempt);
      if (refusal !== undefined) return host.closeLink(link, refusal.reason, refusal.message);
      this.expect(new ResumeSession(host, link, resume));
    });
  }

  private mayResume(session: TableSession, resume: Resume, link: Link): boolean {
    const { record } = session;
    return (
      record.onDisconnect === "keep" &&
      record.secretHash === this.entropy.hash(resume.secret) &&
      record.identity === link.stream.identity
    );
  }

  private expect(opening: Opening): void {
    const earlier = this.openings.add(opening);
    if (earlier?.link !== undefined)
      this.host.closeLink(earlier.link, "superseded", "the same resume came over another stream");
    this.host.submit(opening);
  }

  /** Nobody waits for this opening any more. */
  forget(opening: Opening): void {
    this.openings.delete(opening);
  }

  /** The table shows a session anew, or that it has ended: returns the opening that wrote it, if this server did. */
  seen(id: string, now: TableSession | undefined): Opening | undefined {
    const opening = now && this.openings.find(id, now.record.attempt);
    this.openings.seen(id, now?.record.attempt);
    return opening;
  }

  /** The table shows a session that this server wrote: from here on it is this server's. */
  adopt(entry: TableSession, opening: Opening): void {
    const { host } = this;
    const provenAtMs = opening.provenAtMs ?? host.nowMs();
    const session = new Session(host, entry, deadlineOf(provenAtMs, entry.record.ttlMs));
    host.took(session);
    const link = opening.link?.state.at === "opening" ? opening.link : undefined;
    opening.link = undefined;
    if (entry.record.attempt > 0n) this.renewBeforeAnswering(session, link, opening.secret);
    else if (link !== undefined) this.answer(session, link, opening.secret);
    // Nobody was told of this session, so nobody can resume it.
    else session.end("closed-by-client", "the client left before the session was open");
  }

  private renewBeforeAnswering(session: Session, link: Link | undefined, secret: string): void {
    const { host } = this;
    if (link === undefined) return;
    this.store.renewLease(session.lease, (outcome) => {
      if (link.state.at !== "opening") return;
      if (outcome.kind === "renewed" && session.isOpen) this.answer(session, link, secret);
      else if (outcome.kind === "unavailable")
        host.closeLink(link, "store-unavailable", "the store does not answer: resume again with a larger attempt");
      else if (session.isOver && host.table.sessions.has(session.id))
        host.closeLink(link, "superseded", "the session was resumed on another stream");
      else host.closeLink(link, "session-expired", "the session ended as it was resumed: open a new one");
    });
  }

  private answer(session: Session, link: Link, secret: string): void {
    const { host } = this;
    const queued = link.state.at === "opening" ? link.state.queued : [];
    const { ttlMs, liveness, attempt } = session.record;
    const servers = host.otherServers();
    link.state = { at: "open", session, told: servers };
    host.note({ kind: "session.opened", session, resumed: attempt > 0n });
    link.stream.send({
      kind: "opened",
      sessionId: session.id,
      secret,
      ttlMs,
      validForMs: ttlMs,
      heartbeatIntervalMs: liveness === "heartbeat" ? Math.floor(ttlMs / 3) : undefined,
      claims: session.listClaims(),
      servers,
    });
    session.attach(link.stream);
    for (const command of queued) host.command(link.stream, command);
  }
}
