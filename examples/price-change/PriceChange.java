import io.holdfast.client.HoldfastClient;
import io.holdfast.client.HoldfastReadWriteLock;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * While a customer pays, somebody changes the price of the order. A payment is the price that was shown and the amount that
 * is charged: two reads, and both must be of the same price. A change writes the net price and the tax: two writes, and
 * nobody must see one without the other. Payments read side by side under the read lock; a change has the write lock.
 *
 * <p>Each of the five services has a client of its own, as on five machines.
 */
public final class PriceChange {
  /** The order, kept where several services read and write it. */
  private static final class Order {
    volatile int net = 100;
    volatile int tax = 19;
  }

  private static final Order order = new Order();

  /** All five begin together; payments are made for as long as prices change. */
  private static final CountDownLatch begin = new CountDownLatch(5);
  private static volatile boolean isOver;

  public static void main(String[] args) throws Exception {
    String server = System.getenv().getOrDefault("HOLDFAST_SERVER", "127.0.0.1:7400");
    boolean withLock = args.length == 0 || !args[0].equals("--without-lock");
    List<HoldfastClient> clients = new ArrayList<>();
    for (int i = 0; i < 5; i++) clients.add(HoldfastClient.connect(server));
    ExecutorService services = Executors.newFixedThreadPool(5);
    List<Future<Integer>> mixed = new ArrayList<>();
    for (int i = 0; i < 5; i++) {
      HoldfastReadWriteLock lock = clients.get(i).readWriteLock("orders/42/price");
      mixed.add(services.submit(i == 0 ? pricing(lock, withLock) : payments(lock, withLock)));
    }
    int count = 0;
    try {
      for (Future<Integer> each : mixed) count += each.get();
    } finally {
      services.shutdownNow();
      for (HoldfastClient client : clients) client.close();
    }
    System.out.println("200 price changes, payments all the while: " + (count == 0 ? "none" : "some") + " of mixed prices");
  }

  private static Callable<Integer> pricing(HoldfastReadWriteLock lock, boolean withLock) {
    return () -> {
      begin.countDown();
      begin.await();
      try {
        for (int change = 1; change <= 200; change++) {
          if (withLock) lock.writeLock().lock();
          try {
            order.net = 100 * (change % 7 + 1);
            Thread.sleep(1); // as long as a database takes
            order.tax = order.net * 19 / 100;
          } finally {
            if (withLock) lock.writeLock().unlock();
          }
        }
      } finally {
        isOver = true;
      }
      return 0;
    };
  }

  /** How many payments were of one price's net and another's tax. */
  private static Callable<Integer> payments(HoldfastReadWriteLock lock, boolean withLock) {
    return () -> {
      int mixed = 0;
      begin.countDown();
      begin.await();
      while (!isOver) {
        if (withLock) lock.readLock().lock();
        try {
          int net = order.net;
          Thread.sleep(1);
          if (order.tax != net * 19 / 100) mixed++;
        } finally {
          if (withLock) lock.readLock().unlock();
        }
      }
      return mixed;
    };
  }
}
