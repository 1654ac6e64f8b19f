package io.holdfast.client;

import java.util.Optional;

/**
 * One lock of a claim that was granted.
 *
 * @param name its name
 * @param token larger than the token of every earlier grant of the lock; tokens of different locks do not compare
 * @param previous who held it before, as far as the server saw that end; empty: it saw nobody
 */
public record GrantedLock(String name, long token, Optional<PreviousHolder> previous) {
  static GrantedLock fromWire(io.holdfast.v1.GrantedLock wire) {
    Optional<PreviousHolder> previous =
        wire.hasPrevious() ? Optional.of(PreviousHolder.fromWire(wire.getPrevious())) : Optional.empty();
    return new GrantedLock(wire.getName(), wire.getFencingToken(), previous);
  }
}
