import io.holdfast.client.HeldLock;
import io.holdfast.client.HoldfastClient;
import io.holdfast.client.AcquireOptions;
import io.holdfast.client.ReleaseOutcome;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A process with many buyers, in Java: each takes the lock of the stock, looks what is left, and buys a piece if there is
 * one. All of them share one client, and so one session and one stream. demo/main.ts starts it, beside those in TypeScript
 * and Go, and talks with it by lines of JSON.
 */
public final class Buyers {
  private static final BufferedReader words = new BufferedReader(new InputStreamReader(System.in));
  private static final HttpClient http = HttpClient.newHttpClient();
  private static final AtomicBoolean isInTrouble = new AtomicBoolean();
  private static String order;
  private static HoldfastClient client;

  public static void main(String[] args) throws Exception {
    order = args[0];
    Duration ttl = Duration.ofMillis(Long.parseLong(field(order, "ttlMs")));
    client = HoldfastClient.builder(field(order, "server")).ttl(ttl).build();
    client.ready().join();
    tell("{\"kind\":\"ready\"}");
    hear();

    Queue<String> queue = new ConcurrentLinkedQueue<>();
    Matcher numbers = Pattern.compile("\\d+").matcher(field(order, "buyers"));
    while (numbers.find()) queue.add(numbers.group());
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < Integer.parseInt(field(order, "atOnce")); i++) threads.add(new Thread(() -> serve(queue)));
    for (Thread thread : threads) thread.start();
    for (Thread thread : threads) thread.join();
    client.close();
  }

  private static void serve(Queue<String> queue) {
    try {
      for (String buyer = queue.poll(); buyer != null; buyer = queue.poll()) {
        while (!visit(buyer)) {
          // Refused: again, at the end of the queue.
        }
      }
    } catch (Exception failure) {
      failure.printStackTrace();
      System.exit(1);
    }
  }

  /** Takes the lock, and buys. False: the store refused, since the lock was another's by then. */
  private static boolean visit(String buyer) throws Exception {
    long start = System.nanoTime();
    HeldLock lock = client.acquire("demo/stock", AcquireOptions.DEFAULTS.purpose("buyer " + buyer));
    tell("{\"kind\":\"granted\",\"waitedMs\":" + (System.nanoTime() - start) / 1e6 + "}");
    boolean done = buy(buyer, lock);
    if (lock.releaseAsync().join() == ReleaseOutcome.LOST) tell("{\"kind\":\"lost\"}");
    return done;
  }

  private static boolean buy(String buyer, HeldLock lock) throws Exception {
    String entered = store("enter", lock.token(), buyer, 0);
    if (field(entered, "kind").equals("stale")) return false;
    int left = Integer.parseInt(field(entered, "left"));
    boolean hasBought = Boolean.parseBoolean(field(entered, "hasBought"));
    boolean mayBuy = left > 0 && !hasBought;
    if (mayBuy) {
      if (!field(order, "trouble").isEmpty() && isInTrouble.compareAndSet(false, true)) {
        // It has the lock, and waits to be killed; or, after a pause that it does not notice, to go on.
        tell("{\"kind\":\"in-trouble\",\"token\":\"" + lock.token() + "\"}");
        hear();
      }
      boolean hadBeenTold = !lock.isHeld();
      // As if nothing had been: what holds is that the store refuses an old token.
      if (field(store("write", lock.token(), buyer, left - 1), "kind").equals("stale")) {
        tell("{\"kind\":\"refused\",\"hadBeenTold\":" + hadBeenTold + "}");
        return false;
      }
    }
    store("leave", lock.token(), buyer, 0);
    tell("{\"kind\":\"served\",\"buyer\":" + buyer + ",\"bought\":" + (mayBuy || hasBought) + "}");
    return true;
  }

  private static String store(String step, long token, String buyer, int left) throws Exception {
    String body =
        "{\"step\":\"" + step + "\",\"token\":\"" + token + "\",\"buyer\":" + buyer + ",\"left\":" + left + "}";
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(field(order, "store"))).POST(HttpRequest.BodyPublishers.ofString(body)).build();
    return http.send(request, HttpResponse.BodyHandlers.ofString()).body();
  }

  /** Waits for the next word of whoever started it; without one it has nobody to work for. */
  private static void hear() throws Exception {
    if (words.readLine() == null) System.exit(0);
  }

  private static synchronized void tell(String news) {
    System.out.println(news);
  }

  /** A field of a flat JSON object whose texts have nothing to escape; empty if it is not there. */
  private static String field(String json, String name) {
    Matcher found = Pattern.compile("\"" + name + "\":(\"([^\"]*)\"|\\[[^]]*]|[^,}]*)").matcher(json);
    if (!found.find()) return "";
    return found.group(2) != null ? found.group(2) : found.group(1);
  }
}
