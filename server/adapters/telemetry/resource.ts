import { type Resource, resourceFromAttributes } from "@opentelemetry/resources";

/** Who measures. */
export interface ServerIdentity {
  readonly version: string;
  readonly serverId: string;
}

/** How long the end of the server may wait for a collector to take what is left. */
const FLUSH_WITHIN_MS = 2_000;

/** Ends a provider. What its collector does not take in time is lost. */
export async function shutDown(provider: { shutdown(): Promise<void> }): Promise<void> {
  const { promise: patienceIsOver, resolve } = Promise.withResolvers<void>();
  const patience = setTimeout(resolve, FLUSH_WITHIN_MS);
  // A collector that is not there is no reason not to end well.
  await Promise.race([provider.shutdown().catch(() => undefined), patienceIsOver]);
  clearTimeout(patience);
}

/** What OpenTelemetry says of this server with all that it sends. */
export const resourceOf = ({ version, serverId }: ServerIdentity): Resource =>
  resourceFromAttributes({
    "service.name": "holdfast",
    "service.version": version,
    "service.instance.id": serverId,
  });
