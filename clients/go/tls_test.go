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
	"strings"
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
	for _, wrong := range []struct {
		address string
		option  holdfast.Option
		says    string
	}{
		{server.Address, holdfast.WithClientName("plain"), "; if the server speaks TLS, give WithTLS"},
		{server.Address, holdfast.WithTLS(nil), "unknown authority"},
		{alone.Address, holdfast.WithTLS(nil), "; the server seems to speak plain text: leave WithTLS away"},
	} {
		client := dialTo(t, []string{wrong.address}, wrong.option, holdfast.WithConnectTimeout(500*time.Millisecond))
		_, err := client.Lock(patient(t), "tls")
		_, lookErr := client.GetLock(patient(t), "tls")
		for _, err := range []error{err, lookErr} {
			if !errors.Is(err, holdfast.ErrUnreachable) || !strings.Contains(err.Error(), wrong.says) {
				t.Errorf("it does not say %q: %v", wrong.says, err)
			}
		}
	}
}

func TestAConnectionThatCouldNotBeMadeIsExplainedInOneLine(t *testing.T) {
	const hangsUp, notTLS = `desc = "error reading server preface: EOF"`, `desc = "tls: first record does not look like a TLS handshake"`
	for _, of := range []struct {
		said    string
		usesTLS bool
		want    string
	}{
		{hangsUp, false, hangsUp + "; if the server speaks TLS, give WithTLS"},
		{hangsUp, true, hangsUp},
		{notTLS, true, notTLS + "; the server seems to speak plain text: leave WithTLS away"},
		{"connection refused", false, "connection refused"},
		{"refused\nand a dump", true, "refused"},
	} {
		if got := holdfast.ConnectionProblem(of.said, of.usesTLS); got != of.want {
			t.Errorf("%q: %q", of.said, got)
		}
	}
}

func TestCertificatesThatWereNotReadAreRefusedAtOnce(t *testing.T) {
	noneRead := x509.NewCertPool()
	noneRead.AppendCertsFromPEM([]byte("no PEM"))
	notLooked, _ := tls.X509KeyPair([]byte("no PEM"), nil)
	for part, config := range map[string]*tls.Config{
		"RootCAs":      {RootCAs: noneRead},
		"Certificates": {Certificates: []tls.Certificate{notLooked}},
	} {
		_, err := holdfast.Dial([]string{"a:1"}, holdfast.WithTLS(config))
		if !errors.Is(err, holdfast.ErrInvalid) || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", part, err)
		}
	}
	// Whoever trusts everybody needs no authorities.
	dialTo(t, []string{"a:1"}, holdfast.WithTLS(&tls.Config{RootCAs: noneRead, InsecureSkipVerify: true}))
}
