import { credentials, Metadata } from "@grpc/grpc-js";
import { HealthClient, HealthCheckResponse_ServingStatus as ServingStatus } from "../../gen/grpc/health/v1/health.ts";
import type { Peers } from "../../ports/peers.ts";
import { closeChannel } from "../grpc-client/close-channel.ts";

/** So many of the others are asked at a time: one that serves is enough. */
const ASKED = 5;
const ANSWER_WITHIN_MS = 1_500;

export interface GrpcPeersOptions {
  /** Whether the servers of the service are reached by TLS. */
  readonly tls: boolean;
  /** How long an answer may take, in milliseconds. Default: 1,500. */
  readonly answerWithinMs?: number;
}

/**
 * The other servers, asked by `grpc.health.v1`. Over TLS whoever answers is believed: the question tells nothing, and
 * this server knows no authority by which to verify the others.
 */
export function grpcPeers({ tls, answerWithinMs = ANSWER_WITHIN_MS }: GrpcPeersOptions): Peers {
  // The name is not looked at, and TLS knows none that is an IP address.
  const options = tls ? { ...ALONE, "grpc.ssl_target_name_override": "holdfast" } : ALONE;
  const trust = tls
    ? credentials.createSsl(null, null, null, { rejectUnauthorized: false })
    : credentials.createInsecure();
  return {
    serving(addresses, done) {
      const asked = sample(addresses, ASKED);
      const answers = asked.map((address) => isServing(new HealthClient(address, trust, options), answerWithinMs));
      void Promise.all(answers).then((serving) => done(asked.filter((_, i) => serving[i])));
    },
  };
}

/** A connection of its own for each question, which goes with it. */
const ALONE = { "grpc.use_local_subchannel_pool": 1, "grpc.enable_retries": 0 };

function isServing(client: HealthClient, withinMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const options = { deadline: Date.now() + withinMs };
    client.check({ service: "holdfast.v1.LockService" }, new Metadata(), options, (error, response) => {
      closeChannel(client);
      resolve(error === null && response.status === ServingStatus.SERVING);
    });
  });
}

/** Some of the items, at most `count`, by chance. */
function sample<Item>(items: readonly Item[], count: number): readonly Item[] {
  const rest = [...items];
  const chosen: Item[] = [];
  while (chosen.length < count && rest.length > 0)
    chosen.push(...rest.splice(Math.floor(Math.random() * rest.length), 1));
  return chosen;
}
