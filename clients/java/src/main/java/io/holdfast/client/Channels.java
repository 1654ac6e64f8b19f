package io.holdfast.client;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.TlsChannelCredentials;
import io.holdfast.v1.Liveness;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.concurrent.TimeUnit;

/** Connections to servers. */
final class Channels {
  /** A frame from a server may tell of a thousand claims, each with those that hold its lock. */
  private static final int MAX_RESPONSE_BYTES = 16 * 1024 * 1024;

  private Channels() {}

  /**
   * A connection of its own to one address. Nothing is shared with other connections to it, so that a new one is not
   * held up by what holds up the old.
   */
  static ManagedChannel connect(String address, Settings settings) {
    ManagedChannelBuilder<?> builder = Grpc.newChannelBuilder(address, credentials(settings.tls()))
        // What may be repeated is decided here, and nowhere else.
        .disableRetry()
        // What comes is only put into an inbox, or answers a future.
        .directExecutor()
        .maxInboundMessageSize(MAX_RESPONSE_BYTES);
    if (settings.tls() != null && settings.tls().serverName() != null)
      builder.overrideAuthority(settings.tls().serverName());
    if (settings.open().getLiveness() == Liveness.LIVENESS_TRANSPORT) {
      // Pings notice a silent connection; heartbeats need no help. gRPC makes 10 s of less.
      long thirdNanos = Durations.nanos(settings.open().getTtl()) / 3;
      builder.keepAliveTime(thirdNanos, TimeUnit.NANOSECONDS).keepAliveTimeout(thirdNanos, TimeUnit.NANOSECONDS);
    }
    return builder.build();
  }

  /** Throws {@code HoldfastException} with reason invalid if an address is none that gRPC can use. Connects to nothing. */
  static void checkAddresses(Settings settings) {
    for (String address : settings.addresses())
      try {
        connect(address, settings).shutdownNow();
      } catch (RuntimeException e) {
        throw new HoldfastException(
            Reason.INVALID, "addresses: \"" + address + "\" cannot be used: " + e.getMessage(), null, e);
      }
  }

  /** Throws {@code HoldfastException} with reason invalid if these cannot be used. */
  static void check(TlsOptions tls) {
    try {
      // Reads certificates and key, and connects to nothing.
      Grpc.newChannelBuilder("localhost:1", credentials(tls));
    } catch (IllegalArgumentException e) {
      throw new HoldfastException(Reason.INVALID, "tls: " + e.getMessage(), null, e);
    }
  }

  private static ChannelCredentials credentials(TlsOptions tls) {
    if (tls == null) return InsecureChannelCredentials.create();
    TlsChannelCredentials.Builder builder = TlsChannelCredentials.newBuilder();
    try {
      if (tls.ca() != null) builder.trustManager(stream(tls.ca()));
      if (tls.certificate() != null) builder.keyManager(stream(tls.certificate()), stream(tls.key()));
    } catch (IOException e) {
      throw new HoldfastException(Reason.INVALID, "tls: " + e.getMessage(), null, e);
    }
    return builder.build();
  }

  private static InputStream stream(byte[] pem) {
    return new ByteArrayInputStream(pem);
  }
}
