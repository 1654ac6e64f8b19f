package io.holdfast.client;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

@DisplayName("1,000 threads that contend for one lock")
class ContentionTest {
  private static final Path INSTALLED = Path.of("/usr/lib/jvm");

  @ParameterizedTest(name = "{1} threads of {0}")
  @MethodSource("runtimes")
  void allGetItOneAtATimeAndLeaveNoThreadBehind(Path java, String kind) {
    try (TestService service = TestService.start()) {
      String output = TestService.run(
          java.resolve("bin/java").toString(),
          "-cp",
          System.getProperty("java.class.path"),
          Contention.class.getName(),
          service.address(),
          "1000",
          kind);
      System.out.print(output);
      assertTrue(output.contains("1000 " + kind + " threads contended"), output);
    }
  }

  /** This Java, and each that is installed and has virtual threads. */
  static Stream<Arguments> runtimes() throws IOException {
    Path own = Path.of(System.getProperty("java.home"));
    Stream<Path> installed = Files.isDirectory(INSTALLED) ? Files.list(INSTALLED) : Stream.of();
    Stream<Arguments> virtual = Stream.concat(Stream.of(own), installed)
        .filter(home -> versionOf(home) >= 21)
        .map(ContentionTest::real)
        .distinct()
        .map(home -> Arguments.of(home, "virtual"));
    return Stream.concat(Stream.of(Arguments.of(own, "platform")), virtual);
  }

  private static Path real(Path home) {
    try {
      return home.toRealPath();
    } catch (IOException e) {
      return home;
    }
  }

  /** 0: there is none. */
  private static int versionOf(Path home) {
    Properties release = new Properties();
    try (var reader = Files.newBufferedReader(home.resolve("release"))) {
      release.load(reader);
    } catch (IOException e) {
      return 0;
    }
    String version = release.getProperty("JAVA_VERSION", "0").replace("\"", "");
    return Integer.parseInt(version.split("[.+-]")[0]);
  }
}
