/**
 * Generates code from `proto/` and `third_party/` into the folders that buf.gen.yaml names.
 *
 * Run: `node scripts/generate.ts`; with `--check` it writes nothing, names each file that would change, and
 * fails if there is one.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const outputs = readFileSync(join(root, "buf.gen.yaml"), "utf8").matchAll(/^ +out: (\S+)$/gm);
// Several plugins may write into one.
const folders = [...new Set(Array.from(outputs, (line) => line[1]!))];

function buf(...args: readonly string[]): void {
  const { status } = spawnSync("buf", args, { cwd: root, stdio: "inherit" });
  if (status !== 0) throw new Error(`buf ${args[0]} failed`);
}

function generateInto(folder: string): void {
  buf("generate", "--output", folder);
  // What reflection serves.
  buf("build", "--as-file-descriptor-set", "-o", join(folder, "server/gen/descriptors.binpb"));
}

function filesBelow(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

/** The generated files that differ from those in `fresh`, are missing there, or are missing here. */
function differences(fresh: string): string[] {
  return folders.flatMap((folder) => {
    const [here, there] = [join(root, folder), join(fresh, folder)];
    const names = new Set([...filesBelow(here), ...filesBelow(there)]);
    return [...names]
      .filter((name) => !sameFile(join(here, name), join(there, name)))
      .map((name) => join(folder, name));
  });
}

function sameFile(a: string, b: string): boolean {
  try {
    return readFileSync(a).equals(readFileSync(b));
  } catch {
    return false;
  }
}

if (process.argv[2] === "--check") {
  const fresh = mkdtempSync(join(tmpdir(), "holdfast-generate-"));
  try {
    generateInto(fresh);
    const changed = differences(fresh);
    for (const name of changed) console.error(`${name} is not what the protos generate`);
    if (changed.length > 0) process.exitCode = 1;
  } finally {
    rmSync(fresh, { recursive: true });
  }
} else {
  generateInto(root);
}
