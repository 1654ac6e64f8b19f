import { EventCutter, type ServerEvent } from "./event-stream.ts";
import { Value } from "./value.ts";

/** How the page stands with its server. */
export type Connection =
  | { readonly kind: "connecting" }
  | { readonly kind: "live" }
  /** The stream is there, but nothing has come over it for a while. */
  | { readonly kind: "silent"; readonly sinceMs: number }
  /** There is no stream. What is shown is what was known at `sinceMs`. */
  | { readonly kind: "lost"; readonly sinceMs: number; readonly problem: string; readonly retryAtMs: number };

/** What the server says of itself and of us when a stream begins. */
export interface Hello {
  readonly version: string;
  readonly serverId: string;
  /** Whether we may change anything; if not, why, and whether showing a token would help. */
  readonly access: { readonly allowed: boolean; readonly problem: string; readonly byToken: boolean };
}

/** A frame of a topic, as JSON. `first` of each stream: what was known before is out of date. */
type Take = (frame: Record<string, unknown>, first: boolean) => void;

interface Subscription {
  readonly topic: string;
  readonly wish: () => Readonly<Record<string, string>>;
  readonly take: Take;
  first: boolean;
}

const SILENT_AFTER_MS = 4_000;
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 10_000;

/**
 * The page's one stream. It follows what is subscribed to; when that changes, a new stream takes over, and the old
 * one is left when the new one has begun. A stream that breaks is opened again, each time a little later.
 */
export class Live {
  readonly connection = new Value<Connection>({ kind: "connecting" });
  readonly hello = new Value<Hello | undefined>(undefined);
  /** How far the server's clock is ahead of ours. */
  readonly skewMs = new Value(0);
  #subscriptions: readonly Subscription[] = [];
  #current: AbortController | undefined;
  #planned = false;
  #retryMs = FIRST_RETRY_MS;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #heardAtMs = Date.now();

  constructor() {
    setInterval(() => this.#listen(), 500);
  }

  /** Follows a topic until what is returned is called. A page follows each topic once at a time. */
  subscribe(topic: string, wish: Subscription["wish"], take: Take): () => void {
    const subscription = { topic, wish, take, first: true };
    this.#subscriptions = [...this.#subscriptions.filter((one) => one.topic !== topic), subscription];
    this.#plan();
    return () => {
      this.#subscriptions = this.#subscriptions.filter((one) => one !== subscription);
      this.#plan();
    };
  }

  /** Opens a stream now, instead of when it is time. */
  retryNow(): void {
    this.#retryMs = FIRST_RETRY_MS;
    this.#open();
  }

  /** Views come and go in one turn: the stream is changed once, after it. */
  #plan(): void {
    if (this.#planned) return;
    this.#planned = true;
    queueMicrotask(() => {
      this.#planned = false;
      this.#open();
    });
  }

  #open(): void {
    clearTimeout(this.#retry);
    const previous = this.#current;
    const control = new AbortController();
    this.#current = control;
    this.#read(control, () => previous?.abort()).catch((error: unknown) => {
      previous?.abort();
      if (this.#current === control) this.#lost(error instanceof Error ? error.message : String(error));
    });
  }

  async #read(control: AbortController, begun: () => void): Promise<void> {
    const subscriptions = this.#subscriptions;
    const watch = Object.fromEntries(subscriptions.map(({ topic, wish }) => [topic, wish()]));
    const response = await fetch(`/api/live?watch=${encodeURIComponent(JSON.stringify(watch))}`, {
      headers: { "x-holdfast-console": "1" },
      signal: control.signal,
      cache: "no-store",
    });
    if (!response.ok || response.body === null)
      throw new Error((await response.text()).trim() || `the server answered ${response.status}`);
    begun();
    for (const subscription of subscriptions) subscription.first = true;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const cutter = new EventCutter();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Error("the server ended the stream");
      if (this.#current !== control) return;
      this.#heard();
      for (const event of cutter.push(value)) this.#dispatch(event, subscriptions);
    }
  }

  #dispatch({ name, text }: ServerEvent, subscriptions: readonly Subscription[]): void {
    const message = JSON.parse(text);
    if (name === "hello") this.hello.set(message);
    else if (name === "tick") this.skewMs.set(message.atMs - Date.now());
    else {
      const subscription = subscriptions.find(({ topic }) => topic === name);
      subscription?.take(message, subscription.first);
      if (subscription !== undefined) subscription.first = false;
    }
  }

  #heard(): void {
    this.#heardAtMs = Date.now();
    this.#retryMs = FIRST_RETRY_MS;
    if (this.connection.get().kind !== "live") this.connection.set({ kind: "live" });
  }

  #lost(problem: string): void {
    const retryAtMs = Date.now() + this.#retryMs;
    this.connection.set({ kind: "lost", sinceMs: this.#heardAtMs, problem, retryAtMs });
    this.#retry = setTimeout(() => this.#open(), this.#retryMs);
    this.#retryMs = Math.min(MAX_RETRY_MS, this.#retryMs * 2);
  }

  #listen(): void {
    if (this.connection.get().kind === "live" && Date.now() - this.#heardAtMs > SILENT_AFTER_MS)
      this.connection.set({ kind: "silent", sinceMs: this.#heardAtMs });
  }
}
