import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EmbeddedEtcdOptions, startEmbeddedEtcd } from "../../server/adapters/etcd/embedded.ts";
import { openEtcdStore, StoreError } from "../../server/adapters/etcd/index.ts";
import { sessionKey } from "../../server/core/keys.ts";
import { toolPath } from "../support/etcd.ts";
import { applied, operation, put, readAll, session } from "../support/store-calls.ts";

describe("an etcd of our own", () => {
  let folder: string;
  let binary: string;

  beforeAll(async () => {
    binary = await toolPath("etcd");
    folder = await mkdtemp(join(tmpdir(), "holdfast-embedded-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const start = (name: string, more: Partial<EmbeddedEtcdOptions> = {}) =>
    startEmbeddedEtcd({ binary, dataDir: join(folder, name, "data"), ...more });

  async function refusal(starting: Promise<AsyncDisposable>): Promise<string> {
    const error = await starting.then((etcd) => etcd[Symbol.asyncDispose]()).catch((reason: unknown) => reason);
    if (!(error instanceof StoreError)) throw error ?? new Error("it started");
    return `${error.reason}: ${error.message}`;
  }

  const isRunning = (pid: number) => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };

  it("keeps its data, and is gone when stopped", async () => {
    const exits: string[] = [];
    const onExit = (how: string) => exits.push(how);
    const open = (endpoint: string) => openEtcdStore({ endpoints: [endpoint], prefix: "/own/", onFault: () => {} });
    const first = await start("kept", { onExit });
    {
      await using store = await open(first.endpoint);
      await applied(store, operation([], put(sessionKey("one"), session())));
    }
    await first.stop();
    await first.stop();
    expect(isRunning(first.pid)).toBe(false);
    {
      await using second = await start("kept", { onExit });
      await using store = await open(second.endpoint);
      expect((await readAll(store))!.entries).toMatchObject([{ key: "session/one" }]);
    }
    expect(exits).toEqual([]);
  });

  it("is not reached by the Ctrl-C of our terminal", async () => {
    await using etcd = await start("group");
    // A group of its own, with its own number: signals from a terminal go to the group in front.
    expect(process.kill(-etcd.pid, 0)).toBe(true);
  });

  it("tells when it ends by itself", async () => {
    const ended = Promise.withResolvers<string>();
    const etcd = await start("killed", { onExit: ended.resolve });
    process.kill(etcd.pid, "SIGKILL");
    expect(await ended.promise).toBe("was ended by SIGKILL");
    await etcd.stop();
  });

  it("refuses a port that is taken, for clients or for members", async () => {
    await using etcd = await start("first");
    const port = Number(etcd.endpoint.split(":")[1]);
    const taken = `port-taken: 127.0.0.1:${port} is in use by another program`;
    expect(await refusal(start("second", { clientPort: port }))).toMatch(taken);
    expect(await refusal(start("second", { peerPort: port }))).toMatch(taken);
  });

  it("says what it complained of when it cannot start", async () => {
    expect(await refusal(start("flag", { flags: ["--no-such-flag"] }))).toBe(
      "start-failed: etcd ended with exit code 2; it said: flag provided but not defined: -no-such-flag",
    );
    expect(await refusal(start("mode", { flags: ["--auto-compaction-mode=odd"] }))).toMatch(
      /^start-failed: etcd ended with exit code 1; it said: failed to verify flags: unknown auto-compaction-mode/,
    );
    expect(await refusal(start("nothing", { binary: join(folder, "no-binary") }))).toMatch(
      /^start-failed: etcd could not be run: .*ENOENT/,
    );
  });

  it("is ended when it does not answer in time, having told that it is waited for", async () => {
    const deaf = join(folder, "deaf-binary");
    const pidFile = join(folder, "pid");
    await writeFile(deaf, `#!/bin/sh\necho $$ > '${pidFile}'\nexec sleep 60\n`);
    await chmod(deaf, 0o755);
    const told: string[] = [];
    const starting = start("deaf", { binary: deaf, startTimeoutMs: 3_900, onProgress: (text) => told.push(text) });
    expect(await refusal(starting)).toBe("start-failed: etcd did not answer within 3.9 s");
    expect(told).toEqual([expect.stringMatching(/^waiting for etcd on 127\.0\.0\.1:\d+ for [23] s$/)]);
    expect(isRunning(Number(await readFile(pidFile)))).toBe(false);
    const below = join("deaf-binary", "below");
    expect(await refusal(start(below))).toMatch(/^start-failed: the folder .* for etcd's data cannot be made: ENOTDIR/);
  });
});
