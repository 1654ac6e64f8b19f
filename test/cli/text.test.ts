import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { columnsOf, printable, span, table } from "../../clients/cli/text.ts";

describe("what others chose to be printed", () => {
  it("cannot move the cursor, hide, or turn the direction of writing", () => {
    expect(printable("a\u001b[2Jb")).toBe("a\\u{1b}[2Jb");
    expect(printable("x\r\n\ty")).toBe("x\\u{d}\\u{a}\\u{9}y");
    expect(printable("\u202egpj.exe")).toBe("\\u{202e}gpj.exe");
    expect(printable("pay\u200bpal\u2066\u2028")).toBe("pay\\u{200b}pal\\u{2066}\\u{2028}");
    expect(printable("\u009b31m \udc00 \u{e0041}")).toBe("\\u{9b}31m \\u{dc00} \\u{e0041}");
  });

  it("is left as it is otherwise", () => {
    expect(printable('orders/42 "ä" 漢字 🙂 %20')).toBe('orders/42 "ä" 漢字 🙂 %20');
  });

  it("is never shown alike when it is not", () => {
    const readBack = (text: string) =>
      text.replace(/\\(\\|u\{([0-9a-f]+)\})/g, (_, what: string, hex: string) =>
        what === "\\" ? "\\" : String.fromCodePoint(Number.parseInt(hex, 16)),
      );
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const shown = printable(text);
        expect(shown).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
        expect(readBack(shown)).toBe(text);
      }),
    );
  });
});

describe("a table", () => {
  it("has columns as wide as their widest cell on the terminal", () => {
    const rows = [
      ["a", "1", "x"],
      ["漢字", "22", ""],
      ["e\u0301🙂", "3", "y"],
    ];
    expect(table(["LOCK", "N", "WHO"], rows).split("\n")).toEqual([
      "LOCK  N   WHO",
      "a     1   x",
      "漢字  22",
      "e\u0301🙂   3   y",
    ]);
  });

  it("counts columns as terminals do", () => {
    expect(["abc", "漢字", "e\u0301", "🙂", "ｶﾅ", "ＡＢ"].map(columnsOf)).toEqual([3, 4, 1, 2, 2, 4]);
  });
});

it("tells spans in the two units that matter", () => {
  const told = [-5, 0, 85.4, 999.6, 1_000, 12_000, 60_000, 200_000, 3_600_000, 7_380_000, 187_200_000].map(span);
  expect(told).toEqual([
    "0 ms",
    "0 ms",
    "85 ms",
    "1 s",
    "1 s",
    "12 s",
    "1 min",
    "3 min 20 s",
    "1 h",
    "2 h 3 min",
    "2 d 4 h",
  ]);
});
