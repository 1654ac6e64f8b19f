import { type Feed, problemFrame } from "./feed.ts";
import type { Poll } from "./poll.ts";
import type { ReadName, ServiceAnswer, Services } from "./services.ts";

const FRAME_ROWS = 400;
const PAGE_SIZE = 1_000;
/** Sessions that pages are given: more are no help to anybody. */
const MAX_SESSIONS = 10_000;
/** Validity runs down by itself; only a change of its end by more than this is news. */
const SAME_END_MS = 1_000;
const EVENTS = 200;
const EVENTS_EVERY_MS = 1_000;

/** What a poll of a service has to say: the same text as long as it says the same. */
export async function ask(services: Services, name: ReadName, request: object): Promise<string> {
  return frameOf(await services.read(name, request));
}

function frameOf(answer: ServiceAnswer): string {
  return answer.kind === "ok" ? JSON.stringify({ answer: answer.json }) : problemFrame(answer.message);
}

/** The latest text of what pages share, when it is another one. */
export class LatestFeed implements Feed {
  readonly #text: (nowMs: number) => string | undefined;
  readonly #close: () => void;
  #sent: string | undefined;

  constructor(text: (nowMs: number) => string | undefined, close: () => void) {
    this.#text = text;
    this.#close = close;
  }

  take(nowMs: number): string | undefined {
    const text = this.#text(nowMs);
    if (text === this.#sent) return undefined;
    this.#sent = text;
    return text;
  }

  close(): void {
    this.#close();
  }
}

/** All sessions, each as JSON by its id; equal texts are the same object from poll to poll. */
export interface SessionRows {
  readonly rows: ReadonlyMap<string, SessionRow>;
  readonly problem: string | undefined;
  /** Whether there are more than these. */
  readonly more: boolean;
}

interface SessionRow {
  readonly text: string;
  readonly validUntilMs: number;
}

interface SessionJson {
  readonly sessionId: string;
  readonly validFor?: { readonly seconds?: string; readonly nanos?: number };
}

/** Reads all sessions, page by page; `previous` is what came of it the time before. */
export async function readSessions(services: Services, previous: SessionRows | undefined): Promise<SessionRows> {
  const rows = new Map<string, SessionRow>();
  let pageToken = "";
  do {
    const answer = await services.read("ListSessions", { pageSize: PAGE_SIZE, pageToken });
    if (answer.kind === "failed") return { rows, problem: answer.message, more: false };
    const page = answer.json as { sessions?: readonly SessionJson[]; nextPageToken?: string };
    for (const session of page.sessions ?? [])
      rows.set(session.sessionId, rowOf(session, previous?.rows.get(session.sessionId)));
    pageToken = page.nextPageToken ?? "";
  } while (pageToken !== "" && rows.size < MAX_SESSIONS);
  return { rows, problem: undefined, more: pageToken !== "" };
}

function rowOf({ validFor, ...session }: SessionJson, previous: SessionRow | undefined): SessionRow {
  const validForMs = validFor && Number(validFor.seconds ?? 0) * 1_000 + (validFor.nanos ?? 0) / 1e6;
  let validUntilMs = validForMs === undefined ? 0 : Math.round(Date.now() + validForMs);
  if (previous !== undefined && Math.abs(previous.validUntilMs - validUntilMs) < SAME_END_MS)
    validUntilMs = previous.validUntilMs;
  const text = JSON.stringify(validUntilMs === 0 ? session : { ...session, validUntilMs });
  return text === previous?.text ? previous : { text, validUntilMs };
}

/** All sessions: at first all there are, then those that changed and the ids of those that are gone. */
export class SessionsFeed implements Feed {
  readonly #poll: Poll<SessionRows>;
  readonly #close: () => void;
  readonly #sent = new Map<string, SessionRow>();
  #seen: SessionRows | undefined;
  #left: Iterator<[string, SessionRow]> | undefined;

  constructor(poll: Poll<SessionRows>, close: () => void) {
    this.#poll = poll;
    this.#close = close;
  }

  take(): string | undefined {
    const { latest } = this.#poll;
    if (latest === undefined || (latest === this.#seen && this.#left === undefined)) return undefined;
    if (latest !== this.#seen) {
      this.#seen = latest;
      if (latest.problem !== undefined) return problemFrame(latest.problem);
      this.#left = latest.rows.entries();
    }
    return this.#frame(this.#seen);
  }

  close(): void {
    this.#close();
  }

  #frame({ rows, more }: SessionRows): string {
    const changed: string[] = [];
    while (changed.length < FRAME_ROWS && this.#left !== undefined) {
      const next = this.#left.next();
      if (next.done) {
        this.#left = undefined;
        break;
      }
      const [id, row] = next.value;
      if (this.#sent.get(id) === row) continue;
      this.#sent.set(id, row);
      changed.push(row.text);
    }
    const gone = this.#left === undefined ? [...this.#sent.keys()].filter((id) => !rows.has(id)) : [];
    for (const id of gone) this.#sent.delete(id);
    const caughtUp = this.#left === undefined;
    return `{"sessions":[${changed.join(",")}],"gone":${JSON.stringify(gone)},"caughtUp":${caughtUp},"more":${more}}`;
  }
}

/** What happened lately: the newest events at first, then each new one. */
export class EventsFeed implements Feed {
  readonly #services: Services;
  readonly #query: object;
  #frame: string | undefined;
  #after = "0";
  #asking = false;
  #askAtMs = 0;
  #problem = "";

  constructor(services: Services, query: object) {
    this.#services = services;
    this.#query = query;
  }

  take(nowMs: number): string | undefined {
    if (!this.#asking && this.#frame === undefined && nowMs >= this.#askAtMs) this.#ask(nowMs);
    const frame = this.#frame;
    this.#frame = undefined;
    return frame;
  }

  close(): void {}

  #ask(nowMs: number): void {
    this.#asking = true;
    this.#askAtMs = nowMs + EVENTS_EVERY_MS;
    const request = { ...this.#query, after: this.#after, maxEvents: EVENTS };
    void this.#services.read("ListEvents", request).then((answer) => {
      this.#asking = false;
      if (answer.kind === "failed") {
        if (answer.message !== this.#problem) this.#frame = problemFrame(answer.message);
        this.#problem = answer.message;
        return;
      }
      const { events = [], newestSeq = "0" } = answer.json as { events?: readonly unknown[]; newestSeq?: string };
      if (events.length > 0 || this.#after === "0" || this.#problem !== "") this.#frame = frameOf(answer);
      this.#problem = "";
      this.#after = newestSeq;
    });
  }
}
