package io.holdfast.client;

/**
 * Who held a lock before, and how that ended, as far as the server saw it. Unless it was {@link End#RELEASED}, expect
 * half-done work. Of several that held it together, the one with the largest token. Decides nothing.
 *
 * @param token the fencing token of its grant
 * @param end how it ended
 */
public record PreviousHolder(long token, End end) {
  /** How a holder ended. */
  public enum End {
    /** Unknown to the server that says so. */
    UNKNOWN,
    /** Its client released it. */
    RELEASED,
    /** Nothing proved its client alive for a TTL: it may still be acting. */
    EXPIRED,
    /** Its session was closed, or its stream ended. */
    CLOSED,
    /** An administrator ended it. */
    FORCED
  }

  static PreviousHolder fromWire(io.holdfast.v1.PreviousHolder wire) {
    End end = switch (wire.getEnd()) {
      case HOLDER_END_RELEASED -> End.RELEASED;
      case HOLDER_END_EXPIRED -> End.EXPIRED;
      case HOLDER_END_CLOSED -> End.CLOSED;
      case HOLDER_END_FORCED -> End.FORCED;
      default -> End.UNKNOWN;
    };
    return new PreviousHolder(wire.getFencingToken(), end);
  }
}
