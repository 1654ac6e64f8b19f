import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { timeOfDay } from "../format.ts";
import { dark } from "../theme.ts";
import { useValue } from "../value.ts";

export interface Line {
  readonly name: string;
  /** A custom property of the style sheet. */
  readonly color: string;
  readonly kind?: "line" | "area" | "bars";
  readonly width?: number;
}

interface ChartProps {
  readonly lines: readonly Line[];
  /** Seconds since 1970, then the values of each line. */
  readonly series: uPlot.AlignedData;
  readonly height: number;
  readonly format: (value: number) => string;
  /** What it shows and how it stands, for those who do not see it. */
  readonly label: string;
  readonly logarithmic?: boolean;
}

/** All charts of a view show the same moment under the pointer. */
const SYNC = "overview";

/** Lines over time, with the values under the pointer in its legend. */
export function Chart({ lines, series, height, format, label, logarithmic = false }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const legend = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const latest = useRef(series);
  latest.current = series;
  const isDark = useValue(dark);

  useEffect(() => {
    const element = place.current!;
    const chart = new uPlot(
      optionsOf({ lines, height, format, logarithmic, width: element.clientWidth, moved: (at) => tell(at) }),
      latest.current,
      element,
    );
    plot.current = chart;
    const tell = (at: number | null | undefined) => showValues(legend.current, chart, at, format);
    tell(undefined);
    const observer = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.destroy();
      plot.current = undefined;
    };
  }, [isDark, height, logarithmic]);

  useEffect(() => {
    plot.current?.setData(series);
    if (plot.current) showValues(legend.current, plot.current, plot.current.cursor.idx, format);
  }, [series, format]);

  return (
    <figure class="chart" role="group" aria-label={label}>
      <div class="legend" ref={legend} aria-hidden="true">
        {lines.map((line) => (
          <div key={line.name} class={`key key-${line.color.slice(2)}`}>
            <span class="key-name">{line.name}</span>
            <span class="key-value" />
          </div>
        ))}
      </div>
      <div class="plot" ref={place} aria-hidden="true" style={{ height: `${height}px` }} />
    </figure>
  );
}

/** Writes the values at a moment, or the latest, into the legend: not drawn by Preact, since the pointer moves fast. */
function showValues(
  legend: HTMLElement | null,
  chart: uPlot,
  at: number | null | undefined,
  format: (value: number) => string,
) {
  const index = at ?? chart.data[0].length - 1;
  legend?.querySelectorAll(".key-value").forEach((cell, line) => {
    const value = chart.data[line + 1]?.[index];
    cell.textContent = value === null || value === undefined ? "–" : format(value);
  });
}

interface PlotInputs {
  readonly lines: readonly Line[];
  readonly height: number;
  readonly width: number;
  readonly format: (value: number) => string;
  readonly logarithmic: boolean;
  readonly moved: (at: number | null | undefined) => void;
}

function optionsOf({ lines, height, width, format, logarithmic, moved }: PlotInputs): uPlot.Options {
  const axis = {
    stroke: color("--ink-3"),
    font: "11px Inter Variable, sans-serif",
    grid: { stroke: color("--line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height,
    legend: { show: false },
    padding: [8, 6, 0, 0],
    cursor: { y: false, points: { size: 6 }, sync: { key: SYNC, setSeries: false }, drag: { x: false, y: false } },
    scales: {
      y: logarithmic ? { distr: 3, range: logRange } : { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 26,
        space: 80,
        values: (_, moments) => moments.map((moment) => timeOfDay(moment * 1_000)),
      },
      {
        ...axis,
        size: 58,
        space: 34,
        values: (_, values) => values.map((value) => (value === null ? "" : rounded(format(value)))),
        ...(logarithmic ? { splits: (_, __, min, max) => decades(min, max), filter: (_, values) => values } : {}),
      },
    ],
    series: [{}, ...lines.map(seriesOf)],
    hooks: { setCursor: [(chart) => moved(chart.cursor.idx)] },
  };
}

/** "10.0 ms" as "10 ms". */
const rounded = (text: string): string => text.replace(/\.0+(?= |$)/, "");

/** The powers of ten in a range. */
function decades(min: number, max: number): number[] {
  const first = Math.ceil(Math.log10(min));
  const last = Math.floor(Math.log10(max));
  return Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index));
}

/** Whole decades around what there is, so that the scale does not dance. */
function logRange(_: uPlot, min: number | null, max: number | null): [number, number] {
  const decade = (value: number, round: (exponent: number) => number) => 10 ** round(Math.log10(value));
  if (!min || !max) return [0.1, 100];
  return [decade(min, Math.floor), Math.max(decade(max, Math.ceil), 10 * decade(min, Math.floor))];
}

function seriesOf({ name, color: property, kind = "line", width = 1.5 }: Line): uPlot.Series {
  const stroke = color(property);
  const common = { label: name, stroke, width, points: { show: false }, spanGaps: false };
  if (kind === "area") return { ...common, fill: `color-mix(in srgb, ${stroke} 14%, transparent)` };
  if (kind === "bars")
    return { ...common, width: 0, fill: stroke, paths: uPlot.paths.bars!({ size: [0.8, 12], radius: 0.2 }) };
  return common;
}

/** What a custom property comes to: it may depend on the theme, which only a drawn element knows. */
function color(property: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${property})`;
  document.body.append(probe);
  const resolved = getComputedStyle(probe).color;
  probe.remove();
  return resolved;
}
