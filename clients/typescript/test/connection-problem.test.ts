import { describe, expect, it } from "vitest";
import { connectionProblem } from "../src/connection-problem.ts";

const refused = "No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: ";
const hungUp = "No connection established. Last error: Failed to connect (2026-01-02T03:04:05.678Z). Resolution note: ";
const dump =
  "No connection established. Last error: Error: 40:error:0A00010B:SSL routines:x:wrong version number:../deps/x.c:77:\n. Resolution note: ";

describe("what is said of a connection that could not be made", () => {
  it("is what gRPC says, without a heading that has nothing under it", () => {
    const text = "No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1.";
    for (const usesTls of [false, true]) expect(connectionProblem(refused, usesTls)).toBe(text);
    expect(connectionProblem(`${refused}no address`, false)).toBe(`${refused}no address`);
  });

  it("has a hint where one side seems to speak TLS and the other not, on one line", () => {
    expect(connectionProblem(hungUp, false)).toBe(
      "No connection established. Last error: Failed to connect (2026-01-02T03:04:05.678Z); if the server speaks TLS, give `tls`",
    );
    expect(connectionProblem(dump, true)).toBe(
      "No connection established. Last error: Error: 40:error:0A00010B:SSL routines:x:wrong version number:../deps/x.c:77; the server seems to speak plain text: leave `tls` away",
    );
    expect(connectionProblem(hungUp, true)).not.toContain("`tls`");
    expect(connectionProblem("Deadline exceeded after 5s", false)).toBe("Deadline exceeded after 5s");
  });
});
