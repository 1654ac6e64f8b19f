import type { Command, Open, Resume, SessionEvent } from "../../server/core/frames.ts";
import { Engine } from "../../server/engine/engine.ts";
import type { SessionStream } from "../../server/ports/session-stream.ts";
import type { EngineNote } from "../../server/ports/telemetry.ts";
import { HandClock } from "./hand-clock.ts";
import { ScriptedStore } from "./scripted-store.ts";

/** A client's stream, and what came over it. */
export class TestStream implements SessionStream {
  readonly peer = "127.0.0.1:1";
  readonly identity: string;
  private received: SessionEvent[] = [];

  constructor(identity = "") {
    this.identity = identity;
  }

  send(event: SessionEvent): void {
    this.received.push(event);
  }

  /** What came since this was last asked. */
  events(): SessionEvent[] {
    const events = this.received;
    this.received = [];
    return events;
  }

  /** The same in short: kind, claim id or heartbeat, reason, place, servers. */
  told(): string[] {
    return this.events().map((event) => {
      const parts: unknown[] = [event.kind];
      if ("claimId" in event) parts.push(event.claimId);
      if ("seq" in event) parts.push(event.seq);
      if ("reason" in event && event.reason !== undefined) parts.push(event.reason);
      if (event.kind === "waiting") parts.push(event.position);
      if (event.kind === "servers") parts.push(...event.servers);
      return parts.join(" ");
    });
  }

  opened(): Extract<SessionEvent, { kind: "opened" }> {
    const event = this.events().find((each) => each.kind === "opened");
    if (event?.kind !== "opened") throw new Error("it was not opened");
    return event;
  }
}

const LIMITS = { maxTtlMs: 600_000, maxClaimsPerSession: 1000, maxWaitersPerLock: 20_000, maxReentryDepth: 10 };

/** The engine between a scripted store and streams in the hands of the test. */
export class EngineBench {
  readonly clock = new HandClock();
  readonly store = new ScriptedStore(this.clock);
  readonly notes: EngineNote[] = [];
  readonly engine: Engine;
  /** What was asked of the other servers, to be answered by the test. */
  readonly asked: { readonly addresses: readonly string[]; readonly answer: (serving: readonly string[]) => void }[] =
    [];
  private ids = 0;

  constructor(start = true) {
    this.engine = new Engine({
      store: this.store,
      clock: this.clock,
      entropy: {
        newId: () => `session${++this.ids}`,
        newSecret: () => `secret${this.ids}`,
        hash: (text) => `hash of ${text}`,
      },
      telemetry: { note: (note) => this.notes.push(note) },
      limits: LIMITS,
      serverId: "server-1",
      peers: { serving: (addresses, answer) => this.asked.push({ addresses, answer }) },
      auditEveryMs: 60_000,
    });
    if (!start) return;
    this.engine.start(() => undefined);
    this.settle();
  }

  settle(): void {
    this.clock.settle();
  }

  /** Applies commands of a stream in one turn, and settles what follows at once. */
  do(stream: SessionStream, ...commands: readonly Command[]): void {
    for (const command of commands) this.engine.command(stream, command);
    this.settle();
  }

  /** A stream with an open session. */
  open(options: Partial<Open> = {}): { stream: TestStream; sessionId: string; secret: string } {
    const stream = new TestStream();
    this.do(stream, openFrame(options));
    const { sessionId, secret } = stream.opened();
    return { stream, sessionId, secret };
  }
}

export const openFrame = (options: Partial<Open> = {}): Open => ({
  kind: "open",
  ttlMs: 15_000,
  onDisconnect: "release",
  liveness: "heartbeat",
  client: undefined,
  labels: {},
  ...options,
});

export const resumeFrame = (sessionId: string, secret: string, attempt: bigint): Resume => ({
  kind: "resume",
  sessionId,
  secret,
  attempt,
});

export const heartbeat = (seq: bigint): Command => ({ kind: "heartbeat", seq });
export const close: Command = { kind: "close" };
