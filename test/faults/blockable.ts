/** Loaded into a server before its own code: SIGUSR2 blocks its event loop, as a long computation would. */
const BLOCK_MS = 3000;

process.on("SIGUSR2", () => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BLOCK_MS);
});
