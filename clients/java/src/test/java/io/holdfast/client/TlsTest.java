package io.holdfast.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.function.Supplier;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("A client that talks TLS")
class TlsTest {
  private static final String PASSWORD = "password";

  /** A certificate that vouches for itself, for this name, and its key; both in PEM. */
  private record Identity(byte[] certificate, byte[] key) {
    static Identity of(String name, Path folder) throws Exception {
      Path store = folder.resolve(name + ".p12");
      TestService.run(
          System.getProperty("java.home") + "/bin/keytool",
          "-genkeypair",
          "-keyalg",
          "EC",
          "-alias",
          "own",
          "-dname",
          "CN=" + name,
          "-ext",
          "san=dns:" + name,
          "-keystore",
          store.toString(),
          "-storetype",
          "PKCS12",
          "-storepass",
          PASSWORD);
      KeyStore keys = KeyStore.getInstance(store.toFile(), PASSWORD.toCharArray());
      return new Identity(
          pem("CERTIFICATE", keys.getCertificate("own").getEncoded()),
          pem("PRIVATE KEY", keys.getKey("own", PASSWORD.toCharArray()).getEncoded()));
    }

    private static byte[] pem(String what, byte[] der) {
      String body = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(der);
      return "-----BEGIN %s-----%n%s%n-----END %s-----%n".formatted(what, body, what).getBytes(StandardCharsets.US_ASCII);
    }
  }

  @Test
  void trustsTheServersThatItWasToldToTrustUnderTheirNameAndNoOthers(@TempDir Path folder) throws Exception {
    Identity identity = Identity.of("locks.example.com", folder);
    Identity another = Identity.of("elsewhere.example.com", folder);
    Path certificate = Files.write(folder.resolve("server.pem"), identity.certificate());
    Path key = Files.write(folder.resolve("server.key"), identity.key());
    TlsOptions trusting = TlsOptions.DEFAULTS.trust(identity.certificate());
    try (TestService service = TestService.start()) {
      String address =
          service.startServer("--tls-cert", certificate.toString(), "--tls-key", key.toString()).address;
      try (HoldfastClient client = client(address, trusting.serverName("locks.example.com"))) {
        client.lock("tls").lock();
        assertTrue(client.lock("tls").isHeldByCurrentThread());
        assertEquals(1, client.getLock("tls").holderCount());
        client.lock("tls").unlock();
      }
      for (TlsOptions wrong : new TlsOptions[] {
        trusting, // the name of its address is another
        TlsOptions.DEFAULTS.serverName("locks.example.com"), // nobody vouches for it
        TlsOptions.DEFAULTS.trust(another.certificate()).serverName("locks.example.com")
      }) cannotReach(address, wrong, "OpenSslEngine problem");
      cannotReach(address, null, "; if the server speaks TLS, give tls(...)");
      cannotReach(service.address(), trusting, "not an SSL/TLS record; the server seems to speak plain text: leave tls(...) away");
    }
  }

  private static void cannotReach(String address, TlsOptions tls, String saying) {
    try (HoldfastClient client = impatient(address, tls)) {
      for (Executable call : List.<Executable>of(client.lock("tls")::lock, () -> client.getLock("tls"))) {
        String message = assertThrows(HoldfastUnavailableException.class, call).getMessage();
        assertTrue(message.contains(saying) && !message.contains("\n"), message);
      }
    }
  }

  @Test
  void saysInOneLineWhyAConnectionCouldNotBeMade() {
    String pipeline = "io exception\nChannel Pipeline: [SslHandler#0, Tail$Context#0]: ";
    String hint = "; if the server speaks TLS, give tls(...)";
    assertEquals("Network closed for unknown reason" + hint, said("Network closed for unknown reason", false));
    assertEquals("Network closed for unknown reason", said("Network closed for unknown reason", true));
    assertEquals("io exception: Connection reset by peer" + hint, said("io exception: Connection reset by peer", false));
    assertEquals(
        "io exception: not an SSL/TLS record; the server seems to speak plain text: leave tls(...) away",
        said(pipeline + "not an SSL/TLS record: 00000004", true));
    assertEquals("io exception: no path", said(pipeline + "no path", true));
    assertEquals("io exception: Connection refused", said("io exception: Connection refused", false));
  }

  private static String said(String text, boolean usesTls) {
    return Channels.connectionProblem(text, usesTls);
  }

  private static HoldfastClient client(String address, TlsOptions tls) {
    return HoldfastClient.builder(address).tls(tls).build();
  }

  /** It does not give up at once: it may be a server that starts. */
  private static HoldfastClient impatient(String address, TlsOptions tls) {
    HoldfastClientBuilder builder = HoldfastClient.builder(address).connectTimeout(Duration.ofSeconds(1)).callTimeout(Duration.ofSeconds(2));
    return (tls == null ? builder : builder.tls(tls)).build();
  }

  @Test
  void refusesWhatIsNoCertificate(@TempDir Path folder) throws Exception {
    byte[] garbage = {1};
    byte[] none = {};
    Identity own = Identity.of("own.example.com", folder);
    refuses("tls: trust: not certificates in PEM", () -> TlsOptions.DEFAULTS.trust(garbage));
    refuses("tls: trust: not certificates in PEM", () -> TlsOptions.DEFAULTS.trust(own.key()));
    refuses("tls: trust: empty", () -> TlsOptions.DEFAULTS.trust(none));
    refuses("tls: trust: null", () -> TlsOptions.DEFAULTS.trust(null));
    refuses("tls: identity: ", () -> TlsOptions.DEFAULTS.identity(garbage, own.key()));
    refuses("tls: identity: ", () -> TlsOptions.DEFAULTS.identity(own.certificate(), garbage));
    refuses("tls: identity: certificate: null", () -> TlsOptions.DEFAULTS.identity(null, own.key()));
    refuses("tls: identity: key: empty", () -> TlsOptions.DEFAULTS.identity(own.certificate(), none));
    refuses("tls: serverName: empty", () -> TlsOptions.DEFAULTS.serverName(""));
    refuses("tls: null", () -> null);
  }

  private static void refuses(String saying, Supplier<TlsOptions> tls) {
    HoldfastException refused =
        assertThrows(HoldfastException.class, () -> HoldfastClient.builder("a:1").tls(tls.get()), saying);
    assertEquals(Reason.INVALID, refused.reason());
    assertTrue(refused.getMessage().startsWith(saying), refused.getMessage());
  }
}
