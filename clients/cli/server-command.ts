import type { Command } from "commander";
import type { Config } from "../../server/config.ts";
import { complain } from "./complain.ts";
import { exitCode } from "./exit-code.ts";
import { type Manual, setManual } from "./manual.ts";
import { addServerOptions, readServerOptions } from "./server-options.ts";

const manual: Manual = {
  description: [
    "Each flag can be set by an environment variable too; where both are given the flag counts. A flag or variable that is wrong ends the command with one line that names it.",
    "Without --etcd-endpoints it starts an etcd of its own on loopback, for trying things out and for a single machine: what is locked survives a restart of both, and nothing survives the loss of the folder --data. For more than one server give an etcd cluster of at least three members.",
    "SIGTERM, SIGINT and SIGHUP end it in order: it says that it is not ready, tells clients where else to go, and waits --drain-time for them; those that can resume lose nothing. With an etcd of its own it waits for nobody. A second one ends it immediately.",
    "It exits with 0 when a signal ended it, and with 1 when it could not start or stopped by itself: its last line on standard error says why.",
  ],
  exits: ["ok", "failed", "usage"],
  examples: [
    ["holdfast server", "With an etcd of its own."],
    ["holdfast server --etcd-endpoints etcd1:2379,etcd2:2379,etcd3:2379 --etcd-ca ca.pem", "With one that is there."],
    [
      "HOLDFAST_GRPC_ADDRESS=0.0.0.0:7400 holdfast server --tls-cert server.pem --tls-key server.key",
      "For clients on other machines.",
    ],
  ],
};

/** Adds `holdfast server`, which runs a server until it is told to stop. */
export function addServerCommand(program: Command): void {
  const command = program.command("server").description("Run a Holdfast server.");
  setManual(command, manual);
  addServerOptions(command);
  command.action(async () => {
    process.exitCode = await run(readServerOptions(command));
  });
}

async function run(config: Config | undefined): Promise<number> {
  if (config === undefined) return exitCode.usage;
  // Loaded only here: a client starts without a server in its memory.
  const { runServer } = await import("../../server/main.ts");
  const problem = await runServer(config);
  if (problem === undefined) return exitCode.ok;
  complain(problem);
  return exitCode.failed;
}
