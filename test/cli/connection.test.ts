import { describe, expect, it } from "vitest";
import { explain } from "../../clients/cli/connection.ts";
import { HoldfastError } from "../../clients/typescript/src/index.ts";

const said = (message: string, server: readonly string[]) =>
  explain(new HoldfastError("unreachable", message), { server }).message;

describe("what is said of servers that do not answer", () => {
  it("names the address once, and the options of the command line", () => {
    expect(said("a:1: no; if the server speaks TLS, give `tls`", ["a:1"])).toBe(
      "no server answers at a:1: no; if the server speaks TLS, give --tls",
    );
    expect(said("no", ["a:1"])).toBe("no server answers at a:1: no");
    expect(said("b:1: no", ["a:1", "b:1"])).toBe("no server answers at a:1, b:1: b:1: no");
  });
});
