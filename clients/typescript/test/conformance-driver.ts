/**
 * The driver of the conformance suite for this language: obeys the commands of test/conformance/README.md with the
 * library as its users have it.
 */
import { createInterface } from "node:readline";
import {
  type AcquireOptions,
  type ClaimView,
  type Client,
  type ConnectOptions,
  connect,
  Election,
  type HeldLock,
  HoldfastError,
  type Leader,
  type Leadership,
  type LockSpec,
  type LockTarget,
  type LockView,
  semaphore,
  shared,
} from "../src/index.ts";

interface LockJson {
  readonly name: string;
  readonly mode?: LockSpec["mode"];
  readonly permits?: number;
  readonly limit?: number;
}

/** Every field of every command: which one has which, the README says. */
interface Command extends Omit<ConnectOptions, "traceparent"> {
  readonly traceparent?: string;
  readonly id: number;
  readonly op: string;
  readonly client: string;
  readonly addresses: readonly string[];
  readonly as: string;
  readonly locks: readonly LockJson[];
  readonly waitMs?: number;
  readonly purpose?: string;
  readonly value: string;
  readonly target: number;
  readonly thread: string;
  readonly reentrant?: boolean;
  readonly throwing?: string;
  readonly election: string;
  readonly name?: string;
  readonly prefix: string;
  readonly state?: "held" | "contended";
  readonly maxClaims?: number;
  readonly maxWaiters?: number;
  readonly token: string;
  readonly forMs: number;
}

type Answer = Readonly<Record<string, unknown>>;

const clients = new Map<string, Client>();
const held = new Map<string, HeldLock>();
const led = new Map<string, Leadership>();
const threads = new Map<string, ThreadOfControl>();
/** What `cancel` aborts, by the id of the command. */
const cancels = new Map<number, AbortController>();
/** What `stop` aborts. */
const readers = new Map<string, AbortController>();

/** A thread of control: the scopes that it is in, innermost last, and what the innermost is to do next. */
class ThreadOfControl {
  readonly scopes: Scope[] = [];

  /** Enters a scope, from within the innermost one. Resolves with the lock once inside. */
  async enter(client: Client, locks: readonly LockTarget[], options: AcquireOptions): Promise<HeldLock> {
    const outer = this.scopes.at(-1);
    return outer === undefined ? this.open(client, locks, options) : outer.run(() => this.open(client, locks, options));
  }

  private open(client: Client, locks: readonly LockTarget[], options: AcquireOptions): Promise<HeldLock> {
    const scope = new Scope();
    return new Promise((resolve, reject) => {
      scope.over = client.withLock(oneOrMore(locks), options, (lock) => {
        this.scopes.push(scope);
        resolve(lock);
        return scope.body();
      });
      // A scope that was never entered has no `leave` to tell.
      scope.over.catch(reject);
    });
  }

  /** Leaves the innermost scope; resolves when it has ended, as it ended. */
  async leave(throwing: string | undefined): Promise<void> {
    const scope = this.scopes.pop()!;
    scope.end(throwing);
    await scope.over;
  }
}

/** The body of one scope: runs what it is given in its own asynchronous context, until it is ended. */
class Scope {
  over: Promise<void> = Promise.resolve();
  private next = Promise.withResolvers<(() => void) | "end">();
  private thrown: string | undefined;

  async body(): Promise<void> {
    for (;;) {
      const step = await this.next.promise;
      if (step === "end") break;
      this.next = Promise.withResolvers();
      step();
    }
    if (this.thrown !== undefined) throw new Thrown(this.thrown);
  }

  run<Value>(step: () => Promise<Value>): Promise<Value> {
    return new Promise((resolve, reject) => this.next.resolve(() => step().then(resolve, reject)));
  }

  end(throwing: string | undefined): void {
    this.thrown = throwing;
    this.next.resolve("end");
  }
}

/** What a body throws because it was told to. */
class Thrown extends Error {}

type Operation = (command: Command) => Promise<Answer> | Answer;

const operations: Readonly<Record<string, Operation>> = {
  hello: () => ({ protocol: 1, language: "typescript" }),

  connect({ id: _id, op: _op, client, addresses, traceparent, ...options }) {
    clients.set(client, connect(addresses, traceparent ? { ...options, traceparent: () => traceparent } : options));
    return {};
  },

  async session({ client }) {
    const of = clientOf(client);
    await of.ready();
    return { session: of.sessionId };
  },

  async close({ client }) {
    await clientOf(client).close();
    return {};
  },

  acquire: (command) =>
    cancellable(command, async (options) => {
      const lock = await clientOf(command.client).acquire(targetOf(command), options);
      held.set(command.as, lock);
      return grantJson(lock);
    }),

  async try(command) {
    const lock = await clientOf(command.client).tryAcquire(targetOf(command), claimOptions(command));
    if (lock === undefined) return { held: false };
    held.set(command.as, lock);
    return { held: true, ...grantJson(lock) };
  },

  cancel({ target }) {
    cancels.get(target)?.abort(new Error("cancelled by the runner"));
    return {};
  },

  async release({ as }) {
    return { was: await lockOf(as).release() };
  },

  async update({ as, value }) {
    await lockOf(as).update(value);
    return {};
  },

  state({ as }) {
    const lock = held.get(as) ?? led.get(as)!;
    if ("held" in lock) return { held: lock.held, remainingMs: lock.remainingMs, loss: lock.loss?.reason };
    return { held: lock.leads, loss: lock.signal.aborted ? lock.signal.reason.reason : undefined };
  },

  async untilLost({ as }) {
    const { signal } = held.get(as) ?? led.get(as)!;
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    return { reason: signal.reason.reason, atNs: nowNs() };
  },

  enter: (command) =>
    cancellable(command, async (options) => {
      const { client, thread, as, locks, reentrant } = command;
      if (!threads.has(thread)) threads.set(thread, new ThreadOfControl());
      const wanted = reentrant === undefined ? options : { ...options, reentrant };
      const lock = await threads.get(thread)!.enter(clientOf(client), locks.map(lockTarget), wanted);
      held.set(as, lock);
      return grantJson(lock);
    }),

  async leave({ thread, throwing }) {
    try {
      await threads.get(thread)!.leave(throwing);
      return {};
    } catch (error) {
      if (error instanceof Thrown) return { threw: error.message };
      throw error;
    }
  },

  campaign: (command) =>
    cancellable(command, async ({ value: _value, ...options }) => {
      const election = new Election(clientOf(command.client), command.election);
      const leadership = await election.campaign(command.value, options);
      led.set(command.as, leadership);
      return { token: String(leadership.token), tokens: [String(leadership.token)], atNs: nowNs() };
    }),

  async proclaim({ as, value }) {
    await led.get(as)!.proclaim(value);
    return {};
  },

  async resign({ as }) {
    return { was: await led.get(as)!.resign() };
  },

  async leader({ client, election }) {
    return { leader: leaderJson(await new Election(clientOf(client), election).leader()) };
  },

  observe({ client, as, election }) {
    readInBackground(as, async (signal) => {
      for await (const leader of new Election(clientOf(client), election).observe({ signal }))
        tell({ event: "leader", as, leader: leaderJson(leader) });
    });
    return {};
  },

  async getLock({ client, name, maxClaims }) {
    return lockJson(await clientOf(client).getLock(name!, maxClaims === undefined ? {} : { maxClaims }));
  },

  async listLocks({ client, prefix, state }) {
    const locks: Answer[] = [];
    for await (const lock of clientOf(client).listLocks(prefix, state === undefined ? {} : { state }))
      locks.push(lockJson(lock));
    return { locks };
  },

  watch({ client, as, name, prefix, maxWaiters = 0 }) {
    readInBackground(as, async (signal) => {
      const target = name === undefined ? { prefix } : { name };
      for await (const { locks, caughtUp } of clientOf(client).watchLocks(target, { maxWaiters, signal }))
        tell({ event: "change", as, locks: locks.map(lockJson), caughtUp });
    });
    return {};
  },

  stop({ as }) {
    readers.get(as)!.abort();
    return {};
  },

  async checkToken({ client, name, token }) {
    const { state } = await clientOf(client).checkToken(name!, BigInt(token));
    return { state };
  },

  block({ as, forMs }) {
    const lock = lockOf(as);
    const endMs = performance.now() + forMs;
    const sleeper = new Int32Array(new SharedArrayBuffer(4));
    let lastHeldNs: string | null = null;
    while (performance.now() < endMs) {
      const atNs = nowNs();
      if (lock.held) lastHeldNs = atNs;
      Atomics.wait(sleeper, 0, 0, 2);
    }
    return { lastHeldNs, atNs: nowNs() };
  },
};

/** Runs what waits for a lock so that `cancel` can end it, and tells of its place meanwhile. */
async function cancellable(command: Command, run: (options: AcquireOptions) => Promise<Answer>): Promise<Answer> {
  const cancel = new AbortController();
  cancels.set(command.id, cancel);
  try {
    return await run({
      ...claimOptions(command),
      ...(command.waitMs === undefined ? {} : { waitMs: command.waitMs }),
      signal: cancel.signal,
      onWaiting: ({ lock, position, holders, holderCount }) =>
        tell({ event: "waiting", id: command.id, lock, position, holders: holders.map(claimJson), holderCount }),
    });
  } finally {
    cancels.delete(command.id);
  }
}

function readInBackground(as: string, read: (signal: AbortSignal) => Promise<void>): void {
  const stop = new AbortController();
  readers.set(as, stop);
  read(stop.signal).catch((error) => {
    if (!stop.signal.aborted) tell({ event: "failed", as, error: errorJson(error) });
  });
}

// -- Between the protocol and the library ----------------------------------------------------------------

function clientOf(name: string): Client {
  const client = clients.get(name);
  if (client === undefined) throw new Error(`no client "${name}"`);
  return client;
}

function lockOf(as: string): HeldLock {
  const lock = held.get(as);
  if (lock === undefined) throw new Error(`no lock "${as}"`);
  return lock;
}

const targetOf = ({ locks }: Command) => oneOrMore(locks.map(lockTarget));

/** One lock is asked for as one: a list of one is what people write for several. */
const oneOrMore = (locks: readonly LockTarget[]) => (locks.length === 1 ? locks[0]! : locks);

function lockTarget({ name, mode, permits, limit }: LockJson): LockTarget {
  if (mode === "shared") return shared(name);
  if (mode === "semaphore") return semaphore(name, { limit: limit!, ...(permits === undefined ? {} : { permits }) });
  return name;
}

const claimOptions = ({ purpose, value }: Command) => ({
  ...(purpose === undefined ? {} : { purpose }),
  ...(value === undefined ? {} : { value }),
});

function grantJson({ token, locks, previous }: HeldLock): Answer {
  return {
    token: String(token),
    tokens: locks.map((lock) => String(lock.token)),
    ...(previous === undefined ? {} : { previous: { token: String(previous.token), end: previous.end } }),
    atNs: nowNs(),
  };
}

function claimJson(claim: ClaimView): Answer {
  const { held, mode, permits, lockCount, purpose } = claim;
  return {
    session: claim.sessionId,
    token: String(claim.token),
    value: new TextDecoder().decode(claim.value),
    client: claim.client?.name,
    ...{ held, mode, permits, lockCount, purpose },
  };
}

function lockJson({ holders, waiters, ...rest }: LockView): Answer {
  return { ...rest, holders: holders.map(claimJson), waiters: waiters.map(claimJson) };
}

function leaderJson(leader: Leader | undefined): Answer | null {
  if (leader === undefined) return null;
  return {
    token: String(leader.token),
    value: new TextDecoder().decode(leader.value),
    session: leader.sessionId,
  };
}

function errorJson({ reason, message, lock, holders, holderCount }: HoldfastError): Answer {
  return { reason, message, lock, holders: holders.map(claimJson), holderCount };
}

const nowNs = (): string => String(process.hrtime.bigint());

function tell(line: Answer): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function obey(command: Command): Promise<void> {
  const { id, op } = command;
  try {
    const operation = operations[op];
    if (operation === undefined) throw new Error(`no operation "${op}"`);
    tell({ id, ok: await operation(command) });
  } catch (error) {
    if (error instanceof HoldfastError) tell({ id, error: errorJson(error) });
    else tell({ id, fault: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}

for await (const line of createInterface(process.stdin)) void obey(JSON.parse(line));
for (const reader of readers.values()) reader.abort();
// The process ends when nothing of the library keeps it running.
await Promise.all([...clients.values()].map((client) => client.close()));
