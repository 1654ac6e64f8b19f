import type { Client } from "@grpc/grpc-js";

/** A channel of grpc-js, by the fields that it keeps private. */
interface PrivateChannel {
  readonly internalChannel: { readonly wrappedSubchannels: Iterable<{ readonly child: Subchannel }> };
}

interface Subchannel {
  continueConnecting: boolean;
}

/**
 * Closes the channel of a client so that it stays closed.
 *
 * grpc-js 1.14.7 alone does not: a subchannel that could not connect and waits to try again does so although its channel
 * is closed, once, and keeps the connection that it then gets for as long as the process lives (`unref` in its
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
