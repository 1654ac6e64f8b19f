/**
 * A text that somebody else chose, safe to print: control, format and bidirectional characters, line separators
 * and lone surrogates are written as `\u{...}`, and backslashes doubled, so that nothing hides, moves the cursor or
 * looks like something else, and what is shown reads back.
 */
export function printable(text: string): string {
  return text.replace(/[\\\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) =>
    character === "\\" ? "\\\\" : `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

/** How many columns of a terminal a printable text takes. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const character of text) columns += WIDE.test(character) ? 2 : /^\p{M}$/u.test(character) ? 0 : 1;
  return columns;
}

/** A printable line cut to so many columns. */
export function cut(line: string, columns: number): string {
  if (columnsOf(line) <= columns) return line;
  let kept = "";
  let left = columns - 1;
  for (const character of line) {
    left -= columnsOf(character);
    if (left < 0) break;
    kept += character;
  }
  return `${kept}…`;
}

const WIDE =
  /^(?![\uff61-\uffdc])[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\uff01-\uff60\u3000-\u303e]$/u;

/**
 * Lines of a table under its headings, columns two spaces apart and nothing after the last. Cells are printable
 * already.
 */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...lines.map((cells) => columnsOf(cells[column] ?? ""))));
  return lines.map((cells) => line(cells, widths)).join("\n");
}

function line(cells: readonly string[], widths: readonly number[]): string {
  const padded = cells.map((cell, column) => cell + " ".repeat(widths[column]! - columnsOf(cell)));
  return padded.join("  ").trimEnd();
}

/** "1 lock", "2 locks". */
export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;

/** How long something took or has lasted, in at most two units: "85 ms", "12 s", "3 min 20 s", "2 d 4 h". */
export function span(ms: number): string {
  if (Math.round(ms) < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = Math.round(ms / 1_000);
  const units: readonly (readonly [string, number])[] = [
    ["d", 86_400],
    ["h", 3_600],
    ["min", 60],
    ["s", 1],
  ];
  const first = units.findIndex(([, size]) => seconds >= size);
  const [unit, size] = units[first]!;
  const next = units[first + 1];
  const rest = next === undefined ? 0 : Math.floor((seconds % size) / next[1]);
  return `${Math.floor(seconds / size)} ${unit}${next !== undefined && rest > 0 ? ` ${rest} ${next[0]}` : ""}`;
}
