#!/usr/bin/env node
/** What the installed package runs: the command line, or one line that says which Node it needs. */
import { complain } from "./complain.ts";

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major > 22 || (major === 22 && minor >= 15)) await import("./main.ts");
else {
  complain(`this is Node ${process.versions.node}, and Holdfast needs 22.15 or newer`);
  process.exitCode = 1;
}
