import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "..");

interface Rule {
  /** The files it is about: all whose path begins with this. The first rule that fits a file is the file's. */
  readonly about: string;
  /** What they may import: a path, a package or "node:"; one that ends in "/", ":" or "*.ts" stands for all there. */
  readonly may: readonly string[];
}

const toolkit = ["node:", "vitest", "fast-check"];

const rules: readonly Rule[] = [
  { about: "server/core/", may: ["server/core/"] },
  { about: "server/ports/", may: ["server/core/", "server/ports/"] },
  { about: "server/engine/", may: ["server/core/", "server/ports/", "server/engine/"] },
  ...adapter("etcd", ["@grpc/grpc-js", "@bufbuild/protobuf", "server/gen/", "server/adapters/grpc-client/"]),
  ...adapter("grpc-client", ["@grpc/grpc-js"]),
  ...adapter("grpc", ["@grpc/grpc-js", "@bufbuild/protobuf", "server/gen/", "server/adapters/grpc-client/"]),
  ...adapter("console", []),
  ...adapter("http", []),
  ...adapter("memory", []),
  ...adapter("telemetry", ["@opentelemetry/"]),
  { about: "server/gen/", may: ["server/gen/", "@bufbuild/protobuf/wire", "@grpc/grpc-js"] },
  // The entry point and what it is made of: it puts the parts together, and knows neither their libraries nor stubs.
  { about: "server/", may: ["server/*.ts", "server/ports/", "server/engine/", "server/adapters/", "node:"] },
  {
    about: "clients/typescript/src/gen/",
    may: ["clients/typescript/src/gen/", "@bufbuild/protobuf/wire", "@grpc/grpc-js"],
  },
  {
    about: "clients/typescript/src/",
    may: ["clients/typescript/src/", "@grpc/grpc-js", "@bufbuild/protobuf/wire", "node:"],
  },
  {
    about: "clients/typescript/test/",
    may: ["clients/typescript/", "server/", "test/", "@holdfast/client", "@grpc/grpc-js", ...toolkit],
  },
  // The commands that run a server, or speak to etcd as one does; every other is a client like any other.
  ...["server-command", "server-options", "confirm-restore-command"].map((name) => ({
    about: `clients/cli/${name}.ts`,
    may: [
      "clients/cli/",
      "server/main.ts",
      "server/confirm-restore.ts",
      "server/config.ts",
      "server/settings.ts",
      "commander",
    ],
  })),
  {
    about: "clients/cli/",
    may: ["clients/cli/", "clients/typescript/src/index.ts", "clients/typescript/src/admin.ts", "commander", "node:"],
  },
  {
    about: "console/src/",
    may: ["console/src/", "clients/cli/text.ts", "preact", "uplot", "@fontsource-variable/"],
  },
  { about: "examples/", may: ["examples/", "clients/typescript/src/index.ts", "pg", "etcd3", "node:"] },
  { about: "demo/", may: ["demo/", "clients/typescript/src/index.ts", "server/adapters/etcd/embedded.ts", "node:"] },
];

function adapter(name: string, libraries: readonly string[]): readonly Rule[] {
  const folder = `server/adapters/${name}/`;
  return [{ about: folder, may: [folder, "server/core/", "server/ports/", "server/engine/", "node:", ...libraries] }];
}

/** Every import of a source text: static, re-exporting, for its effect, dynamic, of types. */
function importsOf(source: string): string[] {
  const statements = /^\s*(?:import|export)\s(?:[^"';]*?\sfrom\s*)?"([^"]+)"|\bimport\(\s*"([^"]+)"/gm;
  return [...source.matchAll(statements)].map((match) => match[1] ?? match[2]!);
}

/** An import of `file` as rules name it: the path from the top of the project, or the package. */
function target(file: string, specifier: string): string {
  return specifier.startsWith(".") ? relative(root, resolve(root, dirname(file), specifier)) : specifier;
}

/** What is wrong with the imports of a file, one line each. */
function violations(file: string, source: string): string[] {
  const rule = rules.find(({ about }) => file.startsWith(about));
  if (rule === undefined) return [];
  const allowed = (to: string) =>
    rule.may.some((may) => to === may || (/[/:]$/.test(may) && to.startsWith(may)) || isBelow(may, to));
  return importsOf(source)
    .map((specifier) => target(file, specifier))
    .filter((to) => !allowed(to))
    .map((to) => `${file} imports ${to}; files in ${rule.about} may import ${rule.may.join(", ")}`);
}

/** Whether it is a path inside of a package, or a file that "folder/*.ts" stands for. */
function isBelow(may: string, to: string): boolean {
  if (may.endsWith("/*.ts")) return to.startsWith(may.slice(0, -4)) && to.split("/").length === may.split("/").length;
  return !/[/:]$/.test(may) && !may.endsWith(".ts") && to.startsWith(`${may}/`);
}

function sources(folder: string): string[] {
  const path = join(root, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.tsx?$/.test(name) && !name.includes("node_modules"))
    .map((name) => join(folder, name));
}

/** Source without comments, so that a word in one does not count. */
function code(file: string): string {
  return readFileSync(join(root, file), "utf8").replace(/\/\*[\s\S]*?\*\/|(?<!:)\/\/.*$/gm, "");
}

describe("the shape of the code", () => {
  const files = ["server", "clients", "console", "demo"].flatMap(sources);

  it("lets each file import only what its layer may know", () => {
    expect(files.flatMap((file) => violations(file, code(file)))).toEqual([]);
  });

  it("has a rule for every folder of the server", () => {
    const adapters = sources("server/adapters").filter(
      (file) => !rules.some(({ about }) => about !== "server/" && file.startsWith(about)),
    );
    expect(adapters).toEqual([]);
  });

  it("keeps clocks, timers, chance, waiting and Node out of the decisions", () => {
    const ambient =
      /\b(?:await|async|Promise|Buffer|process|console|performance|setTimeout|setInterval|setImmediate|queueMicrotask|crypto|fetch)\b(?!["':-])|\bDate\.now|\bnew Date\b|\bMath\.random/;
    const found = [...sources("server/core"), ...sources("server/ports"), ...sources("server/engine")].flatMap((file) =>
      code(file)
        .split("\n")
        .filter((line) => ambient.test(line))
        .map((line) => `${file}: ${line.trim()}`),
    );
    expect(found).toEqual([]);
  });

  it("would notice", () => {
    const planted = [
      'import "node:fs";',
      'import type {\n  Store,\n} from "../ports/store.ts";',
      'export * from "../engine/engine.ts";',
      'const late = await import("@grpc/grpc-js");',
      'import { a } from "./lock-table.ts";',
    ].join("\n");
    expect(violations("server/core/planted.ts", planted).map((line) => line.split(";")[0])).toEqual([
      "server/core/planted.ts imports node:fs",
      "server/core/planted.ts imports server/ports/store.ts",
      "server/core/planted.ts imports server/engine/engine.ts",
      "server/core/planted.ts imports @grpc/grpc-js",
    ]);
    expect(violations("clients/cli/ls.ts", 'import { x } from "../../server/main.ts";')).toHaveLength(1);
    expect(violations("server/adapters/grpc/x.ts", 'import { x } from "../etcd/index.ts";')).toHaveLength(1);
  });
});
