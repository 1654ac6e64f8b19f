package io.holdfast.client;

import java.util.Locale;

/**
 * Why a lock was refused or lost, or a call failed. A closed list: the reasons of the service, whose meaning
 * {@code holdfast/v1/lock_service.proto} gives, and four that only the client can give.
 */
public enum Reason {
  /** A try found the lock taken. Again: when it is free. */
  BUSY,
  /** The time to wait passed before the grant. Again: yes. */
  TIMEOUT,
  /** Threads wait for each other in a circle, and this claim was the youngest. Again: after releasing what it holds. */
  DEADLOCK,
  /** The lock has as many waiters as are allowed. Again: later. */
  QUEUE_FULL,
  /** The session has as many live claims as are allowed. Again: after releasing some. */
  TOO_MANY_CLAIMS,
  /** Something in the call is wrong; the message names it. Again: no. */
  INVALID,
  /** The caller may not. Again: no. */
  NOT_PERMITTED,
  /** There is no such session or claim. Again: no. */
  NOT_FOUND,
  /** The mode or limit contradicts the claims that are there. Again: when those are gone. */
  CONFLICTING_MODE,
  /** The thread has entered the lock as often as is allowed. Again: after releasing. */
  TOO_DEEP,
  /** The claim holding the lock is not the one expected. Again: after looking who holds it now. */
  WRONG_TOKEN,
  /** Nothing proved the client alive for a TTL, or the store dropped the session. Again: yes. */
  SESSION_EXPIRED,
  /** An administrator released the claim. Again: yes, but ask first. */
  RELEASED_BY_FORCE,
  /** An administrator closed the session. Again: yes, but ask first. */
  CLOSED_BY_FORCE,
  /** This client was closed. */
  CLOSED_BY_CLIENT,
  /** The session was resumed on another stream. */
  SUPERSEDED,
  /** The client did not read its events. Again: yes. */
  CLIENT_TOO_SLOW,
  /** The server goes away. Again: on another server. */
  DRAINING,
  /** The store does not answer, or is full; the claim was not granted, and will not be. Again: later. */
  STORE_UNAVAILABLE,
  /** A fault of the server, logged there. */
  INTERNAL,
  /** Only from the client: the caller's own cancelling or interrupting. */
  ABORTED,
  /** Only from the client: no server answered in time. */
  UNREACHABLE,
  /** Only from the client: the connection broke, and the session could not outlive it. */
  CONNECTION_LOST,
  /** Only from the client: an error that is none of Holdfast's, or newer than this client. */
  UNKNOWN;

  /** The reason in the words of the other libraries and of the command line, such as "queue-full". */
  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /** The reason that a proto name such as "REASON_QUEUE_FULL" stands for; {@code UNKNOWN} if this client has none. */
  static Reason fromProtoName(String name) {
    String bare = name.startsWith("REASON_") ? name.substring("REASON_".length()) : name;
    for (Reason reason : values()) if (reason.ordinal() < ABORTED.ordinal() && reason.name().equals(bare)) return reason;
    return UNKNOWN;
  }

  static Reason fromWire(io.holdfast.v1.Reason reason) {
    return fromProtoName(reason.name());
  }
}
