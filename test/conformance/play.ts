import { setTimeout as delay } from "node:timers/promises";
import { type Relay, startRelay } from "../support/relay.ts";
import { type ServerProcess, startServer } from "../support/server.ts";
import type { Service } from "../support/service.ts";
import { type Answer, believesUntilNs, Driver, type Sent } from "./driver.ts";
import type { Language } from "./languages.ts";
import { mismatch, type Variables } from "./pattern.ts";
import type { Connecting, Fields, LockFields, Locks, Outcome, Scenario, Step } from "./scenario.ts";

/** No step takes so long, on however busy a machine. */
const PATIENCE_MS = 90_000;

/** On a busy machine everything takes its time, unless a scenario is about time. */
const patient = { ttlMs: 30_000, connectTimeoutMs: 60_000, callTimeoutMs: 30_000 };

/** Flags of servers that tell clients of no other: what a scenario cuts off stays cut off. */
export const toldByNobody: readonly string[] = ["--advertise-address", "none"];

/** Where a scenario is played. */
export interface Stage {
  readonly service: Service;
  /** The language of each client: "A" has the first, "B" the second, and so on around. */
  readonly languages: readonly Language[];
  /** A driver for each of these languages that scenarios share, in the same order. */
  readonly drivers: readonly Driver[];
  /** What makes the names of this playing unlike those of every other one. */
  readonly scope: string;
  /** How long a step may take. Default: longer than any does. */
  readonly patienceMs?: number;
}

/** Plays a scenario. Rejects with the step that went otherwise and all that was said until then. */
export async function play(scenario: Scenario, stage: Stage): Promise<void> {
  const playing = new Playing(scenario, stage);
  let step: Step | undefined;
  try {
    await playing.prepare();
    for (step of scenario.steps) await playing.do(step);
  } catch (error) {
    const at = step === undefined ? "before the first step" : `at ${JSON.stringify(step)}`;
    throw new Error(`${at}: ${(error as Error).message}\n${playing.transcript.join("\n")}`);
  } finally {
    await playing.end();
  }
}

interface Pending {
  readonly sent: Sent;
  readonly driver: Driver;
  /** How many of the driver's events have been looked at for it. */
  seen: number;
}

interface Seat {
  readonly driver: Driver;
  readonly relays: Relay[];
  seen: number;
}

class Playing {
  readonly transcript: string[] = [];
  readonly #scenario: Scenario;
  readonly #stage: Stage;
  readonly #seats = new Map<string, Seat>();
  readonly #pending = new Map<string, Pending>();
  readonly #variables: Variables = new Map();
  readonly #parts = new AsyncDisposableStack();
  readonly #ownDrivers = new Map<string, Driver>();
  readonly #servers: ServerProcess[] = [];
  readonly #killed = new Set<ServerProcess>();
  #etcdRelay: Relay | undefined;

  constructor(scenario: Scenario, stage: Stage) {
    this.#scenario = scenario;
    this.#stage = stage;
  }

  async prepare(): Promise<void> {
    const { servers = 0, alone, steps } = this.#scenario;
    // Before the first step: no lock waits for a program to start.
    if (alone) await Promise.all(clientsIn(steps).map((name) => this.#startDriver(name)));
    if (servers === 0) return;
    this.#etcdRelay = this.#parts.use(await startRelay(this.#stage.service.etcd.endpoint));
    for (let i = 0; i < servers; i++) await this.#addServer();
  }

  async #addServer(): Promise<void> {
    // A prefix of its own: they know of no servers but each other.
    const flags = ["--prefix", `${this.#stage.scope}/`, ...(this.#scenario.flags ?? toldByNobody)];
    const options = { etcd: this.#etcdRelay!.endpoint, flags };
    // One that a busy machine kept from starting is tried again.
    const server = await startServer(options).catch(() => startServer(options));
    this.#servers.push(this.#parts.use(server));
  }

  /** Whatever happened: nothing of the scenario stays. */
  async end(): Promise<void> {
    for (const { relays } of this.#seats.values()) for (const relay of relays) relay.mend();
    this.#etcdRelay?.mend();
    for (const driver of this.#ownDrivers.values()) driver.resume();
    const closing = [...this.#seats].map(
      ([name, { driver }]) => this.#send(driver, "close", { client: this.#own(name) }).answer,
    );
    await Promise.race([Promise.all(closing), delay(10_000, undefined, { ref: false })]);
    await Promise.all([...this.#ownDrivers.values()].map((driver) => driver.kill()));
    // In order: what they have begun to revoke is revoked.
    const stopping = this.#servers.filter((server) => !this.#killed.has(server)).map(stop);
    await Promise.race([Promise.all(stopping), delay(10_000, undefined, { ref: false })]);
    await this.#parts.disposeAsync();
  }

  async do([who, what, fields = {}, outcome]: Step): Promise<void> {
    const pending = this.#pending.get(who);
    if (pending !== undefined) return this.#follow(pending, what, outcome);
    switch (who) {
      case "net": {
        const { relays } = this.#seat(fields.of);
        const meant = fields.at === undefined ? relays : [relays[fields.at as number]!];
        for (const relay of meant) act(relay, what);
        return;
      }
      case "etcd":
        return act(this.#etcdRelay!, what);
      case "server":
        if (what === "add") return this.#addServer();
        return this.#serverDo(what, this.#servers[fields.at as number]!, fields);
      case "driver":
        // Killing one is awaited by nobody: what it was asked is answered with a fault.
        return act(this.#seat(fields.of).driver, what);
      default:
        return this.#clientDoes(who, what, fields, outcome);
    }
  }

  // -- Clients ---------------------------------------------------------------------------------------------

  async #clientDoes(who: string, what: string, fields: Fields, outcome: Outcome | undefined): Promise<void> {
    const [name = "", thread] = who.split("/");
    if (what === "connect") return this.#connect(name, fields, outcome);
    if (!this.#seats.has(name)) {
      await this.#connect(name, {}, undefined);
      // Nothing that is timed waits for a connection.
      this.#compare(await this.#answer(this.#send(this.#seat(name).driver, "session", { client: this.#own(name) })));
    }
    const seat = this.#seat(name);
    if (what === "hears") return this.#hears(seat, this.#own(String(fields.as ?? who)), outcome);
    const from = seat.driver.events.items.length;
    const sent = this.#send(seat.driver, what, {
      client: this.#own(name),
      ...(thread === undefined ? {} : { thread: this.#own(who) }),
      ...this.#filled({ as: who, ...fields }),
    });
    if (typeof outcome === "object" && ("later" in outcome || "waits" in outcome)) {
      const { later, waits, ...place } = outcome;
      const pending: Pending = { sent, driver: seat.driver, seen: from };
      this.#pending.set(String(later ?? waits), pending);
      if (waits !== undefined) await this.#place(pending, place);
      return;
    }
    const answer = await this.#answer(sent);
    const untilNs = what === "state" ? believesUntilNs(sent, answer) : undefined;
    this.#compare(untilNs === undefined ? answer : { ok: { ...answer.ok, untilNs: String(untilNs) } }, outcome);
  }

  async #connect(name: string, fields: Connecting & Fields, outcome: Outcome | undefined): Promise<void> {
    const index = indexOf(name);
    const { at, via, ...options } = fields;
    const servers = this.#servers.length > 0 ? this.#servers : this.#stage.service.servers;
    const indices = at ?? [index % servers.length];
    let addresses = indices.map((i) => servers[i % servers.length]!.grpcAddress);
    const relays: Relay[] = [];
    if (via === "relay") {
      for (const address of addresses) relays.push(this.#parts.use(await startRelay(address)));
      addresses = relays.map(({ endpoint }) => endpoint);
    }
    const { drivers } = this.#stage;
    const seat: Seat = { driver: this.#ownDrivers.get(name) ?? drivers[index % drivers.length]!, relays, seen: 0 };
    this.#seats.set(name, seat);
    const sent = this.#send(seat.driver, "connect", {
      client: this.#own(name),
      addresses,
      ...patient,
      ...options,
    });
    this.#compare(await this.#answer(sent), outcome);
  }

  async #startDriver(name: string): Promise<void> {
    const { languages } = this.#stage;
    this.#ownDrivers.set(name, await Driver.start(languages[indexOf(name) % languages.length]!));
  }

  #seat(name: unknown): Seat {
    return this.#seats.get(String(name))!;
  }

  async #hears(seat: Seat, as: string, pattern: Outcome | undefined): Promise<void> {
    await this.#event(seat, (event) => event.as === as, pattern, "the next event that fits");
  }

  // -- What was put off ------------------------------------------------------------------------------------

  async #follow(pending: Pending, what: string, outcome: Outcome | undefined): Promise<void> {
    switch (what) {
      case "answers":
        return this.#compare(await this.#answer(pending.sent), outcome);
      case "pending":
        if (pending.sent.answered !== undefined)
          throw new Error(`it is answered: ${JSON.stringify(pending.sent.answered)}`);
        return;
      case "waiting":
        return this.#place(pending, outcome);
      case "cancel":
        return this.#compare(
          await this.#answer(this.#send(pending.driver, "cancel", { target: pending.sent.id })),
          outcome,
        );
      default:
        throw new Error(`nothing that was put off can ${what}`);
    }
  }

  async #place(pending: Pending, pattern: Outcome | undefined): Promise<void> {
    const { id } = pending.sent;
    const event = this.#event(pending, (event) => event.id === id, pattern, "a place in the queue that fits");
    const answered = pending.sent.answer.then((answer) => {
      throw new Error(`it was answered instead of waiting: ${JSON.stringify(answer)}`);
    });
    await Promise.race([event, answered]);
  }

  /** Awaits the next event that is meant and fits; the ones before it are passed over. */
  async #event(
    reader: { readonly driver: Driver; seen: number },
    isMeant: (event: Readonly<Record<string, unknown>>) => boolean,
    pattern: Outcome | undefined,
    what: string,
  ): Promise<void> {
    const scoped = this.#scopedPattern(pattern ?? {});
    let last = "none came";
    let at = reader.seen;
    const { events } = reader.driver;
    const found = events.first((event) => {
      at++;
      if (!isMeant(event)) return undefined;
      const wrong = mismatch(event, scoped, this.#variables);
      last = `the last: ${JSON.stringify(event)}: ${wrong}`;
      return wrong === undefined ? event : undefined;
    }, reader.seen);
    this.transcript.push(`< ${JSON.stringify(await this.#within(found, () => `${what} did not come; ${last}`))}`);
    reader.seen = at;
  }

  // -- Servers ---------------------------------------------------------------------------------------------

  async #serverDo(what: string, server: ServerProcess, { text }: Fields): Promise<void> {
    // It drains as long as clients are there: nobody waits for its end.
    if (what === "stop") void server.stop();
    else if (what === "logs") await server.untilLogged(new RegExp(text as string));
    else if (what !== "kill") act(server, what);
    else {
      this.#killed.add(server);
      await server.kill9();
    }
  }

  // -- Commands and answers --------------------------------------------------------------------------------

  #send(driver: Driver, op: string, fields: Readonly<Record<string, unknown>>): Sent {
    const sent = driver.send(op, fields);
    this.transcript.push(`> ${JSON.stringify({ id: sent.id, op, ...fields })}`);
    void sent.answer.then((answer) => this.transcript.push(`< ${JSON.stringify(answer)}`));
    return sent;
  }

  #answer(sent: Sent): Promise<Answer> {
    return this.#within(sent.answer, () => "it is not answered");
  }

  /** Rejects with what is told when it takes longer than any step may. */
  async #within<Value>(promise: Promise<Value>, tell: () => string): Promise<Value> {
    const { patienceMs = PATIENCE_MS } = this.#stage;
    const patience = new AbortController();
    const late = delay(patienceMs, undefined, { signal: patience.signal }).then(() => {
      throw new Error(`after ${patienceMs / 1000} s ${tell()}`);
    });
    late.catch(() => undefined);
    try {
      return await Promise.race([promise, late]);
    } finally {
      patience.abort();
    }
  }

  #compare({ ok, error, fault }: Answer, outcome: Outcome = {}): void {
    if (fault !== undefined) throw new Error(`fault: ${fault}`);
    const wanted = typeof outcome === "string" ? { error: outcome } : outcome;
    if (typeof wanted.error === "string") {
      const { error: reason, ...rest } = wanted;
      if (error === undefined) throw new Error(`it succeeded: ${JSON.stringify(ok)}`);
      this.#check(error, { reason, ...rest });
    } else {
      if (ok === undefined) throw new Error(`it failed: ${JSON.stringify(error)}`);
      this.#check(ok, wanted);
    }
  }

  #check(value: unknown, pattern: unknown): void {
    const wrong = mismatch(value, this.#scopedPattern(pattern), this.#variables);
    if (wrong !== undefined) throw new Error(wrong);
  }

  // -- Names -----------------------------------------------------------------------------------------------

  /** The name of a client, handle or thread in the driver. */
  #own(name: string): string {
    return `${this.#stage.scope}:${name}`;
  }

  #lockName(name: string): string {
    if (name.startsWith("!")) return name.slice(1);
    const [, length, letter] = /^pad:(\d+):(.)$/u.exec(name) ?? [];
    if (length === undefined) return `${this.#stage.scope}/${name}`;
    const start = `${this.#stage.scope}/`;
    const times = (Number(length) - Buffer.byteLength(start)) / Buffer.byteLength(letter!);
    // What the letter leaves over is made up with a smaller one.
    const filled = start + letter!.repeat(Math.floor(times));
    return filled + "-".repeat(Number(length) - Buffer.byteLength(filled));
  }

  #filled(fields: Fields): Record<string, unknown> {
    return Object.fromEntries(
      Object.entries(fields).map(([key, value]) => {
        if (key === "as") return [key, this.#own(String(value))];
        if (key === "locks") return [key, this.#locks(value as Locks)];
        if (key === "name" || key === "prefix" || key === "election") return [key, this.#lockName(String(value))];
        const isVariable = typeof value === "string" && value.startsWith("$");
        return [key, isVariable ? this.#variables.get(value.slice(1)) : value];
      }),
    );
  }

  #locks(locks: Locks): LockFields[] {
    const list: readonly (string | LockFields)[] = Array.isArray(locks) ? locks : [locks];
    return list.map((lock) => {
      const fields = typeof lock === "string" ? { name: lock } : lock;
      return { ...fields, name: this.#lockName(fields.name) };
    });
  }

  /** Names of locks in patterns are the scenario's own too. */
  #scopedPattern(pattern: unknown): unknown {
    if (Array.isArray(pattern)) return pattern.map((each) => this.#scopedPattern(each));
    if (typeof pattern !== "object" || pattern === null) return pattern;
    return Object.fromEntries(
      Object.entries(pattern).map(([key, value]) => [
        key,
        (key === "name" || key === "lock") && typeof value === "string" && !/^[$*~]/.test(value)
          ? this.#lockName(value)
          : this.#scopedPattern(value),
      ]),
    );
  }
}

/** Resolves when a server has ended in order, whether it was paused or not. */
function stop(server: ServerProcess): Promise<number> {
  const ended = server.stop();
  server.resume();
  return ended;
}

/** 0 for client "A", and so on. */
const indexOf = (client: string): number => client.charCodeAt(0) - "A".charCodeAt(0);

const clientsIn = (steps: readonly Step[]): string[] => [
  ...new Set(steps.map(([who]) => who.split("/")[0]!).filter((who) => /^[A-H]$/.test(who))),
];

/** Does to something what a step names. */
function act(subject: object, what: string): void {
  const action: unknown = Reflect.get(subject, what);
  if (typeof action !== "function") throw new Error(`it cannot ${what}`);
  action.call(subject);
}
