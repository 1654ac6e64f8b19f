import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";

/** A file of the page. */
export interface Asset {
  readonly bytes: Buffer;
  readonly type: string;
  /** Its name changes with its content, so that it may be kept for ever. */
  readonly immutable: boolean;
}

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
};

/**
 * The files that the console was built into, by the path that asks for each. They are read once: a request looks up
 * a name and never opens a file, so that no path can lead out of the folder. Empty: it was not built.
 */
export function loadAssets(folder: string): ReadonlyMap<string, Asset> {
  const assets = new Map<string, Asset>();
  for (const name of filesBelow(folder)) {
    const type = types[extname(name)];
    if (type === undefined) continue;
    const immutable = name.startsWith("assets/");
    assets.set(`/${name}`, { bytes: readFileSync(join(folder, name)), type, immutable });
  }
  const index = assets.get("/index.html");
  if (index !== undefined) assets.set("/", index);
  return assets;
}

function filesBelow(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => name.replaceAll("\\", "/"));
  } catch {
    return [];
  }
}
