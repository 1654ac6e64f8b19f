import { confirmRestoredStore, findRestoredStore, type RestoredStore } from "./adapters/etcd/index.ts";
import { Log } from "./adapters/telemetry/log.ts";
import { SystemClock } from "./clock.ts";
import type { Config } from "./config.ts";
import { startOwnEtcd } from "./own-etcd.ts";

const TIMEOUT_MS = 5_000;

/** What the command says, and whether all is as it should be. */
export interface Said {
  readonly text: string;
  readonly isWell: boolean;
}

/**
 * Says what a restored etcd means for locks and fencing tokens, or confirms it by the `id` that this names. With an etcd
 * of its own that is started for it, and ended. Rejects with an error of one line when etcd cannot be asked.
 */
export async function confirmRestore(config: Config, id: string | undefined): Promise<Said> {
  const { etcd, prefix } = config;
  await using parts = new AsyncDisposableStack();
  const address =
    etcd.kind === "existing"
      ? etcd
      : { endpoints: [parts.use(await startOwnEtcd(etcd, quietLog(), () => undefined)).endpoint] };
  const options = { ...address, prefix, timeoutMs: TIMEOUT_MS };
  if (id !== undefined && (await confirmRestoredStore(options, id)))
    return { text: `confirmed ${id}: start the servers again, all of them`, isWell: true };
  const restored = await findRestoredStore(options);
  if (restored !== undefined) return { text: explain(restored), isWell: false };
  const nothing = "no server has found etcd to be restored: there is nothing to confirm";
  return id === undefined ? { text: nothing, isWell: true } : { text: `${id}: ${nothing}`, isWell: false };
}

function explain(restored: RestoredStore): string {
  return `Holdfast servers refuse this etcd: it was restored from a backup, or replaced.
What was noticed: ${restored.problem}.

Locks. What happened after the backup is forgotten: a lock taken since is free, one released since is held again
until the TTL of its session has passed. A client that holds one of the forgotten locks believes so until its own
TTL has passed. So confirm only when the longest TTL in use, at most --max-ttl, has passed since the old etcd
answered last.

Fencing tokens. ${tokens(restored)}

To have the servers start on it: holdfast confirm-restore ${restored.id}
with the same flags for etcd. Then start all servers again; those that still run serve no more.`;
}

function tokens({ seenRevision, revision, bumpedBy }: RestoredStore): string {
  if (bumpedBy > 0)
    return `The restore turned etcd's revisions forward by at least ${bumpedBy}. New tokens are larger than all
that were given out, unless more revisions than that passed between the backup and the loss. Resources
need nothing.`;
  return `etcd is at revision ${revision}, Holdfast has seen at least ${seenRevision}, and its revisions were not turned
forward. Tokens that were given out since the backup will be given out AGAIN, for other grants. A resource that
remembers a larger token refuses every new holder until tokens have grown past it, and lets a client of before
pass that comes late with its old token. Better restore once more, with
  etcdutl snapshot restore --bump-revision 1000000000 --mark-compacted ...
which makes tokens go on growing. If you confirm without: end all clients first, and have every guarded
resource forget the tokens it has seen.`;
}

function quietLog(): Log {
  const clock = new SystemClock();
  return new Log({
    level: "warn",
    format: "text",
    wallMs: () => clock.wallMs(),
    write: (line) => process.stderr.write(line),
  });
}
