import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { startServer } from "../support/server.ts";
import { useService } from "../support/service.ts";

const service = useService();
const file = new URL("../../examples/stubs/hold-by-stubs.ts", import.meta.url).pathname;

/** The program, and the tokens that it says it holds a lock with, in order. */
function start(address: string, lock: string) {
  const child: ChildProcess = spawn(process.execPath, [file, address, lock], { stdio: ["pipe", "pipe", "pipe"] });
  const lines = createInterface(child.stdout!)[Symbol.asyncIterator]();
  return {
    child,
    /** Whether it has ended well. */
    ended: once(child, "exit").then(([code]) => code === 0),
    async holdsBy(call: string): Promise<bigint> {
      const { value = "" } = await lines.next();
      return BigInt(new RegExp(`^${call} holds with token (\\d+)$`).exec(value)![1]!);
    },
    work: () => child.stdin!.write("\n"),
    [Symbol.dispose]: () => child.kill("SIGKILL"),
  };
}

it("is a page of code: at most 40 lines", () => {
  expect(readFileSync(file, "utf8").trimEnd().split("\n").length).toBeLessThanOrEqual(40);
});

it("holds a lock with generated stubs alone, by Session and by Hold, until its work is done", async () => {
  using program = start(service().address(), "stubs/ts");
  let last = 0n;
  for (const call of ["Session", "Hold"]) {
    const token = await program.holdsBy(call);
    expect(token).toBeGreaterThan(last);
    last = token;
    expect(await service().checkToken("stubs/ts", token)).toBe("live");
    program.work();
  }
  expect(await program.ended).toBe(true);
  await eventually(() => service().checkToken("stubs/ts", last), "ended");
});

it.each(["Session", "Hold"])("stops its work with an error when the lock is lost, taken by %s", async (call) => {
  await using server = await startServer({ etcd: service().etcd.endpoint });
  using program = start(server.grpcAddress, `stubs/lost/${call}`);
  await program.holdsBy("Session");
  if (call === "Hold") {
    program.work();
    await program.holdsBy("Hold");
  }
  await server.kill9();
  expect(await program.ended).toBe(false);
});
