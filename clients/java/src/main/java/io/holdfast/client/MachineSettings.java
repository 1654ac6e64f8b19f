package io.holdfast.client;

import io.holdfast.v1.Open;
import java.util.List;
import java.util.function.DoubleSupplier;

/**
 * What does not change in the life of a client.
 *
 * @param addresses at least one, to try in turn
 * @param open opens a session: TTL, liveness and what a broken stream does are set
 * @param connectTimeoutNanos how long a wanted claim may go without a session to ask for it
 * @param closeTimeoutNanos how long {@code close} may take
 * @param random chance, from 0 up to but not including 1: spreads reconnects
 */
record MachineSettings(
    List<String> addresses, Open open, long connectTimeoutNanos, long closeTimeoutNanos, DoubleSupplier random) {}
