/** What one server lets its clients cost, so that none exhausts what others need (P9). */
export interface GrpcLimits {
  /** The longest TTL a session may ask for, in milliseconds. */
  readonly maxTtlMs: number;
  /** How long a Session may go without a first command. Milliseconds. */
  readonly firstCommandWithinMs: number;
  /** The largest message that is read, in bytes. */
  readonly maxMessageBytes: number;
  /** What one stream may leave unread, in bytes; a client that lets it grow further is cut off. */
  readonly outboxBytes: number;
  /** What all reads of one connection may leave unread, in bytes, before further ones are refused. */
  readonly unreadAnswerBytes: number;
  /** How long a stream that has ended may take to be read to its end before it is reset. Milliseconds. */
  readonly lingerMs: number;
  /** Calls at the same time on one connection; a client waits with more. */
  readonly maxStreamsPerConnection: number;
  /** How often a connection is asked for a sign of life; one that gives none in `keepaliveTimeoutMs` is closed. */
  readonly keepaliveTimeMs: number;
  readonly keepaliveTimeoutMs: number;
}

/** The limits of a server that was told nothing else. */
export const defaultGrpcLimits: GrpcLimits = {
  maxTtlMs: 600_000,
  firstCommandWithinMs: 5_000,
  maxMessageBytes: 65_536,
  outboxBytes: 1_048_576,
  unreadAnswerBytes: 4_194_304,
  lingerMs: 5_000,
  maxStreamsPerConnection: 16_384,
  keepaliveTimeMs: 30_000,
  keepaliveTimeoutMs: 10_000,
};
