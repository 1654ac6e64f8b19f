package io.holdfast.client;

/**
 * How to trust the servers, and to be trusted by them. Texts are PEM. Immutable: each method returns a changed copy.
 * What is no PEM is refused with {@link Reason#INVALID}, by {@link HoldfastClientBuilder#tls} at the latest.
 */
public final class TlsOptions {
  /** Trusts the authorities that Java trusts, and shows no certificate. */
  public static final TlsOptions DEFAULTS = new TlsOptions(null, null, null, null);

  private final byte[] ca;
  private final byte[] certificate;
  private final byte[] key;
  private final String serverName;

  private TlsOptions(byte[] ca, byte[] certificate, byte[] key, String serverName) {
    this.ca = ca;
    this.certificate = certificate;
    this.key = key;
    this.serverName = serverName;
  }

  /** Who may have signed the servers' certificates: one or more. Default: the authorities that Java trusts. */
  public TlsOptions trust(byte[] authorities) {
    return new TlsOptions(pem("trust", authorities), certificate, key, serverName);
  }

  /** This client's own certificate, and its key in PKCS 8. Default: none is shown. */
  public TlsOptions identity(byte[] ownCertificate, byte[] ownKey) {
    return new TlsOptions(ca, pem("identity: certificate", ownCertificate), pem("identity: key", ownKey), serverName);
  }

  /** The name that the servers' certificates must have. Default: the host of the address. */
  public TlsOptions serverName(String name) {
    if (name != null && name.isEmpty()) throw HoldfastException.invalid("tls: serverName: empty");
    return new TlsOptions(ca, certificate, key, name);
  }

  private static byte[] pem(String what, byte[] text) {
    if (text == null || text.length == 0)
      throw HoldfastException.invalid("tls: " + what + ": " + (text == null ? "null" : "empty") + ": give PEM, or leave it away");
    return text.clone();
  }

  byte[] ca() {
    return ca;
  }

  byte[] certificate() {
    return certificate;
  }

  byte[] key() {
    return key;
  }

  String serverName() {
    return serverName;
  }
}
