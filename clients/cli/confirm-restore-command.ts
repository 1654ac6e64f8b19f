import type { Command } from "commander";
import type { Config } from "../../server/config.ts";
import { complain } from "./complain.ts";
import { exitCode } from "./exit-code.ts";
import { type Manual, setManual } from "./manual.ts";
import { addServerOptions, readServerOptions } from "./server-options.ts";

const manual: Manual = {
  description: [
    "A server does not serve from an etcd that does not go on from where Holdfast has seen it last: it was restored from a backup, or is another one. Without an argument this says how that was noticed, and what it means for locks and fencing tokens. With the id that it names, it confirms: servers start then. It speaks to etcd, not to a server.",
    "It exits with 0 when there is nothing to confirm or it was confirmed, and with 1 when there is, when there is nothing by this id, or when etcd cannot be asked.",
  ],
  exits: ["ok", "failed", "usage"],
  examples: [
    [
      "holdfast confirm-restore --etcd-endpoints etcd1:2379,etcd2:2379,etcd3:2379",
      "Read what the restore means, and by which id it is confirmed.",
    ],
    [
      "holdfast confirm-restore 9vX0mSg2Qk1z --etcd-endpoints etcd1:2379,etcd2:2379,etcd3:2379",
      "Have servers start on it.",
    ],
  ],
};

/** Adds `holdfast confirm-restore`, which speaks to etcd as a server does. */
export function addConfirmRestoreCommand(program: Command): void {
  const command = program
    .command("confirm-restore")
    .description("Have servers start on an etcd that was restored from a backup.")
    .argument("[id]", "what the restored etcd is confirmed by; without it: say what it means");
  setManual(command, manual);
  addServerOptions(command, [
    "data",
    "etcd-binary",
    "etcd-endpoints",
    "etcd-ca",
    "etcd-cert",
    "etcd-key",
    "etcd-user",
    "etcd-password-file",
    "prefix",
  ]);
  command.action(async (id: string | undefined) => {
    process.exitCode = await run(readServerOptions(command), id);
  });
}

async function run(config: Config | undefined, id: string | undefined): Promise<number> {
  if (config === undefined) return exitCode.usage;
  try {
    const { confirmRestore } = await import("../../server/confirm-restore.ts");
    const { text, isWell } = await confirmRestore(config, id);
    process.stdout.write(`${text}\n`);
    return isWell ? exitCode.ok : exitCode.failed;
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error));
    return exitCode.failed;
  }
}
