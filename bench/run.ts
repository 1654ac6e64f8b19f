import type { Book, Figures } from "./report/book.ts";
import { shown } from "./report/table.ts";
import type { Bench, Cell, Suite } from "./suites/suite.ts";

/**
 * Takes every measurement of the suites and enters it into the book, showing progress on the terminal. One that fails
 * is named in what is returned, and the others go on. Once `stop` is aborted, what is left counts as failed.
 */
export async function runSuites(
  suites: readonly Suite[],
  bench: Bench,
  book: Book,
  stop: AbortSignal,
): Promise<readonly string[]> {
  const plan = suites.flatMap((suite) => inTurn(suite, bench));
  const failures: string[] = [];
  for (const [i, { cell, round }] of plan.entries()) {
    if (stop.aborted) return [...failures, `the last ${plan.length - i} measurements: interrupted`];
    process.stdout.write(`${`${i + 1}/${plan.length}`.padStart(7)}  ${cell.row}${round}: `);
    try {
      const figures = await cell.measure(bench);
      book.add(cell.row, figures);
      console.log(inWords(figures));
    } catch (error) {
      failures.push(`${cell.row}: ${(error as Error).message}`);
      console.log(`FAILED: ${(error as Error).message}`);
    }
  }
  return failures;
}

/** A B C A B C: a slow minute of the machine slows all of them. */
function inTurn(suite: Suite, { scale }: Bench): readonly { readonly cell: Cell; readonly round: string }[] {
  return suite
    .groups(scale)
    .flatMap(({ rounds, cells }) =>
      Array.from({ length: rounds }, (_, round) =>
        cells.map((cell) => ({ cell, round: rounds > 1 ? `, round ${round + 1} of ${rounds}` : "" })),
      ).flat(),
    );
}

function inWords(figures: Figures): string {
  if (figures.perSecond !== undefined) return `${shown(figures.perSecond)} per second`;
  return Object.entries(figures)
    .map(([name, value]) => `${name} ${shown(value)}`)
    .join(", ");
}
