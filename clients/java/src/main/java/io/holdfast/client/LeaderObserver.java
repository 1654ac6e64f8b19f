package io.holdfast.client;

import java.util.Optional;

/** Is told who leads: one call at a time, on the client's callback executor. */
public interface LeaderObserver {
  /** Who leads now, or what it announces now; empty: nobody. */
  void leads(Optional<Leader> leader);

  /** A server refuses to tell; nothing more is told. Not called when the observation was closed. */
  default void failed(HoldfastException error) {}
}
