/**
 * Packs what is published, into a folder: `node scripts/pack.ts <folder> [command | client]`. Writes the command line
 * with the server in it (holdfast-<version>.tgz), of which `npm install -g` makes the command `holdfast`, and the
 * client library for programs (holdfast-client-<version>.tgz); or the one that is named. Prints their paths.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");

/** What the command line reads beside its code, and what whoever installs it is to have. */
const assets = [
  "console/dist",
  "server/gen/descriptors.binpb",
  "tools/build.sh",
  "tools/etcd",
  "LICENSE",
  "README.md",
] as const;

function run(program: string, args: readonly string[], cwd = root): string {
  return execFileSync(program, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}

/** Makes the folder of the command: the sources compiled where they are in the repository, and the assets. */
function stageCommand(folder: string): void {
  if (!existsSync(join(root, "console/dist/index.html"))) run("vite", ["build", "console", "--logLevel", "warn"]);
  run("tsc", ["-p", "clients/cli", "--outDir", folder]);
  for (const asset of assets) {
    mkdirSync(dirname(join(folder, asset)), { recursive: true });
    cpSync(join(root, asset), join(folder, asset), { recursive: true });
  }
  const { name, version, description, license, type, engines, dependencies } = manifestOf(root);
  const bin = { holdfast: "clients/cli/launch.js" };
  writeManifest(folder, { name, version, description, license, type, engines, bin, dependencies });
}

/** Makes the folder of the library: as packed in its own folder, but without building there what others may read. */
function stageClient(folder: string): void {
  const library = join(root, "clients/typescript");
  run("tsc", ["-p", library, "--outDir", join(folder, "dist")]);
  for (const file of ["README.md", "LICENSE"]) cpSync(join(library, file), join(folder, file));
  const { scripts: _, ...manifest } = manifestOf(library);
  writeManifest(folder, manifest);
}

const manifestOf = (folder: string) => JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));

function writeManifest(folder: string, manifest: object): void {
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

/** Packs what is staged into a folder of its own, and returns the path of the archive. */
function pack(stage: (folder: string) => void, destination: string): string {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-pack-"));
  try {
    stage(folder);
    const said = run("npm", ["pack", "--json", "--pack-destination", destination], folder);
    return join(destination, JSON.parse(said)[0].filename);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const [folder, only] = process.argv.slice(2);
if (folder === undefined || !["command", "client", undefined].includes(only)) {
  console.error("usage: node scripts/pack.ts <folder> [command | client]");
  process.exit(2);
}
const destination = resolve(folder);
mkdirSync(destination, { recursive: true });
if (only !== "client") console.log(pack(stageCommand, destination));
if (only !== "command") console.log(pack(stageClient, destination));
