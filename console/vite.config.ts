import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
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
