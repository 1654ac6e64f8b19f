import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "../e2e/program.ts";
import { blocksOf } from "./page.ts";

const read = (name: string) => readFileSync(join(root, name), "utf8");
const pages = readdirSync(join(root, "docs/clients")).filter((name) => name.endsWith(".md"));

describe("the README's way from an empty folder to a held lock", () => {
  it.each(pages)("is, word for word, that with which %s begins, where it is run", (name) => {
    // Set up, program, run, output: what the tests of the page do.
    const way = blocksOf(read(`docs/clients/${name}`)).slice(0, 4);
    const [, section] = /^## From an empty folder([\s\S]*?)^## /m.exec(read("README.md"))!;
    const blocks = blocksOf(section!);
    const at = blocks.findIndex(({ text }) => text === way[0]!.text);
    expect(blocks.slice(at, at + 4)).toEqual(way);
  });
});
