import type { ComponentChildren } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";

export interface Column<Row> {
  readonly key: string;
  readonly title: string;
  readonly cell: (row: Row) => ComponentChildren;
  /** Present: rows can be sorted by it, and this is its sense at first. */
  readonly sort?: "ascending" | "descending";
  readonly class?: string;
}

interface GridProps<Row> {
  readonly label: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  readonly open: (row: Row) => void;
  readonly sorted: { readonly key: string; readonly sense: "ascending" | "descending" };
  readonly sortBy: (key: string) => void;
  readonly rowHeight: number;
  readonly class?: string;
}

/** Rows drawn above and below what is seen, so that scrolling finds them there. */
const SPARE_ROWS = 8;

/**
 * A table of any number of rows, of which only those in sight exist. To a screen reader and the keyboard it is a grid
 * with all its rows: arrows, Page Up and Down, Home and End move, Enter opens.
 */
export function Grid<Row>(props: GridProps<Row>) {
  const { label, columns, rows, keyOf, open, sorted, sortBy, rowHeight } = props;
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const [sight, setSight] = useState({ top: 0, height: 800 });
  const [activeKey, setActiveKey] = useState<string>();
  const found = activeKey === undefined ? -1 : rows.findIndex((row) => keyOf(row) === activeKey);
  const active = found === -1 ? undefined : found;

  useSight(box, setSight);
  const first = Math.max(0, Math.floor(sight.top / rowHeight) - SPARE_ROWS);
  const last = Math.min(rows.length, Math.ceil((sight.top + sight.height) / rowHeight) + SPARE_ROWS);
  const inSight = rows.slice(first, last);

  const moveTo = (index: number) => {
    const to = Math.max(0, Math.min(rows.length - 1, index));
    const row = rows[to];
    if (row === undefined) return;
    setActiveKey(keyOf(row));
    bringIntoSight(box.current!, to, rowHeight);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(sight.height / rowHeight) - 2);
    const moves: Record<string, number> = {
      ArrowDown: active === undefined ? first : active + 1,
      ArrowUp: active === undefined ? first : active - 1,
      PageDown: (active ?? first) + page,
      PageUp: (active ?? first) - page,
      Home: 0,
      End: rows.length - 1,
    };
    const to = moves[event.key];
    if (to !== undefined) moveTo(to);
    else if (event.key === "Enter" && active !== undefined) open(rows[active]!);
    else return;
    event.preventDefault();
  };

  return (
    <div
      class={`grid ${props.class ?? ""}`}
      role="grid"
      aria-label={label}
      aria-rowcount={rows.length + 1}
      aria-colcount={columns.length}
      aria-activedescendant={active !== undefined && active >= first && active < last ? `${id}-${active}` : undefined}
      tabIndex={0}
      ref={box}
      onKeyDown={onKeyDown}
    >
      <div class="grid-head" role="rowgroup">
        <div class="grid-row" role="row" aria-rowindex={1} tabIndex={-1}>
          {columns.map((column) => (
            <Heading key={column.key} column={column} sorted={sorted} sortBy={sortBy} />
          ))}
        </div>
      </div>
      <div class="grid-body" role="rowgroup" style={{ height: `${rows.length * rowHeight}px` }}>
        {inSight.map((row, offset) => {
          const index = first + offset;
          return (
            // biome-ignore lint/a11y/useKeyWithClickEvents: the keyboard is the grid's.
            <div
              key={keyOf(row)}
              id={`${id}-${index}`}
              class="grid-row"
              role="row"
              aria-rowindex={index + 2}
              aria-selected={index === active}
              tabIndex={-1}
              style={{ transform: `translateY(${index * rowHeight}px)`, height: `${rowHeight}px` }}
              onClick={() => open(row)}
            >
              {columns.map((column) => (
                <div
                  key={column.key}
                  class={`grid-cell cell-${column.key} ${column.class ?? ""}`}
                  role="gridcell"
                  tabIndex={-1}
                >
                  {column.cell(row)}
                </div>
              ))}
            </div>
          );
        })}
      </div>
    </div>
  );
}

interface HeadingProps<Row> {
  readonly column: Column<Row>;
  readonly sorted: GridProps<Row>["sorted"];
  readonly sortBy: (key: string) => void;
}

function Heading<Row>({ column, sorted, sortBy }: HeadingProps<Row>) {
  const own = sorted.key === column.key;
  const sense = own ? sorted.sense : column.sort === undefined ? undefined : "none";
  return (
    <div
      class={`grid-cell cell-${column.key} ${column.class ?? ""}`}
      role="columnheader"
      aria-sort={sense}
      tabIndex={-1}
    >
      {column.sort === undefined ? (
        column.title
      ) : (
        <button type="button" class="sort" onClick={() => sortBy(column.key)}>
          {column.title}
          <span class="sort-mark" aria-hidden="true">
            {own ? (sorted.sense === "ascending" ? "↑" : "↓") : "↕"}
          </span>
        </button>
      )}
    </div>
  );
}

/** Tells what part of a box is in sight: at most once for each picture that is drawn. */
function useSight(
  box: { current: HTMLDivElement | null },
  set: (sight: { top: number; height: number }) => void,
): void {
  useLayoutEffect(() => {
    const element = box.current!;
    let asked = 0;
    const look = () => {
      asked = 0;
      set({ top: element.scrollTop, height: element.clientHeight });
    };
    const ask = () => {
      if (asked === 0) asked = requestAnimationFrame(look);
    };
    look();
    element.addEventListener("scroll", ask, { passive: true });
    const observer = new ResizeObserver(ask);
    observer.observe(element);
    return () => {
      cancelAnimationFrame(asked);
      element.removeEventListener("scroll", ask);
      observer.disconnect();
    };
  }, [box, set]);
}

function bringIntoSight(element: HTMLElement, index: number, rowHeight: number): void {
  const head = element.querySelector<HTMLElement>(".grid-head")?.offsetHeight ?? 0;
  const top = index * rowHeight;
  const bottom = top + rowHeight;
  if (top < element.scrollTop) element.scrollTop = top;
  else if (bottom > element.scrollTop + element.clientHeight - head)
    element.scrollTop = bottom - element.clientHeight + head;
}

const narrow = matchMedia("(max-width: 719px)");

/** Whether the page is as narrow as a phone. */
export function useNarrow(): boolean {
  const [is, set] = useState(narrow.matches);
  useEffect(() => {
    const changed = () => set(narrow.matches);
    narrow.addEventListener("change", changed);
    return () => narrow.removeEventListener("change", changed);
  }, []);
  return is;
}
