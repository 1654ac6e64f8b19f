package io.holdfast.client;

import com.google.protobuf.ByteString;
import io.holdfast.v1.ClientInfo;
import io.holdfast.v1.Liveness;
import io.holdfast.v1.OnDisconnect;
import io.holdfast.v1.Open;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Executor;
import java.util.function.Supplier;

/**
 * How a client behaves. Everything has a default that is safe. What is wrong is refused with {@link Reason#INVALID},
 * naming the setting.
 */
public final class HoldfastClientBuilder {
  /** This library's version, as its pom.xml has it. */
  static final String VERSION = "0.1.0";

  private final List<String> addresses;
  private final Map<String, String> labels = new LinkedHashMap<>();
  private Duration ttl = Duration.ofSeconds(15);
  private OnDisconnect onDisconnect = OnDisconnect.ON_DISCONNECT_KEEP;
  private Liveness liveness = Liveness.LIVENESS_HEARTBEAT;
  private TlsOptions tls;
  private String clientName;
  private Duration connectTimeout = Duration.ofSeconds(10);
  private Duration callTimeout = Duration.ofSeconds(5);
  private Duration closeTimeout = Duration.ofSeconds(2);
  private Executor callbackExecutor;
  private Supplier<String> traceparent;

  HoldfastClientBuilder(List<String> addresses) {
    if (addresses.isEmpty()) throw invalid("addresses", "give at least one, such as 127.0.0.1:7400");
    this.addresses = addresses;
  }

  /**
   * How long the locks outlive this client's last heartbeat. Default 15 s; from 2 s to 10 min unless the server allows
   * more, rounded up to whole seconds. Short: a crashed holder's locks are free sooner, and a shorter hiccup of network,
   * store or garbage collector costs all locks. Below 5 s a change of etcd's leader may do so.
   */
  public HoldfastClientBuilder ttl(Duration time) {
    ttl = atLeast("ttl", time, Duration.ofSeconds(2));
    return this;
  }

  /**
   * A broken connection frees everything as soon as a server notices, perhaps before this client does: every break loses
   * every lock, so use it only where a fencing token guards. Default: claims and places are kept for a TTL, and the
   * client resumes on its own.
   */
  public HoldfastClientBuilder releaseOnDisconnect() {
    onDisconnect = OnDisconnect.ON_DISCONNECT_RELEASE;
    return this;
  }

  /**
   * The connection proves that this client lives, instead of heartbeats that the program sends: one that hangs keeps its
   * locks, and there is no validity deadline. gRPC for Java notices a silent connection only after 10 s and more. Default:
   * heartbeats, each third of the TTL.
   */
  public HoldfastClientBuilder transportLiveness() {
    liveness = Liveness.LIVENESS_TRANSPORT;
    return this;
  }

  /** Talks TLS. Default: no TLS, which is for loopback and networks that you trust. */
  public HoldfastClientBuilder tls(TlsOptions options) {
    Channels.check(options);
    tls = options;
    return this;
  }

  /** The program's name, shown to those who look. At most 128 bytes. Default: "java". */
  public HoldfastClientBuilder clientName(String name) {
    if (AcquireOptions.utf8(name).length > 128) throw invalid("clientName", "at most 128 bytes");
    clientName = name;
    return this;
  }

  /** Shown with the session, to be found by. At most 16; keys of 1 to 63 bytes, values of at most 255. */
  public HoldfastClientBuilder label(String key, String value) {
    if (key.isEmpty() || AcquireOptions.utf8(key).length > 63) throw invalid("label \"" + key + "\"", "1 to 63 bytes");
    if (AcquireOptions.utf8(value).length > 255) throw invalid("value of label \"" + key + "\"", "at most 255 bytes");
    labels.put(key, value);
    if (labels.size() > 16) throw invalid("labels", "at most 16");
    return this;
  }

  /**
   * How long to go without a server before an acquire fails. Default 10 s; from 100 ms. The failure says {@link
   * Reason#UNREACHABLE}, or what the last server said. Short: a restart of all servers shows as errors.
   */
  public HoldfastClientBuilder connectTimeout(Duration time) {
    connectTimeout = atLeast("connectTimeout", time, Duration.ofMillis(100));
    return this;
  }

  /** How long one look at locks may take, over all addresses. Default 5 s; from 100 ms. */
  public HoldfastClientBuilder callTimeout(Duration time) {
    callTimeout = atLeast("callTimeout", time, Duration.ofMillis(100));
    return this;
  }

  /**
   * How long {@code close} may take to tell a server. Default 2 s; from 0. When it has passed the locks go at the TTL
   * instead of at once.
   */
  public HoldfastClientBuilder closeTimeout(Duration time) {
    closeTimeout = atLeast("closeTimeout", time, Duration.ZERO);
    return this;
  }

  /**
   * Where listeners are called and futures complete. Not one that runs tasks on the thread that submits them: a listener
   * would hold up the heartbeats. Each task that it refuses gets a daemon thread of its own. Default: daemon threads of
   * the client's own, as many as are needed.
   */
  public HoldfastClientBuilder callbackExecutor(Executor executor) {
    callbackExecutor = Objects.requireNonNull(executor);
    return this;
  }

  /**
   * Asked at each acquire, on the thread that calls it, for the caller's place in a trace, as W3C Trace Context writes it; the
   * server's spans are then part of that trace. {@code null} or empty: none. With OpenTelemetry:
   *
   * <pre>{@code
   * () -> {
   *   Map<String, String> to = new HashMap<>();
   *   W3CTraceContextPropagator.getInstance().inject(Context.current(), to, Map::put);
   *   return to.get("traceparent");
   * }
   * }</pre>
   *
   * Default: none.
   */
  public HoldfastClientBuilder traceparent(Supplier<String> current) {
    traceparent = current;
    return this;
  }

  /** The client. It connects when it is first used. */
  public HoldfastClient build() {
    Open open = Open.newBuilder()
        .setTtl(Durations.of(ttl.toNanos()))
        .setOnDisconnect(onDisconnect)
        .setLiveness(liveness)
        .setClient(describeClient())
        .putAllLabels(labels)
        .build();
    Settings settings = new Settings(
        List.copyOf(addresses),
        open,
        tls,
        connectTimeout.toNanos(),
        callTimeout.toNanos(),
        closeTimeout.toNanos(),
        callbackExecutor,
        traceparent);
    Channels.checkAddresses(settings);
    return new HoldfastClient(settings);
  }

  private ClientInfo describeClient() {
    return ClientInfo.newBuilder()
        .setName(clientName == null ? "java" : clientName)
        .setHost(cut(hostName()))
        .setPid((int) ProcessHandle.current().pid())
        .setLanguage("java")
        .setVersion(VERSION)
        .build();
  }

  private static String hostName() {
    try {
      return InetAddress.getLocalHost().getHostName();
    } catch (UnknownHostException e) {
      return "";
    }
  }

  /** What was not chosen by the user must not be refused for its length. */
  private static String cut(String text) {
    ByteString bytes = ByteString.copyFromUtf8(text);
    return bytes.size() <= 128 ? text : text.substring(0, 128 / 3);
  }

  private static Duration atLeast(String setting, Duration time, Duration least) {
    if (time.compareTo(least) >= 0 && time.compareTo(Duration.ofDays(365)) < 0) return time;
    throw invalid(setting, time + " is not " + least + " or more, and less than a year");
  }

  private static HoldfastException invalid(String setting, String problem) {
    return HoldfastException.invalid(setting + ": " + problem);
  }
}
