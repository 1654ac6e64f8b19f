import { useMemo } from "preact/hooks";
import { useServerNow } from "../clock.ts";
import { age, count, momentMs, plural, precise, preciseParts, shortCount } from "../format.ts";
import { type Event, EventKind } from "../gen/holdfast/v1/admin_service.ts";
import { Chart, type Line } from "../parts/chart.tsx";
import { Choice } from "../parts/choice.tsx";
import { EventList } from "../parts/events.tsx";
import { ClientLink, LockLink } from "../parts/links.tsx";
import { Empty, Known, Panel } from "../parts/panel.tsx";
import { ViewHead } from "../shell.tsx";
import { type Bin, binsOf, lately, type Span, spans, type Totals, totalsOf } from "../statistics.ts";
import { remembered } from "../theme.ts";
import { type Hottest, samples, status, useEvents, useHottest } from "../topics.ts";
import { useValue } from "../value.ts";
import { TROUBLE } from "../words.ts";

const chosen = remembered("span", ["1 min", "5 min", "15 min"], "5 min");

/** How the service does, at a glance. */
export function OverviewView() {
  const all = useValue(samples);
  const title = useValue(chosen);
  const span: Span = spans.find((one) => one.title === title)!;
  const recent = useMemo(() => lately(all, span.seconds), [all, span]);
  const totals = useMemo(() => totalsOf(recent), [recent]);
  const bins = useMemo(() => binsOf(recent, span.binSeconds), [recent, span]);
  return (
    <>
      <ViewHead title="Overview" plainTitle="Overview">
        <Choice
          label="How far back"
          choices={spans.map((one) => one.title)}
          chosen={title}
          choose={(to) => chosen.set(to)}
        />
      </ViewHead>
      <AcquireTime totals={totals} bins={bins} span={span} />
      <Gauges totals={totals} span={span} />
      <div class="duo">
        <Throughput totals={totals} bins={bins} />
        <Claims bins={bins} />
      </div>
      <TroubleChart totals={totals} bins={bins} span={span} />
      <div class="duo">
        <HottestPanel />
        <TroublePanel />
      </div>
    </>
  );
}

interface PartProps {
  readonly totals: Totals;
  readonly bins: readonly Bin[];
  readonly span: Span;
}

const acquireLines: readonly Line[] = [
  { name: "p99", color: "--chart-p99", width: 1.25 },
  { name: "p90", color: "--chart-p90", width: 1.25 },
  { name: "p50", color: "--chart-p50", width: 1.25 },
  { name: "average", color: "--chart-average", width: 2.25 },
];

function AcquireTime({ totals: { acquire }, bins, span }: PartProps) {
  const { number, unit } = preciseParts(acquire.averageMs);
  const figures = [
    ["p50", acquire.percentileMs(0.5)],
    ["p90", acquire.percentileMs(0.9)],
    ["p99", acquire.percentileMs(0.99)],
    ["longest", acquire.maxMs],
  ] as const;
  const points = (of: (bin: Bin) => number | undefined) => bins.map((bin) => of(bin) ?? null);
  const series = useMemo(
    () => [
      bins.map(({ at }) => at),
      points(({ totals }) => totals.acquire.percentileMs(0.99)),
      points(({ totals }) => totals.acquire.percentileMs(0.9)),
      points(({ totals }) => totals.acquire.percentileMs(0.5)),
      points(({ totals }) => totals.acquire.averageMs),
    ],
    [bins],
  );
  return (
    <section class="panel hero" aria-labelledby="acquire-title">
      <div class="hero-figures">
        <h2 id="acquire-title">Average time to acquire a lock</h2>
        <p class="hero-number" data-figure="average" data-ms={acquire.averageMs}>
          {number}
          <span class="unit">{unit}</span>
        </p>
        <dl class="percentiles">
          {figures.map(([name, ms]) => (
            <div key={name} class={`key-chart-${name}`}>
              <dt>{name}</dt>
              <dd data-figure={name} data-ms={ms}>
                {precise(ms)}
              </dd>
            </div>
          ))}
        </dl>
        <p class="hint">
          {acquire.count === 0
            ? `Nothing was granted in ${span.words}.`
            : `${plural(acquire.count, "grant")} in ${span.words}, from the command to the grant, waiting included. Counted by this server.`}
        </p>
      </div>
      <Chart
        lines={acquireLines}
        series={series as Parameters<typeof Chart>[0]["series"]}
        height={230}
        format={precise}
        logarithmic
        label={`Time to acquire over ${span.words}: average ${precise(acquire.averageMs)}, p99 ${precise(acquire.percentileMs(0.99))}`}
      />
    </section>
  );
}

function Gauges({ totals, span }: Omit<PartProps, "bins">) {
  const told = useValue(status);
  const latest = useValue(samples).at(-1);
  const table = told.kind === "known" ? told.value.table : undefined;
  // The latest second, unless this server does not count.
  const gauges = latest ?? table;
  const perSecond = totals.seconds === 0 ? undefined : totals.grants / totals.seconds;
  const tiles = [
    { name: "Held", value: gauges && shortCount(gauges.heldCount), tone: "held", note: "claims" },
    { name: "Waiting", value: gauges && shortCount(gauges.waitingCount), tone: "waiting", note: "claims" },
    { name: "Locks", value: gauges && shortCount(gauges.lockCount), tone: "", note: "exist" },
    { name: "Sessions", value: gauges && shortCount(gauges.sessionCount), tone: "", note: "live" },
    {
      name: "Grants",
      value: perSecond === undefined ? undefined : rate(perSecond),
      tone: "",
      note: `/s in ${span.title}`,
    },
    {
      name: "Lost",
      value: latest && count(totals.losses),
      tone: totals.losses > 0 ? "trouble" : "",
      note: `in ${span.title}`,
    },
  ];
  return (
    <dl class="tiles" aria-label="Now">
      {tiles.map(({ name, value, tone, note }) => (
        <div key={name} class={`tile ${tone === "" ? "" : `tone-${tone}`}`}>
          <dt>{name}</dt>
          <dd>
            {value ?? "–"} <span class="tile-note">{note}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

const rate = (perSecond: number): string => (perSecond < 10 ? perSecond.toFixed(1) : shortCount(perSecond));

const throughputLines: readonly Line[] = [
  { name: "granted /s", color: "--chart-held", kind: "area", width: 2 },
  { name: "denied /s", color: "--chart-waiting" },
];

function Throughput({ totals, bins }: Omit<PartProps, "span">) {
  const series = useMemo(
    () => [
      bins.map(({ at }) => at),
      bins.map((bin) => bin.totals.grants / bin.totals.seconds),
      bins.map((bin) => bin.totals.denials / bin.totals.seconds),
    ],
    [bins],
  );
  return (
    <Panel
      title="Throughput"
      aside={totals.hold.averageMs !== undefined && <>held for {precise(totals.hold.averageMs)} on average</>}
    >
      <Chart
        lines={throughputLines}
        series={series as Parameters<typeof Chart>[0]["series"]}
        height={170}
        format={rate}
        label={`Throughput: ${plural(totals.grants, "grant")} and ${plural(totals.denials, "denial")}`}
      />
    </Panel>
  );
}

const claimLines: readonly Line[] = [
  { name: "held", color: "--chart-held", width: 2 },
  { name: "waiting", color: "--chart-waiting", kind: "area", width: 2 },
];

function Claims({ bins }: Pick<PartProps, "bins">) {
  const series = useMemo(
    () => [bins.map(({ at }) => at), bins.map(({ last }) => last.heldCount), bins.map(({ last }) => last.waitingCount)],
    [bins],
  );
  const last = bins.at(-1)?.last;
  return (
    <Panel title="Holders and waiters" aside="of the whole service">
      <Chart
        lines={claimLines}
        series={series as Parameters<typeof Chart>[0]["series"]}
        height={170}
        format={shortCount}
        label={
          last === undefined
            ? "Holders and waiters"
            : `${count(last.heldCount)} claims held, ${count(last.waitingCount)} waiting`
        }
      />
    </Panel>
  );
}

const troubleLines: readonly Line[] = [
  { name: "lost", color: "--chart-lost", kind: "bars" },
  // Some of those that were lost: drawn over them.
  { name: "forced", color: "--chart-forced", kind: "bars" },
  { name: "deadlocks", color: "--chart-deadlock", kind: "bars" },
];

function TroubleChart({ totals, bins, span }: PartProps) {
  const series = useMemo(
    () => [
      bins.map(({ at }) => at),
      bins.map((bin) => bin.totals.losses),
      bins.map((bin) => bin.totals.forced),
      bins.map((bin) => bin.totals.deadlocks),
    ],
    [bins],
  );
  const none = totals.losses + totals.deadlocks === 0;
  return (
    <Panel title="Losses" aside={none ? `none in ${span.words}` : undefined}>
      <Chart
        lines={troubleLines}
        series={series as Parameters<typeof Chart>[0]["series"]}
        height={96}
        format={wholeNumber}
        label={`${plural(totals.losses, "loss", "losses")}, ${totals.forced} forced, ${plural(totals.deadlocks, "deadlock")}`}
      />
    </Panel>
  );
}

const wholeNumber = (value: number): string => (Number.isInteger(value) ? count(value) : "");

function HottestPanel() {
  const told = useHottest();
  const contended =
    told.kind === "known" && told.value.contended > 0 ? plural(told.value.contended, "lock") : undefined;
  return (
    <Panel title="Hottest locks" aside={contended && `${contended} with waiters`}>
      <Known told={told}>{(hottest) => <HottestList {...hottest} />}</Known>
    </Panel>
  );
}

function HottestList({ locks }: Hottest) {
  const nowMs = useServerNow();
  const most = locks[0]?.waiterCount ?? 0;
  if (most === 0) return <Empty>Nobody waits.</Empty>;
  return (
    <ol class="hottest">
      {locks.map(({ name, waiterCount, holders: [holder] }) => {
        const sinceMs = momentMs(holder?.grantedAt ?? holder?.claimedAt);
        return (
          <li key={name}>
            <div class="hot-line">
              <LockLink name={name} />
              <span class="hot-count">
                {count(waiterCount)} <span class="quiet">waiting</span>
              </span>
            </div>
            <div class="bar" aria-hidden="true">
              <span style={{ width: `${(100 * waiterCount) / most}%` }} />
            </div>
            <p class="hot-holder quiet">
              {holder === undefined ? (
                "no holder at this moment"
              ) : (
                <>
                  <ClientLink client={holder.client} sessionId={holder.sessionId} />
                  {sinceMs !== undefined && heldWords(nowMs - sinceMs)}
                </>
              )}
            </p>
          </li>
        );
      })}
    </ol>
  );
}

/** A loss by force that was seen done here is told once: by whom and why. */
function withoutEchoes(events: readonly Event[]): readonly Event[] {
  const forced = new Set(
    events.filter(({ kind }) => kind === EventKind.FORCED).map(({ fencingToken }) => fencingToken),
  );
  return events.filter(({ kind, fencingToken }) => kind !== EventKind.LOST || !forced.has(fencingToken));
}

const heldWords = (ms: number): string => (ms < 1_000 ? " has just got it" : ` holds it for ${age(ms)}`);

function TroublePanel() {
  const told = useEvents({ kinds: TROUBLE });
  return (
    <Panel title="Recent trouble" aside="seen by this server">
      <Known told={told}>
        {(events) => <EventList events={withoutEchoes(events).slice(0, 12)} none="None that this server remembers." />}
      </Known>
    </Panel>
  );
}
