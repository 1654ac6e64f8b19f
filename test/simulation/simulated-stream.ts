import type { Command, SessionEvent } from "../../server/core/frames.ts";
import type { SessionStream } from "../../server/ports/session-stream.ts";
import { pair } from "./pairs.ts";
import { streamStateOf } from "./session-watch.ts";
import type { SimulatedServer } from "./simulated-server.ts";
import { numberIn } from "./truth.ts";
import type { Process, World } from "./world.ts";

/** The client's end of a stream. */
export interface StreamOwner {
  readonly name: string;
  readonly process: Process;
  received(stream: SimulatedStream, event: SessionEvent): void;
  /** It broke, or ended after `closed`. */
  ended(stream: SimulatedStream): void;
}

/**
 * A stream between a client and a server, in order and with delays each way, that either side may see break
 * seconds before the other; what is under way then still arrives.
 */
export class SimulatedStream implements SessionStream {
  readonly peer = "";
  readonly identity = "";
  readonly world: World;
  readonly owner: StreamOwner;
  readonly server: SimulatedServer;
  /** Whose stream it is, once the engine has said so. */
  sessionId = "";
  /** When each heartbeat was handled, by true time and by the server's clock. */
  readonly heartbeats = new Map<bigint, { readonly trueMs: number; readonly serverMs: number }>();
  openedAtServerMs = 0;
  /** When the last proof of its client was handled, by true time. */
  lastProofAtMs = 0;
  /** When a resume was handled, by true time. */
  resumedAtMs: number | undefined;
  private clientIsOn = true;
  private serverIsOn = true;
  private hasEnded = false;
  private readonly run: Process;
  private lastToServerMs = 0;
  private lastToClientMs = 0;

  constructor(owner: StreamOwner, server: SimulatedServer) {
    this.owner = owner;
    this.server = server;
    this.world = server.world;
    this.run = server.process;
    server.streams.add(this);
    // A server that has too much to do refuses a stream before it has read anything.
    if (this.world.isChaotic && this.world.happens(0.003)) this.refuse();
  }

  /** Whether the client still has it. */
  get isOn(): boolean {
    return this.clientIsOn;
  }

  // -- From the client -------------------------------------------------------------------------------

  write(...commands: Command[]): void {
    if (!this.clientIsOn) return;
    this.toServer((cameAtMs) => {
      for (const command of commands) {
        this.world.note(`${this.owner.name} -> ${this.server.number} ${this.sessionId} ${describe(command)}`);
        // What comes over a stream that the server has closed reaches the engine all the same.
        if (this.serverIsOn && command.kind === "heartbeat")
          this.heartbeats.set(command.seq, { trueMs: this.world.nowMs, serverMs: this.run.nowMs() });
        if (command.kind === "heartbeat" || command.kind === "open") this.lastProofAtMs = this.world.nowMs;
        if (command.kind === "heartbeat") this.checkRead(cameAtMs);
        if (command.kind === "resume") this.resumedAtMs = this.world.nowMs;
        if (command.kind === "release") this.server.truth.isReleased(this.sessionId, command.claimId);
        this.came(command.kind);
        this.server.engine.command(this, command);
        if (command.kind === "release" && this.world.isChaotic && this.world.happens(0.01)) {
          this.world.count("network: a release comes twice");
          this.server.engine.command(this, command);
        }
      }
    });
  }

  /** The client half-closes it, as a proxy may do, and hears nothing more. */
  halfClose(): void {
    this.clientIsOn = false;
    this.toServer(() => this.endAtServer("half-closed"));
  }

  /** The server's edge has enough of it. */
  refuse(): void {
    this.run.receive(() => {
      if (!this.serverIsOn) return;
      this.came("refused by the edge");
      this.server.engine.refuse(this, "client-too-slow", "the client does not read");
    });
  }

  /** It breaks: the client sees it within `clientSeesMs`, the server, maybe as a proxy's half-close, within `serverSeesMs`. */
  break(clientSeesMs: number, serverSeesMs: number): void {
    if (!this.clientIsOn) return;
    if (Math.abs(clientSeesMs - serverSeesMs) > 1000) this.world.count("network: a stream is half open for a while");
    this.clientIsOn = false;
    this.world.after(clientSeesMs, () => this.owner.process.receive(() => this.owner.ended(this)));
    const how = this.world.happens(0.3) ? "half-closed" : "broken";
    this.world.after(serverSeesMs, () => this.run.receive(() => this.endAtServer(how)));
  }

  /** Something came to the server's end: how often what came in which state is counted. */
  private came(event: string): void {
    this.world.count(pair("stream", streamStateOf(this.server.engine, this), event));
  }

  private endAtServer(how: "half-closed" | "broken"): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.serverIsOn = false;
    this.server.streams.delete(this);
    this.came(how);
    this.server.engine.disconnected(this, how);
  }

  /** A server reads what has come before it judges whether a client has been silent for too long. */
  private checkRead(cameAtMs: number): void {
    const session = this.server.sessionOf(this.sessionId);
    if (session?.ending?.reason === "session-expired" && cameAtMs <= session.deadlineMs)
      this.world.violation("JUDGED-UNREAD", `${this.sessionId} was ended before a proof of its client was read`);
  }

  private toServer(arrive: (cameAtMs: number) => void): void {
    const delayMs = this.world.between(0.2, this.world.isChaotic && this.world.happens(0.01) ? 300 : 3);
    this.lastToServerMs = Math.max(this.lastToServerMs, this.world.nowMs + delayMs);
    // To the moment itself: a sum of differences can round what comes second to before the first.
    this.world.at(this.lastToServerMs, () => {
      const cameAtMs = this.run.nowMs();
      this.run.receive(() => arrive(cameAtMs));
    });
  }

  // -- From the server -------------------------------------------------------------------------------

  send(event: SessionEvent): void {
    if (!this.serverIsOn) this.world.violation("SENT-AFTER-END", `${event.kind} on a stream that is over`);
    this.world.note(`${this.owner.name} <- ${this.server.number} ${this.sessionId} ${describe(event)}`);
    this.server.sent(this, event);
    if (event.kind === "closed") {
      this.world.count(`server: closes a stream, ${event.reason}`);
      this.serverIsOn = false;
      this.server.streams.delete(this);
    }
    const delayMs = this.world.between(0.2, this.world.isChaotic && this.world.happens(0.01) ? 300 : 3);
    this.lastToClientMs = Math.max(this.lastToClientMs, this.world.nowMs + delayMs);
    this.world.at(this.lastToClientMs, () => this.owner.process.receive(() => this.arrive(event)));
    if (event.kind === "opened" && event.heartbeatIntervalMs === undefined) this.pingEvery(event.ttlMs / 3);
  }

  private arrive(event: SessionEvent): void {
    if (!this.clientIsOn) return;
    this.owner.received(this, event);
    if (event.kind !== "closed" || !this.clientIsOn) return;
    this.clientIsOn = false;
    this.owner.ended(this);
  }

  serverDied(): void {
    this.serverIsOn = false;
    this.server.streams.delete(this);
    if (!this.clientIsOn) return;
    this.clientIsOn = false;
    this.world.after(this.world.between(0, 400), () => this.owner.process.receive(() => this.owner.ended(this)));
  }

  /** The transport's own pings, answered by the client's process while it runs and the connection is there. */
  private pingEvery(everyMs: number): void {
    this.run.at(this.run.nowMs() + everyMs, () => {
      if (!this.serverIsOn) return;
      if (this.clientIsOn)
        this.world.after(this.world.between(0.2, 3), () => this.owner.process.receive(() => this.pong()));
      this.pingEvery(everyMs);
    });
  }

  private pong(): void {
    if (!this.clientIsOn) return;
    this.toServer((cameAtMs) => {
      if (!this.serverIsOn) return;
      this.checkRead(cameAtMs);
      this.lastProofAtMs = this.world.nowMs;
      this.came("transport proven");
      this.server.engine.transportProven(this);
    });
  }
}

function describe(about: Command | SessionEvent): string {
  const words: string[] = [about.kind];
  if ("sessionId" in about) words.push(about.sessionId);
  if ("claimId" in about) words.push(String(about.claimId));
  if ("reason" in about && about.reason !== undefined) words.push(about.reason);
  if ("attempt" in about) words.push(String(about.attempt));
  if (about.kind === "acquire" || about.kind === "granted") words.push(about.locks.map((lock) => lock.name).join("+"));
  if (about.kind === "update") words.push(String(numberIn(about.value)));
  if ("seq" in about) words.push(String(about.seq));
  return words.join(" ");
}
