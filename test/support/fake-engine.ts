import type { Command, LockView } from "../../server/core/frames.ts";
import type { Reason } from "../../server/core/reason.ts";
import type {
  Answer,
  LockEngine,
  LockPage,
  LockQuery,
  LockWatch,
  TokenView,
  WatchQuery,
} from "../../server/engine/lock-engine.ts";
import type { SessionStream } from "../../server/ports/session-stream.ts";

/** Something that an adapter asked of the engine. */
export type EngineCall =
  | { readonly kind: "command"; readonly stream: SessionStream; readonly command: Command }
  | { readonly kind: "refuse"; readonly stream: SessionStream; readonly reason: Reason; readonly message: string }
  | { readonly kind: "disconnected"; readonly stream: SessionStream; readonly how: "half-closed" | "broken" }
  | { readonly kind: "proven"; readonly stream: SessionStream }
  | { readonly kind: "drain"; readonly leaveWithinMs: number }
  | { readonly kind: "getLock"; readonly name: string; readonly limit: number }
  | { readonly kind: "listLocks"; readonly query: LockQuery }
  | { readonly kind: "checkToken"; readonly name: string; readonly token: bigint }
  | { readonly kind: "watchLocks"; readonly query: WatchQuery }
  | { readonly kind: "watchClosed" };

type CallOf<Kind extends EngineCall["kind"]> = Extract<EngineCall, { kind: Kind }>;

/**
 * An engine that decides nothing: it records what it is asked and answers as it is told to. Left alone it opens
 * every session, closes those that are to be closed, and knows no locks.
 */
export class FakeEngine implements LockEngine {
  readonly calls: EngineCall[] = [];
  serving = true;
  /** What it does with a command, instead of what it does when left alone. */
  onCommand: ((stream: SessionStream, command: Command) => void) | undefined;
  /** What `opened` tells. A transport session is one without a heartbeat interval. */
  opened = { ttlMs: 15_000, heartbeatIntervalMs: undefined as number | undefined };
  lock: Answer<LockView> = { kind: "failed", reason: "store-unavailable", message: "no lock was scripted" };
  page: Answer<LockPage> = { kind: "ok", value: { locks: [], more: false } };
  token: Answer<TokenView> = { kind: "ok", value: { state: "ended", claim: undefined } };
  watch: FakeWatch | undefined;
  otherServers: readonly string[] = [];
  /** The streams there are, and whether a session is open on each. */
  readonly #streams = new Map<SessionStream, boolean>();
  #waiting: { readonly kind: string; readonly count: number; readonly resolve: () => void }[] = [];

  /** Resolves with the calls of a kind as soon as there are `count` of them. */
  async called<Kind extends EngineCall["kind"]>(kind: Kind, count = 1): Promise<readonly CallOf<Kind>[]> {
    if (this.of(kind).length < count)
      await new Promise<void>((resolve) => this.#waiting.push({ kind, count, resolve }));
    return this.of(kind);
  }

  /** The calls of a kind so far. */
  of<Kind extends EngineCall["kind"]>(kind: Kind): readonly CallOf<Kind>[] {
    return this.calls.filter((call): call is CallOf<Kind> => call.kind === kind);
  }

  /** The commands so far, of all streams. */
  get commands(): readonly Command[] {
    return this.of("command").map(({ command }) => command);
  }

  command(stream: SessionStream, command: Command): void {
    if (!this.#streams.has(stream)) this.#streams.set(stream, false);
    this.#record({ kind: "command", stream, command });
    if (this.onCommand !== undefined) this.onCommand(stream, command);
    else this.react(stream, command);
  }

  /** What it does with a command when left alone. */
  react(stream: SessionStream, command: Command): void {
    if (command.kind === "open" || command.kind === "resume") {
      this.#streams.set(stream, true);
      stream.send({
        kind: "opened",
        sessionId: "session-1",
        secret: "",
        validForMs: this.opened.ttlMs,
        claims: [],
        servers: this.otherServers,
        ...this.opened,
      });
    }
    if (command.kind === "close") {
      this.#streams.delete(stream);
      stream.send({ kind: "closed", reason: "closed-by-client", message: "the client closed the session" });
    }
  }

  refuse(stream: SessionStream, reason: Reason, message: string): void {
    this.#streams.delete(stream);
    this.#record({ kind: "refuse", stream, reason, message });
    // Later, as an engine may: what the adapter is given meanwhile must not come through.
    setImmediate(() => stream.send({ kind: "closed", reason, message }));
  }

  disconnected(stream: SessionStream, how: "half-closed" | "broken"): void {
    this.#streams.delete(stream);
    this.#record({ kind: "disconnected", stream, how });
  }

  drain(leaveWithinMs: number): void {
    this.#record({ kind: "drain", leaveWithinMs });
    for (const [stream, isOpen] of [...this.#streams])
      if (isOpen) stream.send({ kind: "draining", leaveWithinMs, servers: this.otherServers });
      else stream.send({ kind: "closed", reason: "draining", message: "scripted" });
  }

  transportProven(stream: SessionStream): void {
    this.#record({ kind: "proven", stream });
  }

  getLock(name: string, limit: number, done: (answer: Answer<LockView>) => void): void {
    this.#record({ kind: "getLock", name, limit });
    setImmediate(done, this.lock);
  }

  listLocks(query: LockQuery, done: (answer: Answer<LockPage>) => void): void {
    this.#record({ kind: "listLocks", query });
    setImmediate(done, this.page);
  }

  checkToken(name: string, token: bigint, done: (answer: Answer<TokenView>) => void): void {
    this.#record({ kind: "checkToken", name, token });
    setImmediate(done, this.token);
  }

  watchLocks(query: WatchQuery, ready: () => void): LockWatch {
    this.#record({ kind: "watchLocks", query });
    this.watch = new FakeWatch(ready, () => this.#record({ kind: "watchClosed" }));
    return this.watch;
  }

  health(): { readonly serving: boolean; readonly problem: string } {
    return { serving: this.serving, problem: this.serving ? "" : "scripted" };
  }

  #record(call: EngineCall): void {
    this.calls.push(call);
    this.#waiting = this.#waiting.filter(({ kind, count, resolve }) => {
      const there = this.of(kind as EngineCall["kind"]).length >= count;
      if (there) resolve();
      return !there;
    });
  }
}

/** A watch whose changes are scripted; it keeps each lock's latest state only, as the real one does. */
export class FakeWatch implements LockWatch {
  /** How many locks each `take` gave. */
  readonly taken: number[] = [];
  readonly #changed = new Map<string, LockView>();
  readonly #ready: () => void;
  readonly #closed: () => void;
  #catchingUp = true;

  constructor(ready: () => void, closed: () => void) {
    this.#ready = ready;
    this.#closed = closed;
  }

  change(...locks: readonly LockView[]): void {
    for (const lock of locks) this.#changed.set(lock.name, lock);
    this.#ready();
  }

  take(limit: number): { readonly locks: readonly LockView[]; readonly caughtUp: boolean } {
    const locks = [...this.#changed.values()].slice(0, limit);
    for (const { name } of locks) this.#changed.delete(name);
    const caughtUp = this.#catchingUp && this.#changed.size === 0;
    if (caughtUp) this.#catchingUp = false;
    this.taken.push(locks.length);
    return { locks, caughtUp };
  }

  close(): void {
    this.#closed();
  }
}
