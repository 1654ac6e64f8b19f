/** Runs the checks: `node scripts/check.ts`. */
import { runChecks } from "./checks.ts";

if (runChecks().failed > 0) process.exitCode = 1;
