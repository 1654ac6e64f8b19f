package io.holdfast.client;

/** A watch that goes on until it is closed or fails. */
public interface LockWatch extends AutoCloseable {
  /** Ends it. Nothing is told afterwards, but by a call that is running. */
  @Override
  void close();
}
