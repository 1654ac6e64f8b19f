package io.holdfast.client;

import static io.holdfast.client.Eventually.eventually;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("A program with nothing but generated stubs")
class StubsTest {
  private static final Path FILE = TestService.ROOT.resolve("examples/stubs/HoldByStubs.java");

  private static TestService service;

  @BeforeAll
  static void start() {
    service = TestService.start();
  }

  @AfterAll
  static void stop() {
    service.close();
  }

  /** Compiled and run from its source. */
  private static Process run(String address, String lock) throws IOException {
    return new ProcessBuilder(
            System.getProperty("java.home") + "/bin/java",
            "-cp",
            System.getProperty("java.class.path"),
            FILE.toString(),
            address,
            lock)
        .redirectError(ProcessBuilder.Redirect.INHERIT)
        .start();
  }

  private static long tokenHeldBy(String call, Process program) throws IOException {
    String line = program.inputReader().readLine();
    Matcher matcher = Pattern.compile(call + " holds with token (\\d+)").matcher(String.valueOf(line));
    assertTrue(matcher.matches(), line);
    return Long.parseLong(matcher.group(1));
  }

  private static void work(Process program) throws IOException {
    program.outputWriter().write("\n");
    program.outputWriter().flush();
  }

  @Test
  void isAPageOfCode() throws IOException {
    assertTrue(Files.readAllLines(FILE).size() <= 40);
  }

  @Test
  void holdsALockBySessionAndByHoldUntilItsWorkIsDone() throws Exception {
    try (HoldfastClient client = HoldfastClient.connect(service.address())) {
      Process program = run(service.address(), "stubs/java");
      long last = 0;
      for (String call : new String[] {"Session", "Hold"}) {
        long token = tokenHeldBy(call, program);
        assertTrue(token > last);
        last = token;
        assertEquals(TokenView.State.LIVE, client.checkToken("stubs/java", token).state());
        work(program);
      }
      assertEquals(0, TestService.exitOf(program));
      long token = last;
      eventually("the lock is free", () -> client.checkToken("stubs/java", token).state() == TokenView.State.ENDED);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"Session", "Hold"})
  void stopsItsWorkWithAnErrorWhenTheLockIsLost(String call) throws Exception {
    TestService.Server server = service.startServer();
    Process program = run(server.address, "stubs/lost/" + call);
    tokenHeldBy("Session", program);
    if (call.equals("Hold")) {
      work(program);
      tokenHeldBy("Hold", program);
    }
    server.kill();
    assertNotEquals(0, TestService.exitOf(program));
  }
}
