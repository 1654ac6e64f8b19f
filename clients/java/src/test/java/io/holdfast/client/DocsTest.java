package io.holdfast.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.reflect.Method;
import java.net.URI;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The path from an empty folder to the first lock is walked by test/docs/java.test.ts, which has Maven. */
@DisplayName("The page about Java")
class DocsTest {
  private static final Path PAGE = TestService.ROOT.resolve("docs/clients/java.md");

  /** What the pieces of the page take for granted. */
  private static final String AROUND =
      """
      import io.holdfast.client.*;
      import java.time.Duration;
      import java.util.concurrent.CompletableFuture;

      public class Page {
        static int ship(int order, long token) {
          if (token <= 0) throw new IllegalArgumentException();
          return order;
        }
      %s
      }
      """;

  private static List<String> pieces() throws IOException {
    Matcher block = Pattern.compile("^```java\\n(.*?)^```$", Pattern.MULTILINE | Pattern.DOTALL).matcher(Files.readString(PAGE));
    return block.results().map(match -> match.group(1)).filter(text -> text.startsWith("static")).toList();
  }

  private static Class<?> compiled(Path folder) throws Exception {
    String source = AROUND.formatted(String.join("\n", pieces()));
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    DiagnosticCollector<JavaFileObject> problems = new DiagnosticCollector<>();
    JavaFileObject file = new SimpleJavaFileObject(URI.create("string:///Page.java"), JavaFileObject.Kind.SOURCE) {
      @Override
      public CharSequence getCharContent(boolean ignoreEncodingErrors) {
        return source;
      }
    };
    List<String> options =
        List.of("-d", folder.toString(), "-cp", System.getProperty("java.class.path"), "-Xlint:all,-try,-processing");
    compiler.getTask(null, null, problems, options, null, List.of(file)).call();
    assertEquals(List.of(), problems.getDiagnostics());
    return new URLClassLoader(new URL[] {folder.toUri().toURL()}).loadClass("Page");
  }

  @Test
  void hasPiecesThatCompileWithoutAWarningAndDoWhatTheySay(@TempDir Path folder) throws Exception {
    List<String> run = new ArrayList<>();
    Class<?> page = compiled(folder);
    try (TestService service = TestService.start();
        HoldfastClient client = HoldfastClient.connect(service.address())) {
      for (Method method : page.getDeclaredMethods()) {
        method.setAccessible(true);
        if (!List.of(method.getParameterTypes()).equals(List.of(HoldfastClient.class))) continue;
        Object result = method.invoke(null, client);
        if (result instanceof CompletableFuture<?> future) future.get(60, TimeUnit.SECONDS);
        run.add(method.getName());
      }
      Class<?> accountType = page.getDeclaredClasses()[0];
      var newAccount = accountType.getDeclaredConstructor();
      newAccount.setAccessible(true);
      Object account = newAccount.newInstance();
      Method deposit = page.getDeclaredMethod("deposit", HoldfastClient.class, accountType, int.class);
      deposit.setAccessible(true);
      assertEquals(true, deposit.invoke(null, client, account, 10));
      Method fenced = accountType.getDeclaredMethod("deposit", int.class, long.class);
      fenced.setAccessible(true);
      assertEquals(false, fenced.invoke(account, 10, 1L));
      assertEquals(0, client.threads().size());
      assertEquals(0, client.listLocks("").count(), "what is left");
    }
    assertEquals(
        Set.of("block", "async", "work", "scope", "patiently", "kinds", "lead", "look"), Set.copyOf(run));
    Method configured = page.getDeclaredMethod("configured");
    configured.setAccessible(true);
    ((HoldfastClient) configured.invoke(null)).close();
  }

  @Test
  void hasEverySettingInItsTableAndNoOther() throws IOException {
    Set<String> listed = new TreeSet<>();
    Pattern.compile("^\\| `(\\w+)` \\|", Pattern.MULTILINE)
        .matcher(Files.readString(PAGE).split("## Settings")[1])
        .results()
        .forEach(row -> listed.add(row.group(1)));
    Set<String> settings = new TreeSet<>();
    Stream.of(HoldfastClientBuilder.class.getMethods())
        .filter(method -> method.getReturnType() == HoldfastClientBuilder.class)
        .forEach(method -> settings.add(method.getName()));
    assertEquals(settings, listed);
    assertTrue(settings.size() > 5);
  }
}
