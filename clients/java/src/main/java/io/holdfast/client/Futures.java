package io.holdfast.client;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/** Waiting for what another thread does. */
final class Futures {
  private Futures() {}

  /** The result, or the failure itself, with where it was waited for. Does not react to interrupts. */
  static <T> T join(CompletableFuture<T> future) {
    try {
      return future.join();
    } catch (CompletionException e) {
      if (e.getCause() instanceof LockLostException lost) throw lost.again();
      if (e.getCause() instanceof HoldfastException known) {
        known.addSuppressed(new Throwable("waited for here"));
        throw known;
      }
      throw e;
    }
  }
}
