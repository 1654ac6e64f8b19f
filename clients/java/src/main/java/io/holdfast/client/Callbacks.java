package io.holdfast.client;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Where the program's own code is called: never on the thread that keeps the session alive, which would forget its
 * heartbeats meanwhile.
 */
final class Callbacks implements Executor {
  private final Executor executor;
  /** {@code null}: the program's own, which is not ended here. */
  private final ThreadPoolExecutor pool;

  /** {@code null}: threads of its own, made when needed and gone a second later. */
  Callbacks(Executor given) {
    pool = given == null ? newPool() : null;
    executor = given == null ? pool : given;
  }

  private static ThreadPoolExecutor newPool() {
    AtomicInteger count = new AtomicInteger();
    return new ThreadPoolExecutor(
        0,
        Integer.MAX_VALUE,
        1,
        TimeUnit.SECONDS,
        new SynchronousQueue<>(),
        task -> newThread(task, "holdfast-callback-" + count.incrementAndGet()));
  }

  private static Thread newThread(Runnable task, String name) {
    Thread thread = new Thread(task, name);
    thread.setDaemon(true);
    return thread;
  }

  /**
   * On a thread of its own when the client was closed, or the executor refuses: no word is lost, and the caller may be
   * the session's thread.
   */
  @Override
  public void execute(Runnable task) {
    try {
      executor.execute(task);
    } catch (RejectedExecutionException ended) {
      newThread(task, "holdfast-callback").start();
    }
  }

  /** What it is called for still comes; threads that have nothing to do end. */
  void shutdown() {
    if (pool != null) pool.shutdown();
  }

  /** A future for the program, which may do what it likes in its continuations. Failures come unwrapped. */
  <T> CompletableFuture<T> publish(CompletableFuture<T> inner) {
    CompletableFuture<T> outer = new CompletableFuture<>();
    inner.whenCompleteAsync(
        (result, failure) -> {
          if (failure == null) outer.complete(result);
          else outer.completeExceptionally(failure);
        },
        this);
    return outer;
  }

  /** Runs the program's code; what it throws goes where exceptions of threads go. */
  static void guarded(Runnable task) {
    try {
      task.run();
    } catch (Throwable thrown) {
      Thread thread = Thread.currentThread();
      thread.getUncaughtExceptionHandler().uncaughtException(thread, thrown);
    }
  }
}
