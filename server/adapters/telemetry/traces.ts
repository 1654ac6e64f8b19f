import type { Tracer } from "@opentelemetry/api";
import {
  type Context,
  type Link,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  type SpanStatus,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import type { NotedClaim, NotedSession } from "../../core/session-host.ts";
import type { EngineNote, Telemetry } from "../../ports/telemetry.ts";
import { resourceOf, type ServerIdentity, shutDown } from "./resource.ts";

export interface TracesOptions extends ServerIdentity {
  readonly exporter: SpanExporter;
  /** The share of acquires to trace that come without a trace of their caller's, 0 to 1. Those with one follow it. */
  readonly ratio: number;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
}

export interface Traces extends Telemetry, AsyncDisposable {}

/** Locks whose last holder is remembered, to link to it; of more, those longest without a grant are forgotten. */
const MAX_LOCKS = 10_000;

type ClaimNote = { readonly session: NotedSession; readonly claim: NotedClaim };
type Granted = Extract<EngineNote, { kind: "claim.granted" }>;

/**
 * Tells of each acquire as a span, child of the caller's if that is sampled: `holdfast.acquire`, with what its time went
 * to below it (`holdfast.commit`, `holdfast.queue`, `holdfast.hand_off`), and then `holdfast.hold`. It links to the
 * acquire of the holder that it waited for, where that was traced here.
 *
 * Spans are made when they end, of what the note says: nothing is kept of an acquire that is not traced.
 */
export function startTraces(options: TracesOptions): Traces {
  const provider = new TracerProvider({
    resource: resourceOf(options),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(options.ratio) }),
    spanProcessors: [new BatchSpanProcessor({ exporter: options.exporter })],
  });
  const spans = new Spans(provider.getTracer("holdfast", options.version), options);
  return {
    note: (note) => spans.note(note),
    [Symbol.asyncDispose]: () => shutDown(provider),
  };
}

class Spans implements Telemetry {
  readonly #tracer: Tracer;
  readonly #ratio: number;
  readonly #wallMs: () => number;
  /** The acquire spans of claims that are held. */
  readonly #holding = new WeakMap<NotedClaim, SpanContext>();
  /** The acquire span of the last grant of a lock. */
  readonly #lastGrant = new Map<string, SpanContext>();

  constructor(tracer: Tracer, { ratio, wallMs }: TracesOptions) {
    this.#tracer = tracer;
    this.#ratio = ratio;
    this.#wallMs = wallMs;
  }

  note(note: EngineNote): void {
    switch (note.kind) {
      case "claim.granted":
        if (this.#isWanted(note) && !note.reentered) this.#granted(note);
        return;
      case "claim.denied":
        if (this.#isWanted(note)) this.#denied(note);
        return;
      case "claim.released":
        if (note.waitedMs !== undefined && this.#isWanted(note)) this.#cancelled(note, note.waitedMs);
        return this.#ended(note);
      case "claim.lost":
        return this.#ended(note);
    }
  }

  /** Spares what is not traced the work of a span that records nothing. */
  #isWanted({ claim }: ClaimNote): boolean {
    const { traceparent } = claim.request;
    return traceparent === undefined ? this.#ratio > 0 : (Number.parseInt(traceparent.slice(53, 55), 16) & 1) === 1;
  }

  #granted(note: Granted): void {
    const { claim, waitedMs, enteredMs, handOffMs, token } = note;
    const endMs = this.#wallMs();
    const span = this.#tracer.startSpan(
      "holdfast.acquire",
      {
        kind: SpanKind.SERVER,
        startTime: endMs - waitedMs,
        attributes: { ...attributesOf(note), "holdfast.outcome": "granted", "holdfast.fencing_token": String(token) },
        links: handOffMs === undefined ? [] : this.#holdersOf(claim),
      },
      parentOf(claim),
    );
    const context = trace.setSpan(ROOT_CONTEXT, span);
    const enteredAtMs = endMs - waitedMs + enteredMs;
    this.#part("holdfast.commit", endMs - waitedMs, enteredAtMs, context);
    if (endMs > enteredAtMs) this.#part("holdfast.queue", enteredAtMs, endMs, context);
    if (handOffMs !== undefined) this.#part("holdfast.hand_off", endMs - handOffMs, endMs, context);
    span.end(endMs);
    if (!isSampled(span.spanContext())) return;
    this.#holding.set(claim, span.spanContext());
    for (const { name } of claim.request.locks) this.#remember(name, span.spanContext());
  }

  #denied(note: Extract<EngineNote, { kind: "claim.denied" }>): void {
    this.#inVain(note, note.waitedMs, note.reason, { code: SpanStatusCode.ERROR, message: note.message });
  }

  /** Its client wanted it no more: no error of anybody's. */
  #cancelled(note: Extract<EngineNote, { kind: "claim.released" }>, waitedMs: number): void {
    this.#inVain(note, waitedMs, "cancelled", { code: SpanStatusCode.UNSET });
  }

  #inVain(note: ClaimNote, waitedMs: number, outcome: string, status: SpanStatus): void {
    const endMs = this.#wallMs();
    const span = this.#tracer.startSpan(
      "holdfast.acquire",
      {
        kind: SpanKind.SERVER,
        startTime: endMs - waitedMs,
        attributes: { ...attributesOf(note), "holdfast.outcome": outcome },
        links: this.#holdersOf(note.claim),
      },
      parentOf(note.claim),
    );
    span.setStatus(status);
    span.end(endMs);
  }

  #ended(note: Extract<EngineNote, { kind: "claim.released" | "claim.lost" }>): void {
    const acquire = this.#holding.get(note.claim);
    if (acquire === undefined || note.heldMs === undefined) return;
    this.#holding.delete(note.claim);
    const endMs = this.#wallMs();
    const span = this.#tracer.startSpan(
      "holdfast.hold",
      {
        startTime: endMs - note.heldMs,
        attributes: {
          ...attributesOf(note),
          "holdfast.fencing_token": String(note.token),
          "holdfast.end": note.kind === "claim.lost" ? note.reason : "released",
        },
      },
      trace.setSpanContext(ROOT_CONTEXT, acquire),
    );
    if (note.kind === "claim.lost") span.setStatus({ code: SpanStatusCode.ERROR, message: note.message });
    span.end(endMs);
  }

  #part(name: string, startMs: number, endMs: number, parent: Context): void {
    this.#tracer.startSpan(name, { startTime: startMs }, parent).end(endMs);
  }

  /** Links to the acquires of those who held its locks last. */
  #holdersOf({ request }: NotedClaim): Link[] {
    return request.locks.flatMap(({ name }) => {
      const context = this.#lastGrant.get(name);
      return context === undefined
        ? []
        : [{ context, attributes: { "holdfast.link": "holder", "holdfast.lock": name } }];
    });
  }

  #remember(lock: string, context: SpanContext): void {
    this.#lastGrant.delete(lock);
    this.#lastGrant.set(lock, context);
    if (this.#lastGrant.size <= MAX_LOCKS) return;
    const [oldest] = this.#lastGrant.keys();
    this.#lastGrant.delete(oldest as string);
  }
}

const isSampled = ({ traceFlags }: SpanContext): boolean => (traceFlags & 1) === 1;

/** The place in a trace that an acquire came with, as a parent. */
function parentOf({ request: { traceparent } }: NotedClaim): Context {
  if (traceparent === undefined) return ROOT_CONTEXT;
  const [, traceId, spanId, flags] = traceparent.split("-") as [string, string, string, string];
  const traceFlags = Number.parseInt(flags, 16);
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}

function attributesOf({ session, claim }: ClaimNote): Record<string, string | string[]> {
  const { locks } = claim.request;
  return {
    "holdfast.locks": locks.map(({ name }) => name),
    "holdfast.mode": locks[0]?.mode ?? "exclusive",
    "holdfast.session": session.id,
    "holdfast.claim": String(claim.id),
    "holdfast.client": session.record.client?.name ?? "",
  };
}
