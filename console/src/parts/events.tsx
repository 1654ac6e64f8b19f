import { useState } from "preact/hooks";
import { useServerNow } from "../clock.ts";
import { age, count, dayAndTime, momentMs, plural, precise, timeOfDay, toMs } from "../format.ts";
import { type Event, EventKind } from "../gen/holdfast/v1/admin_service.ts";
import { kindWords, reasonWords } from "../words.ts";
import { Badge } from "./badge.tsx";
import { ClientLink, LockLink } from "./links.tsx";
import { Empty } from "./panel.tsx";
import { Text } from "./text.tsx";

/** Events shown at first. */
const FIRST = 25;

interface EventListProps {
  readonly events: readonly Event[];
  /** What is known from where the list stands, and left out in it. */
  readonly about?: "lock" | "session";
  readonly none: string;
}

/** What happened, newest first. */
export function EventList({ events, about, none }: EventListProps) {
  const nowMs = useServerNow();
  const [all, setAll] = useState(false);
  if (events.length === 0) return <Empty>{none}</Empty>;
  return (
    <>
      <ol class="events">
        {(all ? events : events.slice(0, FIRST)).map((event) => (
          <li key={event.seq} class="event">
            <Moment iso={event.at} nowMs={nowMs} />
            <Badge said={kindWords[event.kind]} />
            <p class="event-text">
              {about !== "lock" && <Locks names={event.lockNames} />}
              {about !== "session" && event.sessionId !== "" && (
                <ClientLink client={event.client} sessionId={event.sessionId} />
              )}
              <Details event={event} />
            </p>
          </li>
        ))}
      </ol>
      {!all && events.length > FIRST && (
        <button type="button" class="button button-small button-quiet events-more" onClick={() => setAll(true)}>
          Show {count(events.length - FIRST)} earlier
        </button>
      )}
    </>
  );
}

function Moment({ iso, nowMs }: { iso: string | undefined; nowMs: number }) {
  const atMs = momentMs(iso) ?? 0;
  const old = nowMs - atMs > 12 * 3_600_000;
  return (
    <time dateTime={iso} title={`${age(nowMs - atMs)} ago`}>
      {old ? dayAndTime(atMs) : timeOfDay(atMs)}
    </time>
  );
}

function Locks({ names }: { names: readonly string[] }) {
  const [first, ...others] = names;
  if (first === undefined) return null;
  return (
    <>
      <LockLink name={first} />
      {others.length > 0 && <span class="quiet">and {plural(others.length, "other")}</span>}
    </>
  );
}

function Details({ event }: { event: Event }) {
  const waitedMs = toMs(event.waited);
  const heldMs = toMs(event.held);
  const granted = event.kind === EventKind.GRANTED;
  return (
    <>
      {waitedMs !== undefined && (
        <span class="detail">
          {granted ? "after" : "waited"} {precise(waitedMs)}
        </span>
      )}
      {heldMs !== undefined && <span class="detail">held for {precise(heldMs)}</span>}
      {reasonWords(event.reason) !== "" && event.kind !== EventKind.DEADLOCK && (
        <span class="detail">{reasonWords(event.reason)}</span>
      )}
      {event.message !== "" && <Text class="detail message">{event.message}</Text>}
      {event.actor !== "" && (
        <span class="detail">
          by <Text>{event.actor}</Text>
        </span>
      )}
      {event.purpose !== "" && <Text class="detail purpose">{event.purpose}</Text>}
    </>
  );
}
