import { useEffect, useState } from "preact/hooks";
import {
  type Event,
  GetSessionResponse,
  GetStatusResponse,
  GetWaitGraphResponse,
  ListEventsResponse,
  Session,
  StatisticsSample,
} from "./gen/holdfast/v1/admin_service.ts";
import { GetLockResponse, Lock } from "./gen/holdfast/v1/lock_service.ts";
import { Live } from "./live.ts";
import { Value } from "./value.ts";

/** The stream of this page. */
export const live = new Live();

/** What a topic has told so far. */
export type Told<T> =
  | { readonly kind: "nothing" }
  | { readonly kind: "problem"; readonly message: string }
  | { readonly kind: "known"; readonly value: T };

type Frame = Record<string, unknown>;
type Reduce<T> = (before: T | undefined, frame: Frame, first: boolean) => T | undefined;

/** What a frame makes of what was told before; `undefined` from `reduce` leaves that as it was. */
function follow<T>(
  topic: string,
  wish: () => Readonly<Record<string, string>>,
  reduce: Reduce<T>,
  told: Value<Told<T>>,
) {
  // What comes is put together apart from what is shown, since a new stream begins from nothing.
  let building: T | undefined;
  return live.subscribe(topic, wish, (frame, first) => {
    if (first) building = undefined;
    if (typeof frame.problem === "string") return told.set({ kind: "problem", message: frame.problem });
    building = reduce(building, frame, first) ?? building;
    if (building !== undefined) told.set({ kind: "known", value: building });
  });
}

/** Follows a topic for as long as a component is shown. Another wish begins anew. */
function useTopic<T>(topic: string, wish: Readonly<Record<string, string>> | undefined, reduce: Reduce<T>): Told<T> {
  const key = JSON.stringify(wish);
  const [state, setState] = useState<{ key: string; told: Told<T> }>({ key, told: { kind: "nothing" } });
  useEffect(() => {
    if (wish === undefined) return;
    const told = new Value<Told<T>>({ kind: "nothing" });
    const endTelling = told.subscribe(() => setState({ key, told: told.get() }));
    const end = follow(topic, () => wish, reduce, told);
    return () => {
      end();
      endTelling();
    };
  }, [topic, key]);
  return state.key === key ? state.told : { kind: "nothing" };
}

/** The state of servers and store, whatever is shown. */
export const status = new Value<Told<GetStatusResponse>>({ kind: "nothing" });

/** A second of what the server counted. */
export interface Sample extends StatisticsSample {
  readonly atMs: number;
}

const MAX_SAMPLES = 900;
/** What the server counted in the last 15 minutes, in order of time. */
export const samples = new Value<readonly Sample[]>([]);

/** Begins to follow what every view shows. */
export function followAlways(): void {
  follow(
    "status",
    () => ({}),
    (_, frame) => GetStatusResponse.fromJSON(frame.answer),
    status,
  );
  let server = "";
  live.subscribe(
    "statistics",
    () => ({ after: String(samples.get().at(-1)?.atMs ?? 0) }),
    (frame) => {
      // Another run of a server counts from nothing.
      const serverNow = live.hello.get()?.serverId ?? "";
      const before = server === serverNow ? samples.get() : [];
      server = serverNow;
      samples.set([...before, ...(frame.samples as readonly unknown[]).map(toSample)].slice(-MAX_SAMPLES));
    },
  );
}

function toSample(json: unknown): Sample {
  const sample = StatisticsSample.fromJSON(json);
  return { ...sample, atMs: Date.parse(sample.at ?? "") };
}

/** Locks by name, and whether there are more than a page is given. */
export interface LockRows {
  readonly rows: ReadonlyMap<string, Lock>;
  readonly more: boolean;
}

/** The locks whose names begin with a prefix. */
export const useLockRows = (prefix: string): Told<LockRows> =>
  useTopic(
    "locks",
    { prefix },
    rowsReducer<Lock, LockRows>(
      "locks",
      Lock,
      ({ name }) => name,
      (rows, more) => ({ rows, more }),
    ),
  );

/** A session, and until when it is valid if nothing more is heard of its client, by the server's clock. */
export interface SessionRow extends Session {
  /** `undefined`: only the server that has its stream knows. */
  readonly validUntilMs: number | undefined;
}

export interface SessionRows {
  readonly rows: ReadonlyMap<string, SessionRow>;
  readonly more: boolean;
}

const sessionRow = {
  fromJSON: (json: { validUntilMs?: number }): SessionRow => ({
    ...Session.fromJSON(json),
    validUntilMs: json.validUntilMs,
  }),
};

/** All sessions. */
export const useSessions = (): Told<SessionRows> =>
  useTopic(
    "sessions",
    {},
    rowsReducer<SessionRow, SessionRows>(
      "sessions",
      sessionRow,
      ({ sessionId }) => sessionId,
      (rows, more) => ({ rows, more }),
    ),
  );

/** Puts rows together: nothing is told until all that exist have come, and then each change. */
function rowsReducer<Row, Rows>(
  field: string,
  codec: { fromJSON(json: unknown): Row },
  keyOf: (row: Row) => string,
  tell: (rows: ReadonlyMap<string, Row>, more: boolean) => Rows,
): Reduce<Rows> {
  let rows = new Map<string, Row>();
  return (_, frame, first) => {
    // Those of the stream before stay as they were shown, until all of this one have come.
    if (first) rows = new Map();
    for (const json of frame[field] as readonly unknown[]) {
      const row = codec.fromJSON(json);
      if (isGone(row)) rows.delete(keyOf(row));
      else rows.set(keyOf(row), row);
    }
    for (const key of (frame.gone as readonly string[] | undefined) ?? []) rows.delete(key);
    return frame.caughtUp === true ? tell(rows, frame.more === true) : undefined;
  };
}

const isGone = (row: unknown): boolean => {
  const { holderCount, waiterCount } = row as Partial<Lock>;
  return holderCount === 0 && waiterCount === 0;
};

/** One lock, with its first 100 holders and waiters; or, if `all`, 1,000, a little less often. */
export function useLock(name: string, all: boolean): Told<Lock> {
  const first = useTopic("lock", all ? undefined : { name }, (_: Lock | undefined, frame) =>
    frame.lock === null ? undefined : Lock.fromJSON(frame.lock),
  );
  const whole = useTopic(
    "queue",
    all ? { name } : undefined,
    (_: Lock | undefined, frame) => GetLockResponse.fromJSON(frame.answer).lock,
  );
  return all && whole.kind !== "nothing" ? whole : first;
}

/** Locks with the most waiters, and how many have any. */
export interface Hottest {
  readonly locks: readonly Lock[];
  readonly contended: number;
}

export const useHottest = (): Told<Hottest> =>
  useTopic("hottest", {}, (_: Hottest | undefined, frame) => ({
    locks: (frame.locks as readonly unknown[]).map((json) => Lock.fromJSON(json)),
    contended: Number(frame.contended ?? 0),
  }));

export const useSession = (id: string): Told<GetSessionResponse> =>
  useTopic("session", { id }, (_: GetSessionResponse | undefined, frame) => GetSessionResponse.fromJSON(frame.answer));

export const useGraph = (prefix: string): Told<GetWaitGraphResponse> =>
  useTopic("graph", { prefix }, (_: GetWaitGraphResponse | undefined, frame) =>
    GetWaitGraphResponse.fromJSON(frame.answer),
  );

const MAX_EVENTS = 200;

/** What happened lately, newest first. */
export const useEvents = (wish: { lock?: string; session?: string; kinds?: string }): Told<readonly Event[]> =>
  useTopic("events", wish as Readonly<Record<string, string>>, (before: readonly Event[] | undefined, frame) =>
    [...ListEventsResponse.fromJSON(frame.answer).events, ...(before ?? [])].slice(0, MAX_EVENTS),
  );
