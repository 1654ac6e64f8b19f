package io.holdfast.client;

/** Why something ended, for programs and for people. */
record Failure(Reason reason, String message) {}
