package io.holdfast.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.holdfast.v1.GrantedLock;
import io.holdfast.v1.SessionCommand;
import io.holdfast.v1.SessionEvent;
import io.holdfast.v1.Waiting;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("The session machine in the hands of chance")
class SessionWalkTest {
  private static final int WALKS = 400;
  private static final int STEPS = 300;

  private enum State {
    DIALED,
    CONNECTED,
    GONE
  }

  private static final class Stream {
    State state = State.DIALED;
    /** On their way, in order. */
    final List<SessionCommand> toServer = new ArrayList<>();

    final List<SessionEvent> toClient = new ArrayList<>();
  }

  private enum Claim {
    WANTED,
    HELD,
    RELEASED
  }

  /** A session machine, a network and a server; each step is followed by the checks. */
  static final class Walk implements SessionEffects {
    private final Random random;
    private final MachineRun run;
    private final ModelServer server;
    private final Map<Integer, Stream> streams = new LinkedHashMap<>();
    /** What each claim's owner was told last; claims that ended are not here. */
    private final Map<Long, Claim> claims = new LinkedHashMap<>();
    /** Claims that an administrator ended. */
    private final Set<Long> forced = new HashSet<>();
    final Map<String, Integer> counts = new HashMap<>();
    private boolean isClosed;

    Walk(long seed) {
      random = new Random(seed);
      run = MachineRun.setup().addresses("a:1", "b:1").random(random::nextDouble).run();
      run.also = this;
      server = new ModelServer(probability -> random.nextDouble() < probability);
    }

    void wants(long claimId) {
      claims.put(claimId, Claim.WANTED);
    }

    void step() {
      double dice = random.nextDouble() * 100;
      if (dice < 12) acquire();
      else if (dice < 24) giveUp();
      else if (dice < 30) withAny(held(), id -> run.update(id, "value"));
      else if (dice < 45) run.pass(random.nextDouble() * 2000);
      else if (dice < 48) run.block(random.nextDouble() * 8000);
      else if (dice < 49) run.wallNanos += MachineRun.ms(random.nextDouble() * 1500);
      else if (dice < 60) withAny(inState(State.DIALED), this::connect);
      else if (dice < 75) withAny(inState(State.CONNECTED), this::serve);
      else if (dice < 92) withAny(inState(State.CONNECTED), this::deliver);
      else if (dice < 94) withAny(inState(State.CONNECTED), this::breakStream);
      else if (dice < 98) withAny(inState(State.CONNECTED), this::decide);
      else withAny(inState(State.CONNECTED), no -> streams.get(no).toClient.add(Says.draining("c:1")));
      settle();
    }

    private void acquire() {
      switch (random.nextInt(3)) {
        case 0 -> run.acquire("x");
        case 1 -> run.acquireFor("x", 0);
        default -> run.acquireFor("x", random.nextDouble() * 20_000);
      }
    }

    private void giveUp() {
      // As the client does: whether it is lost is found out first.
      run.tick();
      settle();
      withAny(List.copyOf(claims.keySet()), this::release);
    }

    private void release(long claimId) {
      claims.put(claimId, Claim.RELEASED);
      run.release(claimId);
    }

    private void connect(int streamNo) {
      if (random.nextDouble() < 0.2) {
        breakStream(streamNo);
        return;
      }
      streams.get(streamNo).state = State.CONNECTED;
      run.connected(streamNo);
    }

    /** Some of what is on its way arrives at the server. */
    private void serve(int streamNo) {
      Stream stream = streams.get(streamNo);
      for (SessionCommand command : some(stream.toServer))
        stream.toClient.addAll(server.command(streamNo, command, run.nowNanos));
    }

    /** Some of what is on its way arrives at the client. */
    private void deliver(int streamNo) {
      SessionEvent[] events = some(streams.get(streamNo).toClient).toArray(SessionEvent[]::new);
      if (events.length > 0) run.receive(streamNo, events);
    }

    private <T> List<T> some(List<T> queue) {
      List<T> first = queue.subList(0, Math.min(queue.size(), 1 + random.nextInt(5)));
      List<T> taken = List.copyOf(first);
      first.clear();
      return taken;
    }

    private void breakStream(int streamNo) {
      count("broken");
      streams.get(streamNo).state = State.GONE;
      run.breaks(streamNo);
    }

    /** The server grants, denies or ends a claim by itself. */
    private void decide(int streamNo) {
      ModelServer.Session session = server.sessionOn(streamNo);
      if (session == null) return;
      withAny(List.copyOf(session.claims.keySet()), id -> {
        boolean isForced = random.nextDouble() < 0.3;
        if (isForced) forced.add(id);
        streams.get(streamNo).toClient.addAll(isForced ? server.end(session, id) : server.grant(session, id));
      });
    }

    /** What may never happen. */
    private void settle() {
      run.flush();
      server.expire(run.nowNanos);
      for (long claimId : run.machine.heldAt(run.at())) {
        assertEquals(Claim.HELD, claims.get(claimId));
        checkKept(run.machine.sessionId(), claimId);
      }
    }

    /** What the client believes to hold, the server keeps for it, unless an administrator took it away. */
    private void checkKept(String sessionId, long claimId) {
      ModelServer.Session session = server.sessions.get(sessionId);
      assertNotNull(session, () -> "claim " + claimId + " is held in " + sessionId + ", which has ended");
      if (!forced.contains(claimId)) assertEquals(true, session.claims.get(claimId));
    }

    private List<Long> held() {
      return claims.entrySet().stream().filter(each -> each.getValue() == Claim.HELD).map(Map.Entry::getKey).toList();
    }

    private List<Integer> inState(State state) {
      return streams.entrySet().stream()
          .filter(each -> each.getValue().state == state)
          .map(Map.Entry::getKey)
          .toList();
    }

    private <T> void withAny(List<T> all, Consumer<T> action) {
      if (!all.isEmpty()) action.accept(all.get(random.nextInt(all.size())));
    }

    private void count(String what) {
      counts.merge(what, 1, Integer::sum);
    }

    /** Everything that is sent arrives, and everything that waits is granted. */
    private void calm(double timeMs) {
      for (long end = run.nowNanos + MachineRun.ms(timeMs); run.nowNanos < end; run.pass(250)) {
        for (int streamNo : inState(State.DIALED)) {
          streams.get(streamNo).state = State.CONNECTED;
          run.connected(streamNo);
          settle();
        }
        for (int streamNo : inState(State.CONNECTED)) {
          if (!streams.containsKey(streamNo)) continue;
          serve(streamNo);
          ModelServer.Session session = server.sessionOn(streamNo);
          if (session != null)
            for (Map.Entry<Long, Boolean> claim : List.copyOf(session.claims.entrySet()))
              if (!claim.getValue()) streams.get(streamNo).toClient.addAll(server.grant(session, claim.getKey()));
          deliver(streamNo);
          settle();
        }
      }
      settle();
    }

    /** After the calm nobody waits in vain, nothing is left behind, and the machine wants nothing more. */
    void end() {
      calm(60_000);
      assertEquals(Map.of(), without(Claim.HELD));
      for (long claimId : List.copyOf(claims.keySet())) release(claimId);
      calm(10_000);
      assertEquals(Map.of(), claims);
      run.close();
      calm(20_000);
      assertTrue(isClosed);
      assertEquals(Map.of(), server.sessions);
      assertEquals(Double.POSITIVE_INFINITY, run.wakesInMs());
    }

    private Map<Long, Claim> without(Claim state) {
      Map<Long, Claim> rest = new TreeMap<>(claims);
      rest.values().removeIf(each -> each == state);
      return rest;
    }

    // -- What the machine wants ----------------------------------------------------------------------

    @Override
    public void dial(int streamNo, String address) {
      count("dial");
      streams.put(streamNo, new Stream());
    }

    @Override
    public void send(int streamNo, List<SessionCommand> commands) {
      Stream stream = streams.get(streamNo);
      assertTrue(stream.state != State.DIALED);
      if (stream.state == State.CONNECTED) stream.toServer.addAll(commands);
      for (SessionCommand command : commands)
        count(command.hasOpen() && command.getOpen().hasResume() ? "resume" : command.getCommandCase().name());
    }

    @Override
    public void abandon(int streamNo) {
      count("abandon");
      Stream stream = streams.remove(streamNo);
      assertNotNull(stream);
      // What was sent still goes out, or is lost with the connection; nothing comes back that counts.
      if (stream.state == State.CONNECTED && random.nextDouble() < 0.7)
        for (SessionCommand command : stream.toServer) server.command(streamNo, command, run.nowNanos);
    }

    @Override
    public void opened() {}

    @Override
    public void notOpened(Failure why) {}

    @Override
    public void waiting(long claimId, Waiting place) {
      becomes("waiting", claimId, Claim.WANTED, Claim.WANTED);
    }

    @Override
    public void granted(long claimId, List<GrantedLock> locks) {
      becomes("granted", claimId, Claim.WANTED, Claim.HELD);
    }

    @Override
    public void denied(long claimId, Denial denial) {
      becomes("denied", claimId, Claim.WANTED, null);
    }

    @Override
    public void lost(long claimId, Failure why) {
      becomes("lost", claimId, Claim.HELD, null);
    }

    @Override
    public void released(long claimId) {
      becomes("released", claimId, Claim.RELEASED, null);
    }

    @Override
    public void updated(long claimId, int count, Failure why) {
      becomes("updated", claimId, Claim.HELD, Claim.HELD);
    }

    @Override
    public void closed() {
      isClosed = true;
    }

    private void becomes(String how, long claimId, Claim from, Claim to) {
      count(how);
      assertEquals(from, claims.get(claimId), () -> how + " " + claimId);
      if (to == null) claims.remove(claimId);
      else claims.put(claimId, to);
    }
  }

  @Test
  @DisplayName("keeps its promises on 400 random walks, whatever breaks, comes late or stands still")
  void keepsItsPromises() {
    Map<String, Integer> counts = new HashMap<>();
    for (long seed = 1; seed <= WALKS; seed++) {
      Walk walk = new Walk(seed);
      try {
        for (int step = 0; step < STEPS; step++) walk.step();
        walk.end();
      } catch (RuntimeException | AssertionError error) {
        throw new AssertionError("seed " + seed + ": " + error.getMessage(), error);
      }
      walk.counts.forEach((what, count) -> counts.merge(what, count, Integer::sum));
    }
    // What did not happen was not tried.
    for (String what : List.of(
        "OPEN", "resume", "granted", "denied", "lost", "released", "updated", "abandon", "broken", "CLOSE"))
      assertTrue(counts.getOrDefault(what, 0) > WALKS / 3, () -> what + " happened " + counts.get(what) + " times");
  }
}
