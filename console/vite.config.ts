import { readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vite";

/** What of others goes into the page, and is published with it. */
const parts = ["preact", "uplot", "@fontsource-variable/inter", "@fontsource-variable/jetbrains-mono"];

/** Puts the licences of what the page is made of beside it, as they ask for. */
const licences: Plugin = {
  name: "licences",
  generateBundle() {
    const folder = join(import.meta.dirname, "../node_modules");
    const texts = parts.map((part) => `${part}\n\n${readFileSync(join(folder, part, "LICENSE"), "utf8")}`);
    this.emitFile({ type: "asset", fileName: "licences.txt", source: texts.join("\n\n") });
  },
};

export default defineConfig({
  root: import.meta.dirname,
  plugins: [licences],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2023",
    // What would be inlined as data: is not allowed by the server's content security policy, images apart.
    assetsInlineLimit: 0,
    // Writes an inline script.
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
