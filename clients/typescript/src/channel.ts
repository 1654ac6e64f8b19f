import { type ChannelCredentials, type Client, type ClientOptions, credentials } from "@grpc/grpc-js";
import { AdminServiceClient } from "./gen/holdfast/v1/admin_service.ts";
import { LockServiceClient } from "./gen/holdfast/v1/lock_service.ts";
import type { Settings, TlsOptions } from "./options.ts";

/**
 * A connection of its own to one address. Nothing is shared with other connections to it, so that a new one is
 * not held up by what holds up the old.
 */
export function connectTo(address: string, settings: Settings): LockServiceClient {
  return new LockServiceClient(address, credentialsFrom(settings.tls), optionsFrom(settings));
}

/** Likewise for the people on call. */
export function connectAdminTo(address: string, settings: Settings): AdminServiceClient {
  return new AdminServiceClient(address, credentialsFrom(settings.tls), optionsFrom(settings));
}

/** A channel of grpc-js, by the fields that it keeps private. */
interface PrivateChannel {
  readonly internalChannel: { readonly wrappedSubchannels: Iterable<{ readonly child: Subchannel }> };
}

interface Subchannel {
  continueConnecting: boolean;
}

/**
 * Closes a connection so that it stays closed.
 *
 * grpc-js 1.14.7 alone does not: a subchannel that could not connect and waits to try again does so although its channel
 * is closed, once, and keeps the connection that it then gets for as long as the program runs (`unref` in its
 * subchannel.ts does not take `continueConnecting` back).
 */
export function closeChannel(client: Client): void {
  const { internalChannel } = client.getChannel() as unknown as PrivateChannel;
  const subchannels = Array.from(internalChannel.wrappedSubchannels, ({ child }) => child);
  client.close();
  // The load balancer's wish to try again is taken note of in a later tick, which was asked for before this one.
  process.nextTick(() => {
    for (const subchannel of subchannels) subchannel.continueConnecting = false;
  });
}

function optionsFrom({ tls, liveness, ttlMs }: Settings): ClientOptions {
  const options: ClientOptions = {
    "grpc.use_local_subchannel_pool": 1,
    // What may be repeated is decided here, and nowhere else.
    "grpc.enable_retries": 0,
    // A server that was away for minutes must not be counted as away for two more when it is back.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
  };
  if (tls?.serverName !== undefined) options["grpc.ssl_target_name_override"] = tls.serverName;
  if (liveness === "transport") {
    // Pings notice a silent connection within the TTL; heartbeats need no help.
    options["grpc.keepalive_time_ms"] = ttlMs / 3;
    options["grpc.keepalive_timeout_ms"] = ttlMs / 3;
  }
  return options;
}

function credentialsFrom(tls: TlsOptions | undefined): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  return credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert));
}

const pem = (text: string | Uint8Array | undefined) => (text === undefined ? null : Buffer.from(text));
