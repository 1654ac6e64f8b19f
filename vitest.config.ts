import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts", "clients/*/test/**/*.test.ts"],
    // One that was left would have all others of its file skipped.
    allowOnly: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two cores, and every end-to-end test starts processes of its own.
    maxWorkers: 2,
    pool: "forks",
  },
});
