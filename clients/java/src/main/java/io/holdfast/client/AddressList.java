package io.holdfast.client;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.DoubleSupplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Where a service can be reached: what the program gave, and what servers tell of the others. The next one to try is
 * that which was tried longest ago, so that a server that has just failed or goes away is tried last.
 */
final class AddressList {
  private static final Pattern HOST_AND_PORT =
      Pattern.compile("(?:\\[[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(?:%[\\w.-]+)?]|[^:/\\s\\[\\]]+):(\\d{1,5})");

  private final Set<String> given;
  private final DoubleSupplier random;
  /** The next to try first. Never changed, but replaced. */
  private List<String> queue;
  /** The one that was tried last; {@code null}: none yet. */
  private String last;

  /**
   * Whether it is "host:port": a name or an IPv4 address, or what looks like an IPv6 address in brackets, and a port from 1
   * to 65535. Nothing that a server tells is anything else for gRPC: no other scheme, no path.
   */
  static boolean isHostAndPort(String address) {
    Matcher parts = HOST_AND_PORT.matcher(address);
    if (!parts.matches()) return false;
    int port = Integer.parseInt(parts.group(1));
    return port >= 1 && port <= 65_535;
  }

  /** Takes the given ones, at least one, in turn from a random one on. */
  AddressList(List<String> given, DoubleSupplier random) {
    this.given = new LinkedHashSet<>(given);
    this.random = random;
    int first = (int) (random.getAsDouble() * given.size());
    Set<String> inTurn = new LinkedHashSet<>(given.subList(first, given.size()));
    inTurn.addAll(given.subList(0, first));
    queue = List.copyOf(inTurn);
  }

  /** All that are known, the next to try first. */
  List<String> all() {
    return queue;
  }

  /** The next to try. It comes last from now on. */
  String next() {
    last = queue.get(0);
    List<String> turned = new ArrayList<>(queue.subList(1, queue.size()));
    turned.add(last);
    queue = List.copyOf(turned);
    return last;
  }

  /**
   * A server has told of the others: they replace those that were told of before, but for the one that was tried last,
   * which does not name itself. New ones are tried before all else, in random order, so that the clients of a server
   * that fails do not all go to the same one.
   */
  void learn(List<String> told) {
    Set<String> valid = new LinkedHashSet<>(told);
    valid.removeIf(address -> !isHostAndPort(address));
    Set<String> kept = new HashSet<>(given);
    kept.addAll(valid);
    kept.add(last);
    List<String> fresh = new ArrayList<>(valid);
    fresh.removeAll(queue);
    List<String> changed = new ArrayList<>();
    while (!fresh.isEmpty()) changed.add(fresh.remove((int) (random.getAsDouble() * fresh.size())));
    queue.stream().filter(kept::contains).forEach(changed::add);
    queue = List.copyOf(changed);
  }
}
