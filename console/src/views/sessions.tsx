import { useMemo, useState } from "preact/hooks";
import { useServerNow } from "../clock.ts";
import { age, clientName, count, momentMs, plural, toMs } from "../format.ts";
import { Announce } from "../parts/announce.tsx";
import { type Column, Grid, useNarrow } from "../parts/grid.tsx";
import { Icon } from "../parts/icon.tsx";
import { Empty } from "../parts/panel.tsx";
import { Text } from "../parts/text.tsx";
import { Validity } from "../parts/validity.tsx";
import { go } from "../route.ts";
import { ViewHead } from "../shell.tsx";
import { type SessionRow, type SessionRows, type Told, useSessions } from "../topics.ts";

interface Order {
  readonly key: string;
  readonly sense: "ascending" | "descending";
}

/** Everybody who is connected, or was and may come back. */
export function SessionsView() {
  const told = useSessions();
  const [search, setSearch] = useState("");
  const [order, setOrder] = useState<Order>({ key: "claims", sense: "descending" });
  const nowMs = useServerNow();
  const known = told.kind === "known" ? told.value : undefined;
  const rows = useMemo(
    () => [...(known?.rows.values() ?? [])].filter((row) => matches(row, search)).sort(comparing(order)),
    [known, search, order],
  );
  const columns = useMemo(() => columnsOf(nowMs), [nowMs]);
  const narrow = useNarrow();
  const found = summary(told, rows.length);
  const sortBy = (key: string) => {
    const first = columns.find((column) => column.key === key)!.sort!;
    const other = first === "ascending" ? "descending" : "ascending";
    setOrder((before) => ({ key, sense: before.key === key && before.sense === first ? other : first }));
  };
  return (
    <>
      <ViewHead title="Sessions" plainTitle="Sessions" />
      <search class="search-box">
        <Icon name="search" />
        <label class="unseen" for="session-search">
          Client, address, label or id
        </label>
        <input
          id="session-search"
          class="search"
          type="search"
          placeholder="Client, address, label or id …"
          autocomplete="off"
          spellcheck={false}
          value={search}
          onInput={(event) => setSearch(event.currentTarget.value)}
        />
      </search>
      <p class="grid-summary">{found}</p>
      <Announce question={search} text={found} />
      {told.kind === "problem" ? (
        <Empty>{told.message}</Empty>
      ) : (
        <Grid
          label="Sessions"
          class="sessions-grid"
          columns={columns}
          rows={rows}
          keyOf={(row) => row.sessionId}
          open={(row) => go({ view: "session", id: row.sessionId })}
          sorted={order}
          sortBy={sortBy}
          rowHeight={narrow ? 66 : 56}
        />
      )}
    </>
  );
}

function summary(told: Told<SessionRows>, rows: number): string {
  if (told.kind !== "known") return told.kind === "nothing" ? "Asking the server …" : "";
  const found = plural(rows, "session");
  return told.value.more ? `${found}, of the first ${count(told.value.rows.size)}` : found;
}

function matches({ sessionId, client, peer, labels }: SessionRow, search: string): boolean {
  if (search === "") return true;
  const texts = [
    sessionId,
    clientName(client, sessionId),
    peer,
    ...Object.entries(labels).map(([key, value]) => `${key}=${value}`),
  ];
  return texts.some((text) => text.toLowerCase().includes(search.toLowerCase()));
}

function comparing({ key, sense }: Order): (a: SessionRow, b: SessionRow) => number {
  const turn = sense === "ascending" ? 1 : -1;
  const values: Record<string, (row: SessionRow) => number | string> = {
    who: ({ client, sessionId }) => clientName(client, sessionId),
    claims: ({ heldCount, waitingCount }) => heldCount + waitingCount,
    age: ({ openedAt }) => -(momentMs(openedAt) ?? 0),
    validity: ({ validUntilMs }) => validUntilMs ?? Number.MAX_SAFE_INTEGER,
  };
  const value = values[key]!;
  return (a, b) => {
    const [left, right] = [value(a), value(b)];
    if (left !== right) return left < right ? -turn : turn;
    return a.sessionId < b.sessionId ? -1 : 1;
  };
}

function columnsOf(nowMs: number): readonly Column<SessionRow>[] {
  return [
    { key: "who", title: "Client", sort: "ascending", cell: whoCell },
    { key: "where", title: "Address", cell: ({ peer }) => <Text class="mono">{peer}</Text> },
    { key: "library", title: "Library", cell: libraryCell },
    { key: "claims", title: "Claims", sort: "descending", class: "number", cell: claimsCell },
    {
      key: "validity",
      title: "Valid for",
      sort: "ascending",
      cell: ({ validUntilMs, ttl }) => <Validity validUntilMs={validUntilMs} ttlMs={toMs(ttl) ?? 0} nowMs={nowMs} />,
    },
    {
      key: "age",
      title: "Open for",
      sort: "descending",
      class: "number",
      cell: ({ openedAt }) => age(nowMs - (momentMs(openedAt) ?? nowMs)),
    },
  ];
}

function whoCell({ client, sessionId, labels }: SessionRow) {
  const tags = Object.entries(labels);
  return (
    <span class="who">
      <Text class="client-name">{clientName(client, sessionId)}</Text>
      {client !== undefined && client.pid !== 0 && <span class="pid">{client.pid}</span>}
      {tags.length > 0 && (
        <span class="labels">
          {tags.map(([key, value]) => (
            <Text key={key} class="label">{`${key}=${value}`}</Text>
          ))}
        </span>
      )}
    </span>
  );
}

function libraryCell({ client }: SessionRow) {
  if (client === undefined || client.language === "") return <span class="quiet">unknown</span>;
  return <Text>{`${client.language} ${client.version}`.trim()}</Text>;
}

function claimsCell({ heldCount, waitingCount }: SessionRow) {
  return (
    <>
      <span class={heldCount > 0 ? "tone-held strong" : "quiet"}>{count(heldCount)}</span>
      {waitingCount > 0 && <span class="tone-waiting"> +{count(waitingCount)}</span>}
    </>
  );
}
