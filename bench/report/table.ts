/** A table in Markdown, its columns padded so that the source reads as a table too; numbers stand to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(3, title.length, ...rows.map((row) => cell(row, column).length)));
  const isNumeric = head.map((_, column) => rows.length > 0 && rows.every((row) => numeric.test(cell(row, column))));
  const line = (cells: readonly string[]) =>
    `| ${widths.map((width, i) => (isNumeric[i] ? cell(cells, i).padStart(width) : cell(cells, i).padEnd(width))).join(" | ")} |`;
  const rule = widths.map((width, i) => (isNumeric[i] ? `${"-".repeat(width - 1)}:` : "-".repeat(width)));
  return [line(head), `| ${rule.join(" | ")} |`, ...rows.map(line)].join("\n");
}

/** A number with separators, and as many decimals (at most two) as three significant digits need; a whole one has none. */
export function shown(value: number): string {
  const decimals = Number.isInteger(value) ? 0 : Math.min(2, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))));
  return value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

const cell = (cells: readonly string[], column: number): string => cells[column] ?? "";
/** A number, or nothing in place of one that does not apply. */
const numeric = /^(-?[\d,.]+)?$/;
