package io.holdfast.client;

import com.google.protobuf.ByteString;
import java.util.Optional;

/**
 * Who leads, as somebody looking sees it.
 *
 * @param token the fencing token of its leadership: larger than that of every earlier leader of this election
 * @param value what it announces; empty: nothing
 * @param sessionId its session
 * @param client who it says it is, if it does
 */
public record Leader(long token, ByteString value, String sessionId, Optional<ClientInfo> client) {
  /** {@link #value} as a text. */
  public String text() {
    return value.toStringUtf8();
  }

  static Optional<Leader> of(LockView lock) {
    return lock.holders().stream()
        .findFirst()
        .map(holder -> new Leader(holder.token(), holder.value(), holder.sessionId(), holder.client()));
  }

  boolean isSame(Leader other) {
    return token == other.token && value.equals(other.value);
  }
}
