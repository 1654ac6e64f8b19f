import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useServerNow } from "../clock.ts";
import { age, count, momentMs, plainClientName, plural } from "../format.ts";
import { type Lock, LockState, Mode } from "../gen/holdfast/v1/lock_service.ts";
import { wantsSearch } from "../keys.ts";
import { Announce } from "../parts/announce.tsx";
import { Badge } from "../parts/badge.tsx";
import { Choice } from "../parts/choice.tsx";
import { type Column, Grid, useNarrow } from "../parts/grid.tsx";
import { Icon } from "../parts/icon.tsx";
import { LockLink } from "../parts/links.tsx";
import { Empty } from "../parts/panel.tsx";
import { go, replace } from "../route.ts";
import { ViewHead } from "../shell.tsx";
import { type LockRows, type Told, useLockRows } from "../topics.ts";
import { useValue } from "../value.ts";
import { modeWords, stateWords } from "../words.ts";

type StateChoice = "All" | "Held" | "Contended";
interface Order {
  readonly key: string;
  readonly sense: "ascending" | "descending";
}

const TYPING_MS = 250;

/** All locks that exist: found by prefix, filtered by state, sorted by waiters, age or name. */
export function LocksView({ prefix }: { prefix: string }) {
  const [state, setState] = useState<StateChoice>("All");
  const [order, setOrder] = useState<Order>({ key: "waiters", sense: "descending" });
  const told = useFollowed(prefix);
  const nowMs = useServerNow();
  const known = told.kind === "known" ? told.value : undefined;
  const rows = useMemo(() => shown(known, prefix, state, order), [known, prefix, state, order]);
  const columns = useMemo(() => columnsOf(nowMs), [nowMs]);
  const found = summary(told, rows.length);
  const narrow = useNarrow();
  const sortBy = (key: string) => {
    const first = columns.find((column) => column.key === key)!.sort!;
    const other = first === "ascending" ? "descending" : "ascending";
    setOrder((before) => ({ key, sense: before.key === key && before.sense === first ? other : first }));
  };
  return (
    <>
      <ViewHead title="Locks" plainTitle="Locks">
        <Choice label="State" choices={["All", "Held", "Contended"]} chosen={state} choose={setState} />
      </ViewHead>
      <Search prefix={prefix} />
      <p class="grid-summary">{found}</p>
      <Announce question={`${state} ${prefix}`} text={found} />
      {told.kind === "problem" ? (
        <Empty>{told.message}</Empty>
      ) : (
        <Grid
          label="Locks"
          class="locks-grid"
          columns={columns}
          rows={rows}
          keyOf={(lock) => lock.name}
          open={(lock) => go({ view: "lock", name: lock.name })}
          sorted={order}
          sortBy={sortBy}
          rowHeight={narrow ? 66 : 44}
        />
      )}
    </>
  );
}

function Search({ prefix }: { prefix: string }) {
  const field = useRef<HTMLInputElement>(null);
  const wanted = useValue(wantsSearch);
  useEffect(() => {
    if (!wanted) return;
    field.current!.focus();
    wantsSearch.set(false);
  }, [wanted]);
  return (
    <search class="search-box">
      <Icon name="search" />
      <label class="unseen" for="prefix">
        Names that begin with
      </label>
      <input
        id="prefix"
        ref={field}
        class="search"
        type="search"
        placeholder="Names that begin with …"
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        value={prefix}
        onInput={(event) => replace({ view: "locks", prefix: event.currentTarget.value })}
        onKeyDown={(event) => {
          if (event.key === "Escape") replace({ view: "locks", prefix: "" });
        }}
      />
      <span class="key-cap" aria-hidden="true">
        /
      </span>
    </search>
  );
}

/**
 * Locks among which all with a prefix are. The server is asked for fewer only if it has more than it gives a page;
 * else what is here already is searched, at once.
 */
function useFollowed(prefix: string): Told<LockRows> {
  const [followed, setFollowed] = useState(prefix);
  const told = useLockRows(followed);
  const before = useRef(told);
  // While the next ones come, those that are here are better than none.
  if (told.kind !== "nothing") before.current = told;
  const covered = prefix.startsWith(followed) && !(told.kind === "known" && told.value.more);
  useEffect(() => {
    if (covered || prefix === followed) return;
    const timer = setTimeout(() => setFollowed(prefix), TYPING_MS);
    return () => clearTimeout(timer);
  }, [prefix, followed, covered]);
  return told.kind === "nothing" ? before.current : told;
}

function shown(known: LockRows | undefined, prefix: string, state: StateChoice, order: Order): readonly Lock[] {
  if (known === undefined) return [];
  const rows: Lock[] = [];
  const wanted = state === "All" ? undefined : state === "Held" ? LockState.HELD : LockState.CONTENDED;
  for (const lock of known.rows.values())
    if (lock.name.startsWith(prefix) && (wanted === undefined || lock.state === wanted)) rows.push(lock);
  return rows.sort(comparing(order));
}

function comparing({ key, sense }: Order): (a: Lock, b: Lock) => number {
  const turn = sense === "ascending" ? 1 : -1;
  const byName = (a: Lock, b: Lock) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  if (key === "name") return (a, b) => turn * byName(a, b);
  const value =
    key === "waiters"
      ? ({ waiterCount }: Lock) => waiterCount
      : (lock: Lock) => -(sinceOf(lock) ?? Number.MAX_SAFE_INTEGER);
  return (a, b) => turn * (value(a) - value(b)) || byName(a, b);
}

/** Since when the oldest holder has it; ISO texts are compared as numbers once. */
const sinceOf = ({ holders: [holder] }: Lock): number | undefined => momentMs(holder?.grantedAt ?? holder?.claimedAt);

function columnsOf(nowMs: number): readonly Column<Lock>[] {
  return [
    { key: "name", title: "Lock", sort: "ascending", cell: ({ name }) => <LockLink name={name} quiet /> },
    { key: "state", title: "State", cell: (lock) => <State lock={lock} /> },
    { key: "holder", title: "Holder", cell: holderCell },
    { key: "age", title: "Held for", sort: "descending", class: "number", cell: (lock) => ageCell(lock, nowMs) },
    {
      key: "waiters",
      title: "Waiting",
      sort: "descending",
      class: "number",
      cell: ({ waiterCount }) => (
        <span class={waiterCount > 0 ? "tone-waiting strong" : "quiet"}>{count(waiterCount)}</span>
      ),
    },
  ];
}

function State({ lock: { state, mode, limit, permitsHeld } }: { lock: Lock }) {
  return (
    <>
      <Badge said={stateWords[state]} />
      {mode === Mode.SHARED && <span class="quiet mode">{modeWords[mode]}</span>}
      {mode === Mode.SEMAPHORE && (
        <span class="quiet mode">
          {permitsHeld} of {limit}
        </span>
      )}
    </>
  );
}

function holderCell({ holders: [holder], holderCount }: Lock) {
  if (holder === undefined) return <span class="quiet">nobody at this moment</span>;
  const others = holderCount - 1;
  return (
    <span class="holder">
      <bdi>{plainClientName(holder.client, holder.sessionId)}</bdi>
      {others > 0 && <span class="quiet"> +{count(others)}</span>}
    </span>
  );
}

function ageCell(lock: Lock, nowMs: number) {
  const sinceMs = sinceOf(lock);
  return sinceMs === undefined ? "" : age(nowMs - sinceMs);
}

function summary(told: Told<LockRows>, rows: number): string {
  if (told.kind !== "known") return told.kind === "nothing" ? "Asking the server …" : "";
  const found = rows === 0 ? "No locks like that." : plural(rows, "lock");
  return told.value.more
    ? `${found} of the first ${count(told.value.rows.size)}: type more of the name to see others.`
    : found;
}
