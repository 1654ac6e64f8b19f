/** How much of everything there was at a moment. Sizes in bytes. */
export interface Sample {
  readonly atS: number;
  /** Locks taken per second since the sample before. */
  readonly perSecond: number;
  /** Resident memory of each server, each client process and etcd. */
  readonly memory: Readonly<Record<string, number>>;
  /** The size of etcd's file, and how much of it is in use. */
  readonly database: number;
  readonly databaseInUse: number;
}

/** How much more is not called growth: of a floor, and besides. */
const MAY_GROW = { part: 0.1, bytes: 24 * 1024 * 1024 };

const MIB = 1024 * 1024;

/**
 * What has grown, in words: its floor in the last third of the time, against that in the second. Memory goes up and
 * down as garbage is collected, so only floors say something; the first third is for warming up.
 */
export function whatGrew(samples: readonly Sample[]): string[] {
  const third = Math.floor(samples.length / 3);
  if (third < 1) return [];
  const floor = (of: (sample: Sample) => number, from: number, to: number): number =>
    Math.min(...samples.slice(from, to).map(of));
  const grew: string[] = [];
  const judge = (name: string, of: (sample: Sample) => number): void => {
    const before = floor(of, third, 2 * third);
    const after = floor(of, 2 * third, samples.length);
    if (after > before * (1 + MAY_GROW.part) + MAY_GROW.bytes)
      grew.push(`${name} grew from ${(before / MIB).toFixed(0)} to ${(after / MIB).toFixed(0)} MiB`);
  };
  for (const name of Object.keys(samples[0]!.memory)) judge(name, ({ memory }) => memory[name] ?? 0);
  judge("etcd's database", ({ database }) => database);
  judge("what is in use of etcd's database", ({ databaseInUse }) => databaseInUse);
  return grew;
}

/** The samples as a table; at most `rows` of them. */
export function tableOf(samples: readonly Sample[], rows: number): string {
  const names = Object.keys(samples[0]?.memory ?? {});
  const head = ["s", "locks/s", ...names, "database", "in use"];
  const step = Math.max(1, Math.ceil(samples.length / rows));
  const body = samples
    .filter((_, i) => (samples.length - 1 - i) % step === 0)
    .map(({ atS, perSecond, memory, database, databaseInUse }) => [
      atS.toFixed(0),
      perSecond.toFixed(0),
      ...names.map((name) => ((memory[name] ?? 0) / MIB).toFixed(0)),
      (database / MIB).toFixed(1),
      (databaseInUse / MIB).toFixed(1),
    ]);
  const widths = head.map((text, i) => Math.max(text.length, ...body.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string => cells.map((cell, i) => cell.padStart(widths[i]!)).join("  ");
  return [line(head), ...body.map(line)].join("\n");
}
