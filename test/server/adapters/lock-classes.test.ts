import { describe, expect, it } from "vitest";
import { classifier, parseLockClasses } from "../../../server/adapters/telemetry/lock-classes.ts";

const classOf = (text: string, lock: string) => classifier(parseLockClasses(text))(lock);

describe("classes of locks", () => {
  it("are by pattern, of which the first that fits counts", () => {
    const text = "orders=orders/*, hot=*/hot , jobs=nightly/*,jobs=hourly/*";
    expect(
      ["orders/1/2", "orders/hot", "a/hot", "nightly/x", "hourly/x", "nightly", "x"].map((lock) => classOf(text, lock)),
    ).toEqual(["orders", "orders", "hot", "jobs", "jobs", "other", "other"]);
  });

  it("take everything but the star for itself", () => {
    expect(classOf("a=x.y/(1)", "x.y/(1)")).toBe("a");
    expect(classOf("a=x.y/(1)", "xzy/(1)")).toBe("other");
    expect(classOf("a=x*", "x\ny")).toBe("a");
  });

  it("let stars stand for nothing, and for much", () => {
    const cases = ["ab", "axb", "a*b", "xab", "abx", "aba", "a", "abab"].map((lock) => [lock, classOf("y=a*b", lock)]);
    expect(Object.fromEntries(cases)).toEqual({
      ...{ ab: "y", axb: "y", "a*b": "y", abab: "y" },
      ...{ xab: "other", abx: "other", aba: "other", a: "other" },
    });
    expect(["a-b-c", "abc", "acb", "ab-bc"].map((lock) => classOf("y=a*b*c", lock))).toEqual(["y", "y", "other", "y"]);
    expect(classOf("y=*", "")).toBe("y");
    expect(classOf("y=a**b", "ab")).toBe("y");
    expect(classOf("y=ab*ba", "aba")).toBe("other");
  });

  it("are of no lock if there are none", () => {
    expect(classOf("", "orders/1")).toBeUndefined();
  });

  it("are refused with what would be right", () => {
    expect(() => parseLockClasses("orders")).toThrow('"orders" is no class and pattern, such as orders=orders/*');
    expect(() => parseLockClasses("Orders=x")).toThrow("no class and pattern");
    expect(() => parseLockClasses("other=x")).toThrow("that match no pattern");
    const many = Array.from({ length: 21 }, (_, i) => `c${i}=x`).join(",");
    expect(() => parseLockClasses(many)).toThrow("21 classes: at most 20");
  });

  it("cost no more for a name made to be slow", () => {
    const before = process.cpuUsage();
    expect(classOf(`a=${"*x".repeat(30)}*y`, "x".repeat(500))).toBe("other");
    const { user } = process.cpuUsage(before);
    expect(user).toBeLessThan(5_000_000);
  });
});
