package io.holdfast.client;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.ManagedChannelRegistry;
import io.grpc.NameResolverRegistry;
import io.grpc.TlsChannelCredentials;
import io.holdfast.v1.Liveness;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

/** Connections to servers. */
final class Channels {
  /** A frame from a server may tell of a thousand claims, each with those that hold its lock. */
  private static final int MAX_RESPONSE_BYTES = 16 * 1024 * 1024;

  private static final String NOT_TLS = "not an SSL/TLS record";
  private static final Pattern HANGS_UP = Pattern.compile(
      "Network closed for unknown reason|Connection reset|First received frame was not SETTINGS");
  private static final Pattern DUMP =
      Pattern.compile("\\s*\\R\\s*Channel Pipeline: \\[[^\\]]*\\]|(?<=" + NOT_TLS + "): \\p{XDigit}*");

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

  /**
   * Throws {@code HoldfastException} with reason invalid if an address is neither "host:port" nor a target with a scheme
   * that gRPC resolves, or if gRPC cannot use it. Connects to nothing.
   */
  static void checkAddresses(Settings settings) {
    for (String address : settings.addresses()) {
      if (!AddressList.isHostAndPort(address) && !isTarget(address))
        throw HoldfastException.invalid("addresses: \"" + address + "\" is not \"host:port\", such as 127.0.0.1:7400");
      try {
        connect(address, settings).shutdownNow();
      } catch (RuntimeException e) {
        throw new HoldfastException(
            Reason.INVALID, "addresses: \"" + address + "\" cannot be used: " + e.getMessage(), null, e);
      }
    }
  }

  private static boolean isTarget(String address) {
    int end = address.indexOf(':');
    if (end < 0 || end == address.length() - 1) return false;
    String scheme = address.substring(0, end);
    return !scheme.equals("http")
        && !scheme.equals("https")
        && NameResolverRegistry.getDefaultRegistry().getProviderForScheme(scheme) != null;
  }

  /** Throws {@code HoldfastException} with reason invalid if these cannot be used. */
  static void check(TlsOptions tls) {
    if (tls == null) throw HoldfastException.invalid("tls: null: give TlsOptions.DEFAULTS, or leave it away for plain text");
    try {
      // Reads certificates and key, and connects to nothing.
      Grpc.newChannelBuilder("localhost:1", credentials(tls));
    } catch (IllegalArgumentException e) {
      throw new HoldfastException(Reason.INVALID, "tls: identity: " + e.getMessage(), null, e);
    } catch (ManagedChannelRegistry.ProviderNotFoundException e) {
      // So gRPC says that it cannot read the authorities.
      throw new HoldfastException(
          Reason.INVALID, "tls: trust: not certificates in PEM, each from -----BEGIN CERTIFICATE----- on", null, e);
    }
  }

  /**
   * What gRPC says of a connection that could not be made, for people: without what Netty dumps of its own and of the
   * bytes, and with a hint if it looks as if one side speaks TLS and the other does not.
   */
  static String connectionProblem(String said, boolean usesTls) {
    String line = DUMP.matcher(said).replaceAll("");
    // Whoever does not understand what it is sent hangs up, or answers in a language that is not HTTP/2.
    if (!usesTls && HANGS_UP.matcher(said).find()) return line + "; if the server speaks TLS, give tls(...)";
    if (usesTls && said.contains(NOT_TLS)) return line + "; the server seems to speak plain text: leave tls(...) away";
    return line;
  }

  /** The exception of a call of this client's own, with what {@link #connectionProblem} says. */
  static HoldfastException failureOf(Throwable error, Settings settings) {
    HoldfastException failure = HoldfastException.from(error);
    if (failure.reason() != Reason.UNREACHABLE) return failure;
    String problem = connectionProblem(failure.getMessage(), settings.tls() != null);
    return HoldfastException.of(Reason.UNREACHABLE, problem, null, error);
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
