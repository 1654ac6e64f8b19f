package io.holdfast.client;

import io.holdfast.v1.Open;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.function.DoubleSupplier;
import java.util.function.Supplier;

/**
 * A client's settings with nothing left open.
 *
 * @param open opens a session
 * @param tls {@code null}: none
 * @param callbackExecutor {@code null}: threads of the client's own
 * @param traceparent says the caller's place in a trace; {@code null}: none
 */
record Settings(
    List<String> addresses,
    Open open,
    TlsOptions tls,
    long connectTimeoutNanos,
    long callTimeoutNanos,
    long closeTimeoutNanos,
    Executor callbackExecutor,
    Supplier<String> traceparent) {

  MachineSettings forMachine(DoubleSupplier random) {
    return new MachineSettings(addresses, open, connectTimeoutNanos, closeTimeoutNanos, random);
  }
}
