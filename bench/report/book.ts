import { median } from "./statistics.ts";

/** What one measurement found: numbers by name, units in the names. `fifo` is 1 if the order was kept, else 0. */
export type Figures = Readonly<Record<string, number>>;

/** Everything that was measured: for each row the figures of each of its rounds. */
export class Book {
  readonly #rounds = new Map<string, Figures[]>();

  /** Throws if a figure is not a number: then something did not run. */
  add(row: string, figures: Figures): void {
    const names = Object.keys(figures);
    const missing = names.filter((name) => !Number.isFinite(figures[name]));
    if (names.length === 0 || missing.length > 0) throw new Error(`${row}: no ${missing.join(", ") || "figures"}`);
    const rounds = this.#rounds.get(row);
    if (rounds === undefined) this.#rounds.set(row, [figures]);
    else rounds.push(figures);
  }

  rows(): readonly string[] {
    return [...this.#rounds.keys()];
  }

  /** The median over the rounds; `undefined` if the row was not measured or has no such figure. */
  median(row: string, figure: string): number | undefined {
    const values = this.values(row, figure);
    return values.length === 0 ? undefined : median(values);
  }

  /** The figure of every round. */
  values(row: string, figure: string): readonly number[] {
    return (this.#rounds.get(row) ?? []).map((figures) => figures[figure]).filter((value) => value !== undefined);
  }
}
