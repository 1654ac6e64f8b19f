package io.holdfast.client;

import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/** Waiting for what comes sooner or later, on however slow a machine. */
final class Eventually {
  private static final int PATIENCE_S = 60;

  private Eventually() {}

  static void eventually(String what, BooleanSupplier isTrue) throws InterruptedException {
    eventually(() -> what, isTrue);
  }

  static void eventually(Supplier<String> what, BooleanSupplier isTrue) throws InterruptedException {
    for (long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_S); !isTrue.getAsBoolean(); Thread.sleep(5))
      if (System.nanoTime() > end) throw new AssertionError("not within " + PATIENCE_S + " s: " + what.get());
  }
}
