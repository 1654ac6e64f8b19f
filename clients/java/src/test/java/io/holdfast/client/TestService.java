package io.holdfast.client;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** Holdfast servers on an etcd, all processes of their own. Closing it ends them and removes what they kept. */
final class TestService implements AutoCloseable {
  /** Of the repository. */
  static final Path ROOT =
      Path.of(System.getProperty("basedir", System.getProperty("user.dir"))).resolve("../..").normalize().toAbsolutePath();

  private static final int PATIENCE_S = 60;

  private final Path folder;
  private final Process etcd;
  private final String etcdEndpoint;
  private final List<Server> servers = new ArrayList<>();

  private TestService() throws IOException, InterruptedException {
    folder = Files.createTempDirectory("holdfast-java-");
    String binary = lastLine(run(ROOT.resolve("tools/build.sh").toString(), "etcd"));
    int port = freePort();
    etcdEndpoint = "127.0.0.1:" + port;
    String peer = "http://127.0.0.1:" + freePort();
    etcd = new ProcessBuilder(
            binary,
            "--name=test",
            "--data-dir=" + folder.resolve("etcd"),
            "--listen-client-urls=http://" + etcdEndpoint,
            "--advertise-client-urls=http://" + etcdEndpoint,
            "--listen-peer-urls=" + peer,
            "--initial-advertise-peer-urls=" + peer,
            "--initial-cluster=test=" + peer,
            "--unsafe-no-fsync",
            "--log-level=error")
        .redirectErrorStream(true)
        .redirectOutput(folder.resolve("etcd.log").toFile())
        .start();
  }

  /** A service of one server. */
  static TestService start() {
    return start(1);
  }

  static TestService start(int serverCount) {
    try {
      TestService service = new TestService();
      try {
        for (int i = 0; i < serverCount; i++) service.startServer();
      } catch (IOException | InterruptedException | RuntimeException e) {
        service.close();
        throw e;
      }
      return service;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  /** Another server of the same service. */
  Server startServer(String... flags) throws IOException, InterruptedException {
    Server server = new Server(etcdEndpoint, folder.resolve("server-" + servers.size() + ".log"), flags);
    servers.add(server);
    server.untilServing();
    return server;
  }

  /** "host:port" of the first server. */
  String address() {
    return servers.get(0).address;
  }

  String[] addresses() {
    return servers.stream().map(server -> server.address).toArray(String[]::new);
  }

  Server server(int number) {
    return servers.get(number);
  }

  @Override
  public void close() {
    servers.forEach(Server::kill);
    etcd.destroyForcibly().onExit().join();
    try (Stream<Path> files = Files.walk(folder)) {
      files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** One server. */
  static final class Server {
    final String address;
    private final String readyz;
    private final Process process;
    private final Path log;

    private Server(String etcdEndpoint, Path log, String... flags) throws IOException {
      this.log = log;
      List<String> command = new ArrayList<>(List.of(
          node(),
          ROOT.resolve("clients/cli/main.ts").toString(),
          "server",
          "--etcd-endpoints",
          etcdEndpoint,
          "--grpc-address",
          "127.0.0.1:0",
          "--http-address",
          "127.0.0.1:0"));
      command.addAll(List.of(flags));
      process = new ProcessBuilder(command).redirectError(log.toFile()).start();
      BufferedReader output = process.inputReader(StandardCharsets.UTF_8);
      address = valueOf("gRPC ", output);
      readyz = valueOf("HTTP ", output).replaceFirst("^(http://)?", "http://") + "/readyz";
    }

    private String valueOf(String label, BufferedReader output) throws IOException {
      for (String line; (line = output.readLine()) != null; )
        if (line.startsWith(label)) return line.substring(label.length()).trim().split("\\s+")[0];
      throw new IllegalStateException("the server did not start: " + Files.readString(log));
    }

    private void untilServing() throws IOException, InterruptedException {
      HttpClient http = HttpClient.newHttpClient();
      HttpRequest request = HttpRequest.newBuilder(URI.create(readyz)).build();
      for (long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_S); System.nanoTime() < end; ) {
        String answer = http.send(request, HttpResponse.BodyHandlers.ofString()).body().trim();
        if (answer.equals("serving")) return;
        Thread.sleep(20);
      }
      throw new IllegalStateException("the server does not serve: " + Files.readString(log));
    }

    /** Ends it as a crash does. */
    void kill() {
      process.destroyForcibly().onExit().join();
    }

    /** Tells it to end in order, which takes a while. */
    void drain() {
      process.destroy();
    }

    void untilEnded() throws InterruptedException {
      exitOf(process);
    }

    void pause() {
      signal(process, "STOP");
    }

    void resume() {
      signal(process, "CONT");
    }
  }

  /** The Node that the project runs on. */
  static String node() {
    return ROOT.resolve("node_modules/.bin/node").toString();
  }

  static void signal(Process process, String name) {
    run("kill", "-" + name, String.valueOf(process.pid()));
  }

  /** How a process ends. It is ended if it does not. */
  static int exitOf(Process process) throws InterruptedException {
    if (process.waitFor(PATIENCE_S, TimeUnit.SECONDS)) return process.exitValue();
    process.destroyForcibly().onExit().join();
    throw new AssertionError("a process did not end within " + PATIENCE_S + " s");
  }

  /** What a command says on standard output. */
  static String run(String... command) {
    try {
      Process process =
          new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
      String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      if (process.waitFor() == 0) return output;
      throw new IllegalStateException(String.join(" ", command) + " ended with " + process.exitValue());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  private static String lastLine(String text) {
    List<String> lines = text.lines().toList();
    return lines.get(lines.size() - 1);
  }

  private static int freePort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0)) {
      return socket.getLocalPort();
    }
  }
}
