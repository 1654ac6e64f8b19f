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
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
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
        TlsOptions.DEFAULTS.trust(another.certificate()).serverName("locks.example.com"),
        null // plain text
      })
        try (HoldfastClient client = impatient(address, wrong)) {
          assertThrows(HoldfastUnavailableException.class, client.lock("tls")::lock);
          assertThrows(HoldfastUnavailableException.class, () -> client.getLock("tls"));
        }
    }
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
  void refusesWhatIsNoCertificate() {
    HoldfastException refused = assertThrows(
        HoldfastException.class,
        () -> HoldfastClient.builder("a:1").tls(TlsOptions.DEFAULTS.identity(new byte[] {1}, new byte[] {2})).build());
    assertEquals(Reason.INVALID, refused.reason());
  }
}
