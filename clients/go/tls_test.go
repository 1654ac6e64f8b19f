package holdfast_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
)

// certificate is one for 127.0.0.1 that signs itself, as files for a server and as what a client trusts.
func certificate(t *testing.T) (certFile, keyFile string, trusted *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "holdfast test"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	certFile, keyFile = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if err := errors.Join(os.WriteFile(certFile, certPEM, 0o600), os.WriteFile(keyFile, keyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	trusted = x509.NewCertPool()
	trusted.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, trusted
}

func TestTLSIsUsedWhereItIsAskedForAndTrustsWhomItIsTold(t *testing.T) {
	certFile, keyFile, trusted := certificate(t)
	server, err := shared.StartServer("--tls-cert", certFile, "--tls-key", keyFile, "--advertise-address", "none")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Terminate()
	client := dialTo(t, []string{server.Address}, holdfast.WithTLS(&tls.Config{RootCAs: trusted}))
	lock(t, client, "tls").Unlock(patient(t))
	if _, err := client.GetLock(patient(t), "tls"); err != nil {
		t.Error(err)
	}
	for what, option := range map[string]holdfast.Option{
		"without TLS":       holdfast.WithClientName("plain"),
		"trusting somebody": holdfast.WithTLS(nil),
	} {
		client := dialTo(t, []string{server.Address}, option, holdfast.WithConnectTimeout(500*time.Millisecond))
		if _, err := client.Lock(patient(t), "tls"); !errors.Is(err, holdfast.ErrUnreachable) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
