package io.holdfast.client;

import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** A leadership that was won. It ends by {@link #close} or {@link #resign}, or by its loss. */
public final class Leadership implements AutoCloseable {
  private final HeldLock lock;

  Leadership(HeldLock lock) {
    this.lock = lock;
  }

  /** Hand it to what the leader writes to, and let that refuse smaller ones. */
  public long token() {
    return lock.token();
  }

  /** Whether it leads now, by the clock as it is now. */
  public boolean leads() {
    return lock.isHeld();
  }

  /** The lock by which it leads. */
  public HeldLock lock() {
    return lock;
  }

  /** Replaces what it announces to those who look. Fails as {@link HeldLock#update(byte[])} does. */
  public void proclaim(String value) {
    lock.update(value);
  }

  /** {@link #proclaim(String)} of bytes. */
  public void proclaim(byte[] value) {
    lock.update(value);
  }

  /** Calls {@code listener} once on any loss, at once if it is lost already. Not on {@code resign}. */
  public void onLost(Consumer<? super LockLostException> listener) {
    lock.onLost(listener);
  }

  /** Gives it up: the next candidate leads. Completes as {@link HeldLock#releaseAsync} does. */
  public CompletableFuture<ReleaseOutcome> resign() {
    return lock.releaseAsync();
  }

  /** Gives it up; the next candidate leads when this returns. Throws {@link LockLostException} if it was lost before. */
  @Override
  public void close() {
    lock.close();
  }
}
