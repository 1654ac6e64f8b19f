package io.holdfast.conformance;

import com.google.gson.JsonObject;
import java.util.Deque;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.LinkedBlockingQueue;

/** A thread that is in scopes of {@code withLock}, one within the other, and does what it is told to inside the innermost. */
final class ThreadOfControl {
  /** What a body throws because it was told to. */
  private static final class Thrown extends RuntimeException {
    private static final long serialVersionUID = 1L;

    Thrown(String message) {
      super(message);
    }
  }

  /** A scope, and whoever waits for its end. */
  static final class Scope {
    private boolean wasEntered;
    private final CompletableFuture<JsonObject> left = new CompletableFuture<>();
  }

  /** Runs a scope to its end. */
  interface Body {
    void run(Scope scope) throws Exception;
  }

  /** What the thread is to do next: open a scope within the present one, or end that. */
  private sealed interface Step {
    record Open(CompletableFuture<JsonObject> entered, Body body) implements Step {}

    record Leave(Optional<String> throwing) implements Step {}
  }

  private final ConformanceDriver driver;
  private final Thread thread;
  private final BlockingQueue<Step> steps = new LinkedBlockingQueue<>();
  /** Those that it is in and was not told to leave, innermost last. */
  private final Deque<Scope> scopes = new ConcurrentLinkedDeque<>();
  private volatile boolean isInLibrary;

  ThreadOfControl(String name, ConformanceDriver driver) {
    this.driver = driver;
    thread = new Thread(this::run, "thread-" + name);
    thread.setDaemon(true);
    thread.start();
  }

  CompletableFuture<JsonObject> enter(long id, JsonObject command) throws InterruptedException {
    CompletableFuture<JsonObject> entered = driver.scope(this, id, command);
    // The next command may be for the same client, and is to come after this one's call.
    while (!entered.isDone() && !(isInLibrary && isWaiting())) Thread.sleep(1);
    return entered;
  }

  private boolean isWaiting() {
    return thread.getState() == Thread.State.WAITING || thread.getState() == Thread.State.TIMED_WAITING;
  }

  void open(CompletableFuture<JsonObject> entered, Body body) {
    steps.add(new Step.Open(entered, body));
  }

  /** Completes when the innermost scope has ended, as it ended. */
  CompletableFuture<JsonObject> leave(Optional<String> throwing) {
    Scope scope = scopes.removeLast();
    steps.add(new Step.Leave(throwing));
    return scope.left;
  }

  void interrupt() {
    thread.interrupt();
  }

  private void run() {
    try {
      obey();
    } catch (InterruptedException end) {
      // The driver ends.
    }
  }

  /** It is inside a scope now: says so, and does there what it is told, until that is to leave. */
  void stayInside(Scope scope, Runnable sayEntered) throws InterruptedException {
    scope.wasEntered = true;
    scopes.addLast(scope);
    sayEntered.run();
    obey();
  }

  private void obey() throws InterruptedException {
    for (; ; ) {
      isInLibrary = false;
      Step step = steps.take();
      if (step instanceof Step.Open open) within(open);
      else if (step instanceof Step.Leave leave) {
        if (leave.throwing.isPresent()) throw new Thrown(leave.throwing.get());
        return;
      }
    }
  }

  private void within(Step.Open open) throws InterruptedException {
    Scope scope = new Scope();
    isInLibrary = true;
    try {
      open.body.run(scope);
      scope.left.complete(new JsonObject());
    } catch (Exception failure) {
      if (!scope.wasEntered) open.entered.completeExceptionally(failure);
      else if (failure instanceof Thrown) scope.left.complete(ConformanceDriver.object("threw", failure.getMessage()));
      else scope.left.completeExceptionally(failure);
    }
  }
}
