package io.holdfast.conformance;

import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.holdfast.client.AcquireOptions;
import io.holdfast.client.ClaimView;
import io.holdfast.client.GrantedLock;
import io.holdfast.client.HeldLock;
import io.holdfast.client.HoldfastClient;
import io.holdfast.client.HoldfastClientBuilder;
import io.holdfast.client.HoldfastException;
import io.holdfast.client.Leader;
import io.holdfast.client.LeaderObserver;
import io.holdfast.client.Leadership;
import io.holdfast.client.LockChanges;
import io.holdfast.client.LockMode;
import io.holdfast.client.LockTarget;
import io.holdfast.client.LockView;
import io.holdfast.client.LockWatch;
import io.holdfast.client.LockWatcher;
import io.holdfast.client.ReleaseOutcome;
import io.holdfast.client.WatchTarget;
import io.holdfast.v1.LockServiceGrpc;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/**
 * The driver of the conformance suite for this language: obeys the commands of test/conformance/README.md with the
 * library as its users have it.
 */
public final class ConformanceDriver {
  private static final PrintStream OUTPUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);
  private static final Gson GSON = new com.google.gson.GsonBuilder().serializeNulls().create();

  private final Map<String, HoldfastClient> clients = new ConcurrentHashMap<>();
  private final Map<String, HeldLock> locks = new ConcurrentHashMap<>();
  private final Map<String, Leadership> led = new ConcurrentHashMap<>();
  private final Map<String, ThreadOfControl> threads = new ConcurrentHashMap<>();
  private final Map<String, LockWatch> watches = new ConcurrentHashMap<>();
  /** What {@code cancel} ends, by the id of the command. */
  private final Map<Long, Runnable> cancels = new ConcurrentHashMap<>();

  public static void main(String[] args) throws Exception {
    System.exit(new ConformanceDriver().obeyAll());
  }

  private int obeyAll() throws Exception {
    warmUp();
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = input.readLine()) != null; ) obey(JsonParser.parseString(line).getAsJsonObject());
    for (ThreadOfControl thread : threads.values()) thread.interrupt();
    List<CompletableFuture<Void>> closing = clients.values().stream().map(HoldfastClient::closeAsync).toList();
    for (CompletableFuture<Void> each : closing) each.get(8, TimeUnit.SECONDS);
    return leftBehind();
  }

  /**
   * Loads what a first connection needs, against a service that refuses everything: a second of work, which is a minute on
   * a machine that starts many drivers at once, and is not what scenarios with a time limit are about.
   */
  private static void warmUp() throws Exception {
    Server server = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
        .addService(new LockServiceGrpc.LockServiceImplBase() {})
        .build()
        .start();
    try (HoldfastClient client = HoldfastClient.connect("127.0.0.1:" + server.getPort())) {
      client.ready().handle((ready, refused) -> refused).get(60, TimeUnit.SECONDS);
    } finally {
      server.shutdownNow().awaitTermination(60, TimeUnit.SECONDS);
    }
  }

  /** What the library has left running; gRPC lets its own threads wait for a second. */
  private int leftBehind() throws InterruptedException {
    List<String> left = List.of();
    for (long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(15); System.nanoTime() < end; Thread.sleep(20)) {
      left = Thread.getAllStackTraces().keySet().stream()
          .map(Thread::getName)
          .filter(name -> name.startsWith("holdfast") || name.startsWith("grpc"))
          .toList();
      if (left.isEmpty()) return 0;
    }
    System.err.println("threads left behind: " + left);
    return 1;
  }

  // -- Commands --------------------------------------------------------------------------------------

  private void obey(JsonObject command) {
    long id = command.get("id").getAsLong();
    try {
      start(id, command).whenComplete((answer, failure) -> {
        cancels.remove(id);
        if (failure == null) tell(reply(id, "ok", answer));
        else fail(id, failure);
      });
    } catch (Exception failure) {
      fail(id, failure);
    }
  }

  private CompletableFuture<JsonObject> start(long id, JsonObject command) throws Exception {
    String op = text(command, "op");
    return switch (op) {
      case "hello" -> {
        JsonObject hello = new JsonObject();
        hello.addProperty("protocol", 1);
        hello.addProperty("language", "java");
        yield done(hello);
      }
      case "connect" -> {
        clients.put(text(command, "client"), connect(command));
        yield done();
      }
      case "session" -> {
        HoldfastClient client = client(command);
        yield client.ready().thenApply(ready -> object("session", client.sessionId().orElseThrow()));
      }
      case "close" -> client(command).closeAsync().thenApply(closed -> new JsonObject());
      case "acquire" -> {
        CompletableFuture<HeldLock> claim = client(command).acquireAsync(targets(command), options(id, command));
        cancels.put(id, () -> claim.cancel(false));
        yield claim.thenApply(lock -> granted(command, lock));
      }
      case "try" -> tried(command);
      case "cancel" -> {
        Optional.ofNullable(cancels.get(command.get("target").getAsLong())).ifPresent(Runnable::run);
        yield done();
      }
      case "release" -> lock(command).releaseAsync().thenApply(ConformanceDriver::outcome);
      case "update" -> lock(command).updateAsync(bytes(command)).thenApply(updated -> new JsonObject());
      case "state" -> done(state(lock(command)));
      case "untilLost" -> {
        CompletableFuture<JsonObject> lost = new CompletableFuture<>();
        lock(command).onLost(loss -> {
          JsonObject answer = object("reason", loss.reason().toString());
          answer.addProperty("atNs", nowNs());
          lost.complete(answer);
        });
        yield lost;
      }
      case "enter" -> thread(command).enter(id, command);
      case "leave" -> thread(command).leave(optional(command, "throwing"));
      case "campaign" -> {
        CompletableFuture<Leadership> campaign =
            client(command).election(text(command, "election")).campaignAsync(options(id, command));
        cancels.put(id, () -> campaign.cancel(false));
        yield campaign.thenApply(leadership -> {
          led.put(text(command, "as"), leadership);
          return grant(leadership.lock());
        });
      }
      case "proclaim" -> leadership(command).lock().updateAsync(bytes(command)).thenApply(told -> new JsonObject());
      case "resign" -> leadership(command).resign().thenApply(ConformanceDriver::outcome);
      case "leader" -> client(command).getLockAsync(text(command, "election"), 1).thenApply(view -> {
        JsonObject answer = new JsonObject();
        answer.add("leader", leader(client(command).election(text(command, "election")).leader()));
        return answer;
      });
      case "observe" -> observe(command);
      case "getLock" -> client(command)
          .getLockAsync(text(command, "name"), number(command, "maxClaims").orElse(100L).intValue())
          .thenApply(ConformanceDriver::lockView);
      case "listLocks" -> CompletableFuture.supplyAsync(() -> listLocks(command), ConformanceDriver::inThread);
      case "watch" -> watch(command);
      case "stop" -> {
        watches.get(text(command, "as")).close();
        yield done();
      }
      case "checkToken" -> client(command)
          .checkTokenAsync(text(command, "name"), Long.parseLong(text(command, "token")))
          .thenApply(view -> object("state", word(view.state())));
      case "block" -> CompletableFuture.supplyAsync(() -> block(command), ConformanceDriver::inThread);
      default -> throw new IllegalArgumentException("no operation \"" + op + "\"");
    };
  }

  private HoldfastClient connect(JsonObject command) {
    List<String> addresses = new ArrayList<>();
    for (JsonElement address : command.getAsJsonArray("addresses")) addresses.add(address.getAsString());
    HoldfastClientBuilder builder = HoldfastClient.builder(addresses.toArray(String[]::new));
    millis(command, "ttlMs").ifPresent(builder::ttl);
    millis(command, "connectTimeoutMs").ifPresent(builder::connectTimeout);
    millis(command, "callTimeoutMs").ifPresent(builder::callTimeout);
    millis(command, "closeTimeoutMs").ifPresent(builder::closeTimeout);
    optional(command, "clientName").ifPresent(builder::clientName);
    optional(command, "traceparent").ifPresent(place -> builder.traceparent(() -> place));
    if (optional(command, "onDisconnect").equals(Optional.of("release"))) builder.releaseOnDisconnect();
    if (optional(command, "liveness").equals(Optional.of("transport"))) builder.transportLiveness();
    if (command.has("labels"))
      command.getAsJsonObject("labels").entrySet().forEach(label -> builder.label(label.getKey(), label.getValue().getAsString()));
    return builder.build();
  }

  private CompletableFuture<JsonObject> tried(JsonObject command) throws Exception {
    // The idiom waits for an answer, which takes no longer than any other.
    HoldfastClient client = client(command);
    List<LockTarget> targets = targets(command);
    return CompletableFuture.supplyAsync(
        () -> {
          try {
            Optional<HeldLock> lock = client.tryAcquire(targets, AcquireOptions.DEFAULTS);
            JsonObject answer = lock.map(held -> granted(command, held)).orElseGet(JsonObject::new);
            answer.addProperty("held", lock.isPresent());
            return answer;
          } catch (InterruptedException e) {
            throw new CancellationException();
          }
        },
        ConformanceDriver::inThread);
  }

  private JsonObject granted(JsonObject command, HeldLock lock) {
    locks.put(text(command, "as"), lock);
    return grant(lock);
  }

  private CompletableFuture<JsonObject> observe(JsonObject command) {
    String as = text(command, "as");
    watches.put(as, client(command).election(text(command, "election")).observe(new LeaderObserver() {
      @Override
      public void leads(Optional<Leader> leader) {
        JsonObject event = event("leader", as);
        event.add("leader", leader(leader));
        tell(event);
      }

      @Override
      public void failed(HoldfastException error) {
        tellFailed(as, error);
      }
    }));
    return done();
  }

  private CompletableFuture<JsonObject> watch(JsonObject command) {
    String as = text(command, "as");
    WatchTarget target = optional(command, "name")
        .map(WatchTarget::name)
        .orElseGet(() -> WatchTarget.prefix(optional(command, "prefix").orElse("")))
        .withWaiters(number(command, "maxWaiters").orElse(0L).intValue());
    watches.put(as, client(command).watchLocks(target, new LockWatcher() {
      @Override
      public void changed(LockChanges changes) {
        JsonObject event = event("change", as);
        event.add("locks", array(changes.locks(), ConformanceDriver::lockView));
        event.addProperty("caughtUp", changes.isCaughtUp());
        tell(event);
      }

      @Override
      public void failed(HoldfastException error) {
        tellFailed(as, error);
      }
    }));
    return done();
  }

  private JsonObject listLocks(JsonObject command) {
    String prefix = optional(command, "prefix").orElse("");
    Optional<LockView.State> state =
        optional(command, "state").map(word -> LockView.State.valueOf(word.toUpperCase(Locale.ROOT)));
    HoldfastClient client = client(command);
    List<LockView> all =
        (state.isPresent() ? client.listLocks(prefix, state.get()) : client.listLocks(prefix)).toList();
    JsonObject answer = new JsonObject();
    answer.add("locks", array(all, ConformanceDriver::lockView));
    return answer;
  }

  /** Stops this whole process, after having started one that lets it go on. */
  private JsonObject block(JsonObject command) {
    HeldLock lock = lock(command);
    long forMs = command.get("forMs").getAsLong();
    long pid = ProcessHandle.current().pid();
    String script = "sleep 0.1; kill -STOP %d; sleep %d.%03d; kill -CONT %d".formatted(pid, forMs / 1000, forMs % 1000, pid);
    long endNs = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(100 + forMs);
    Long lastHeldNs = null;
    try {
      new ProcessBuilder("sh", "-c", script).start();
      for (long nowNs; (nowNs = System.nanoTime()) < endNs; Thread.sleep(1)) if (lock.isHeld()) lastHeldNs = nowNs;
    } catch (IOException | InterruptedException e) {
      throw new IllegalStateException(e);
    }
    JsonObject answer = object("atNs", nowNs());
    answer.addProperty("lastHeldNs", lastHeldNs == null ? null : lastHeldNs.toString());
    return answer;
  }

  // -- Threads of control ----------------------------------------------------------------------------

  private ThreadOfControl thread(JsonObject command) {
    return threads.computeIfAbsent(text(command, "thread"), name -> new ThreadOfControl(name, this));
  }

  /** What {@code enter} does on a thread of control. */
  CompletableFuture<JsonObject> scope(ThreadOfControl thread, long id, JsonObject command) {
    CompletableFuture<JsonObject> entered = new CompletableFuture<>();
    HoldfastClient client = client(command);
    List<LockTarget> targets = targets(command);
    AcquireOptions options = options(id, command);
    cancels.put(id, thread::interrupt);
    thread.open(entered, scope -> client.withLock(targets, options, lock -> {
      // From here on interrupting it would be for nothing.
      cancels.remove(id);
      thread.stayInside(scope, () -> entered.complete(granted(command, lock)));
      return null;
    }));
    return entered;
  }

  // -- Between the protocol and the library ----------------------------------------------------------

  private HoldfastClient client(JsonObject command) {
    return Optional.ofNullable(clients.get(text(command, "client"))).orElseThrow();
  }

  private HeldLock lock(JsonObject command) {
    String as = text(command, "as");
    return Optional.ofNullable(locks.get(as)).orElseGet(() -> leadership(command).lock());
  }

  private Leadership leadership(JsonObject command) {
    return Optional.ofNullable(led.get(text(command, "as"))).orElseThrow();
  }

  private static List<LockTarget> targets(JsonObject command) {
    List<LockTarget> targets = new ArrayList<>();
    for (JsonElement each : command.getAsJsonArray("locks")) {
      JsonObject lock = each.getAsJsonObject();
      String name = text(lock, "name");
      targets.add(switch (optional(lock, "mode").orElse("exclusive")) {
        case "shared" -> LockTarget.shared(name);
        case "semaphore" -> LockTarget.semaphore(
            name, number(lock, "permits").orElse(1L).intValue(), number(lock, "limit").orElse(0L).intValue());
        default -> LockTarget.exclusive(name);
      });
    }
    return targets;
  }

  private static AcquireOptions options(long id, JsonObject command) {
    AcquireOptions options = AcquireOptions.DEFAULTS.onWaiting(place -> {
      JsonObject event = object("event", "waiting");
      event.addProperty("id", id);
      event.addProperty("lock", place.lock());
      event.addProperty("position", place.position());
      event.add("holders", array(place.holders(), ConformanceDriver::claim));
      event.addProperty("holderCount", place.holderCount());
      tell(event);
    });
    Optional<Duration> wait = millis(command, "waitMs");
    if (wait.isPresent()) options = options.waitUpTo(wait.get());
    if (optional(command, "purpose").isPresent()) options = options.purpose(text(command, "purpose"));
    if (optional(command, "value").isPresent()) options = options.value(text(command, "value"));
    if (command.has("reentrant")) options = options.reentrant(command.get("reentrant").getAsBoolean());
    return options;
  }

  private static JsonObject grant(HeldLock lock) {
    JsonObject grant = object("token", String.valueOf(lock.token()));
    JsonArray tokens = new JsonArray();
    for (GrantedLock each : lock.locks()) tokens.add(String.valueOf(each.token()));
    grant.add("tokens", tokens);
    lock.previous().ifPresent(previous -> {
      JsonObject before = object("token", String.valueOf(previous.token()));
      before.addProperty("end", word(previous.end()));
      grant.add("previous", before);
    });
    grant.addProperty("atNs", nowNs());
    return grant;
  }

  private static JsonObject state(HeldLock lock) {
    JsonObject state = new JsonObject();
    state.addProperty("held", lock.isHeld());
    state.addProperty("remainingMs", Math.min(Long.MAX_VALUE / 1_000_000, lock.remaining().getSeconds()) * 1000L
        + lock.remaining().toMillisPart());
    state.addProperty("loss", lock.loss().map(loss -> loss.reason().toString()).orElse(null));
    return state;
  }

  private static JsonObject outcome(ReleaseOutcome outcome) {
    return object("was", word(outcome));
  }

  private static JsonObject claim(ClaimView claim) {
    JsonObject json = object("session", claim.sessionId());
    json.addProperty("token", String.valueOf(claim.token()));
    json.addProperty("held", claim.isHeld());
    json.addProperty("mode", word(claim.mode()));
    json.addProperty("permits", claim.permits());
    json.addProperty("lockCount", claim.lockCount());
    json.addProperty("purpose", claim.purpose());
    json.addProperty("value", utf8(claim.value()));
    claim.client().ifPresent(client -> json.addProperty("client", client.name()));
    return json;
  }

  private static JsonObject lockView(LockView lock) {
    JsonObject json = object("name", lock.name());
    json.addProperty("state", word(lock.state()));
    json.addProperty("mode", lock.mode().map((LockMode mode) -> word(mode)).orElse(null));
    json.addProperty("limit", lock.limit());
    json.addProperty("permitsHeld", lock.permitsHeld());
    json.addProperty("holderCount", lock.holderCount());
    json.addProperty("waiterCount", lock.waiterCount());
    json.add("holders", array(lock.holders(), ConformanceDriver::claim));
    json.add("waiters", array(lock.waiters(), ConformanceDriver::claim));
    return json;
  }

  private static JsonElement leader(Optional<Leader> leader) {
    if (leader.isEmpty()) return JsonNull.INSTANCE;
    JsonObject json = object("token", String.valueOf(leader.get().token()));
    json.addProperty("value", leader.get().text());
    json.addProperty("session", leader.get().sessionId());
    return json;
  }

  private static JsonObject error(HoldfastException error) {
    JsonObject json = object("reason", error.reason().toString());
    json.addProperty("message", error.getMessage());
    json.addProperty("lock", error.lock());
    json.add("holders", array(error.holders(), ConformanceDriver::claim));
    json.addProperty("holderCount", error.holderCount());
    return json;
  }

  // -- Words -----------------------------------------------------------------------------------------

  private static void fail(long id, Throwable failure) {
    Throwable cause = failure;
    while ((cause instanceof CompletionException || cause instanceof ExecutionException) && cause.getCause() != null)
      cause = cause.getCause();
    if (cause instanceof HoldfastException known) tell(reply(id, "error", error(known)));
    else if (cause instanceof CancellationException || cause instanceof InterruptedException)
      tell(reply(id, "error", object("reason", "aborted")));
    else {
      StringWriter trace = new StringWriter();
      cause.printStackTrace(new PrintWriter(trace));
      JsonObject fault = new JsonObject();
      fault.addProperty("id", id);
      fault.addProperty("fault", trace.toString());
      tell(fault);
    }
  }

  private static JsonObject reply(long id, String kind, JsonObject answer) {
    JsonObject reply = new JsonObject();
    reply.addProperty("id", id);
    reply.add(kind, answer);
    return reply;
  }

  private static JsonObject event(String event, String as) {
    JsonObject json = object("event", event);
    json.addProperty("as", as);
    return json;
  }

  private static void tellFailed(String as, HoldfastException error) {
    JsonObject event = event("failed", as);
    event.add("error", error(error));
    tell(event);
  }

  private static void tell(JsonObject line) {
    synchronized (OUTPUT) {
      OUTPUT.println(GSON.toJson(line));
      OUTPUT.flush();
    }
  }

  private static CompletableFuture<JsonObject> done() {
    return done(new JsonObject());
  }

  private static CompletableFuture<JsonObject> done(JsonObject answer) {
    return CompletableFuture.completedFuture(answer);
  }

  private static void inThread(Runnable task) {
    Thread thread = new Thread(task, "driver");
    thread.setDaemon(true);
    thread.start();
  }

  static JsonObject object(String name, String value) {
    JsonObject json = new JsonObject();
    json.addProperty(name, value);
    return json;
  }

  private static <T> JsonArray array(List<T> items, java.util.function.Function<T, JsonObject> toJson) {
    JsonArray array = new JsonArray();
    for (T item : items) array.add(toJson.apply(item));
    return array;
  }

  private static String text(JsonObject json, String name) {
    return json.get(name).getAsString();
  }

  private static Optional<String> optional(JsonObject json, String name) {
    return json.has(name) && !json.get(name).isJsonNull() ? Optional.of(text(json, name)) : Optional.empty();
  }

  private static Optional<Long> number(JsonObject json, String name) {
    return optional(json, name).map(text -> (long) Double.parseDouble(text));
  }

  private static Optional<Duration> millis(JsonObject json, String name) {
    return optional(json, name).map(text -> Duration.ofNanos(Math.round(Double.parseDouble(text) * 1e6)));
  }

  private static byte[] bytes(JsonObject command) {
    return text(command, "value").getBytes(StandardCharsets.UTF_8);
  }

  private static String utf8(ByteString bytes) {
    return bytes.toStringUtf8();
  }

  private static String word(Enum<?> constant) {
    return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  private static String nowNs() {
    return String.valueOf(System.nanoTime());
  }
}
