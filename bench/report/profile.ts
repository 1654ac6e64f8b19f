import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { table } from "./table.ts";

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Where the time of a server went, by function: the largest `lines` shares of one CPU profile, waiting left out. */
export function cpuTable(file: string, root: string, lines: number): string {
  const profile = JSON.parse(readFileSync(file, "utf8")) as CpuProfile;
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, placeOf(callFrame, root)]));
  const usByName = new Map<string, number>();
  for (const [i, id] of profile.samples.entries()) {
    const name = names.get(id)!;
    if (name !== "(idle)") usByName.set(name, (usByName.get(name) ?? 0) + profile.timeDeltas[i]!);
  }
  const total = [...usByName.values()].reduce((sum, us) => sum + us, 0);
  const largest = [...usByName].toSorted((a, b) => b[1] - a[1]).slice(0, lines);
  return table(
    ["own time", "function"],
    largest.map(([name, us]) => [`${((100 * us) / total).toFixed(1)} %`, name]),
  );
}

/** The profiles of a folder, oldest first: their names begin with the kind and the time. */
export function profilesIn(folder: string): readonly string[] {
  return readdirSync(folder)
    .sort()
    .map((name) => join(folder, name));
}

function placeOf({ functionName, url, lineNumber }: CpuProfile["nodes"][number]["callFrame"], root: string): string {
  const name = functionName || "(anonymous)";
  if (url === "") return name;
  const file = url.startsWith("file://") ? relative(root, url.slice("file://".length)) : url;
  return `${name} ${file}:${lineNumber + 1}`;
}
