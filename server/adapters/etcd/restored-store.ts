import { checkEtcd } from "./check.ts";
import { type EtcdAddress, EtcdClient } from "./client.ts";
import { confirmRestored, type HistoryOptions, lookForRestored, type RestoredStore } from "./history.ts";
import { Keyspace } from "./keyspace.ts";

export interface RestoredStoreOptions extends EtcdAddress {
  readonly prefix: string;
  /** How long etcd may take to answer. */
  readonly timeoutMs: number;
}

/**
 * What an operator has to know of an etcd that servers refuse because it was restored; `undefined`: it was not, as far as
 * any server has noticed. Changes nothing. Rejects with a `StoreError` of one line when etcd cannot be asked.
 */
export async function findRestoredStore(options: RestoredStoreOptions): Promise<RestoredStore | undefined> {
  return withEtcd(options, async (history) => (await lookForRestored(history)).restored);
}

/**
 * Has servers start on a restored etcd. Resolves with `false` if none is to be confirmed by this id. Rejects with a
 * `StoreError` of one line when etcd cannot be asked; then it may have been done.
 */
export async function confirmRestoredStore(options: RestoredStoreOptions, id: string): Promise<boolean> {
  return withEtcd(options, (history) => confirmRestored(history, id));
}

async function withEtcd<Value>(
  { prefix, timeoutMs, ...address }: RestoredStoreOptions,
  use: (history: HistoryOptions) => Promise<Value>,
): Promise<Value> {
  const client = new EtcdClient(address);
  const { endpoints } = address;
  const keyspace = new Keyspace(prefix);
  const nothing = () => undefined;
  client.watchMembers({ key: keyspace.start, onMoved: nothing, onPosition: nothing });
  const untilMs = performance.now() + timeoutMs;
  try {
    await checkEtcd(client, endpoints, untilMs);
    return await use({ client, keyspace, prefix, endpoints, file: undefined, untilMs });
  } finally {
    await client.close();
  }
}
