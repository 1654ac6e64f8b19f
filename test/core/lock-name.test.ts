import { describe, expect, it } from "vitest";
import { compareBytewise, lockNameProblem, utf8Length } from "../../server/core/lock-name.ts";
import { Random } from "../support/random.ts";

describe("a lock name", () => {
  it.each([
    "a",
    "a/b/c",
    "orders/42",
    " ",
    "a b",
    ".",
    "..",
    "%",
    '"',
    "käse",
    "☕",
    "\u{1f512}",
    "\u{10ffff}",
    "\u00a0",
    "\u200b",
    "x".repeat(512),
    "☕".repeat(170),
    "\u{1f512}".repeat(128),
  ])("may be %s", (name) => {
    expect(lockNameProblem(name)).toBeUndefined();
  });

  it.each([
    ["", "is empty"],
    ["/", 'has an empty segment between "/"'],
    ["/a", 'has an empty segment between "/"'],
    ["a/", 'has an empty segment between "/"'],
    ["a//b", 'has an empty segment between "/"'],
    ["\u0000", "contains a control character"],
    ["a\nb", "contains a control character"],
    ["a\u007f", "contains a control character"],
    ["a\u0080", "contains a control character"],
    ["a\u009f", "contains a control character"],
    ["\ud800", "is not valid Unicode"],
    ["a\udc00b", "is not valid Unicode"],
    ["\udc00\ud800", "is not valid Unicode"],
    ["x".repeat(513), "is longer than 512 bytes of UTF-8"],
    ["☕".repeat(171), "is longer than 512 bytes of UTF-8"],
    ["\u{1f512}".repeat(129), "is longer than 512 bytes of UTF-8"],
  ])("may not be %j: it %s", (name, problem) => {
    expect(lockNameProblem(name)).toBe(problem);
  });
});

const LETTERS = ["a", "\u007f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\u{10000}", "\u{10ffff}"];

describe("the length in UTF-8", () => {
  it("is that of the encoded bytes", () => {
    const random = new Random(1);
    for (let i = 0; i < 2000; i++) {
      const text = Array.from({ length: random.below(10) }, () => random.pick(LETTERS)).join("");
      expect(utf8Length(text)).toBe(Buffer.byteLength(text));
    }
  });
});

describe("the order by bytes", () => {
  it("puts what is beyond the basic plane last, where JavaScript's own order does not", () => {
    expect(compareBytewise("\uffff", "\u{10000}")).toBeLessThan(0);
    expect("\uffff" < "\u{10000}").toBe(false);
  });

  it("is that of the encoded bytes, for all pairs of texts", () => {
    const random = new Random(2);
    const text = () => Array.from({ length: random.below(5) }, () => random.pick(LETTERS)).join("");
    for (let i = 0; i < 5000; i++) {
      const [a, b] = [text(), text()];
      const wanted = Buffer.compare(Buffer.from(a), Buffer.from(b));
      expect(Math.sign(compareBytewise(a, b)), JSON.stringify([a, b])).toBe(wanted);
    }
  });
});
