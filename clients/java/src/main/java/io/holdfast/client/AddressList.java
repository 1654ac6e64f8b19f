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
  /** The schemes of gRPC's own: "unix:7400" is a file. */
  private static final Pattern SCHEME = Pattern.compile("(dns|unix|unix-abstract|ipv4|ipv6|passthrough|vsock|xds):.*");

  /** A host, in brackets if it looks like an IPv6 address, and what looks like a port. */
  private static final Pattern HOST_AND_PORT =
      Pattern.compile("(?:\\[[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(?:%[\\w.-]+)?]|[^:/\\s\\[\\]]+):(\\d{1,5})");

  private final Set<String> given;
  private final DoubleSupplier random;
  /** The next to try first. Never changed, but replaced. */
  private List<String> queue;
  /** What a server told last. */
  private Set<String> told = Set.of();
  /** Those of the queue that were tried. */
  private final Set<String> tried = new HashSet<>();
  /** The one that was tried last; {@code null}: none yet. */
  private String last;
  /** Where the client is; {@code null}: nowhere yet. */
  private String current;

  /**
   * Whether it is "host:port": a name or an IPv4 address, or what looks like an IPv6 address in brackets, and a port from 1
   * to 65535. Nothing that a server tells is anything else for gRPC: no other scheme, no path.
   */
  static boolean isHostAndPort(String address) {
    Matcher parts = HOST_AND_PORT.matcher(address);
    if (!parts.matches() || SCHEME.matcher(address).matches()) return false;
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
    tried.add(last);
    return last;
  }

  /** The client is now where it tried last. */
  void arrived() {
    current = last;
  }

  /**
   * A server has told of the others; what is not "host:port" is left out. Those that it does not name any more are
   * forgotten when they are not named the next time either, for one that restarts is away for a moment; but never the
   * program's own, nor that where the client is, which does not name itself. What is new is tried before all that was
   * tried, and at a random place among what was not, so that the clients of a server that fails do not all go to the same
   * one.
   */
  void learn(List<String> servers) {
    Set<String> named = new LinkedHashSet<>(servers);
    named.removeIf(address -> !isHostAndPort(address));
    List<String> first = new ArrayList<>();
    List<String> rest = new ArrayList<>();
    List<String> unnamed = new ArrayList<>();
    for (String address : queue) {
      if (named.contains(address) && !tried.contains(address)) first.add(address);
      else if (named.contains(address) || given.contains(address)) rest.add(address);
      else if (told.contains(address) || address.equals(last) || address.equals(current)) unnamed.add(address);
    }
    for (String address : named)
      if (!queue.contains(address)) first.add((int) (random.getAsDouble() * (first.size() + 1)), address);
    rest.addAll(unnamed);
    tried.retainAll(rest);
    told = named;
    first.addAll(rest);
    queue = List.copyOf(first);
  }
}
