package certs_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/mailtest/certs"
)

func newPair(t *testing.T, o certs.Options) *certs.Pair {
	t.Helper()
	pair, err := certs.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// handshake lets a client that trusts client's authority meet a server that shows server's
// certificate, and returns the client's verdict.
func handshake(t *testing.T, server, client *certs.Pair, name string) error {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server.Server())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		// The server's own view of a refused certificate is of no interest here.
		_ = conn.(*tls.Conn).Handshake()
		conn.Close()
	}()
	config := client.Client()
	config.ServerName = name
	conn, err := tls.Dial("tcp", listener.Addr().String(), config)
	if err == nil {
		conn.Close()
	}
	<-done
	return err
}

func TestHandshake(t *testing.T) {
	pair := newPair(t, certs.Options{})
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		if err := handshake(t, pair, pair, name); err != nil {
			t.Errorf("handshake as %s: %v", name, err)
		}
	}
	var host x509.HostnameError
	if err := handshake(t, pair, pair, "mail.example.org"); !errors.As(err, &host) {
		t.Errorf("wrong host: got %v, want a HostnameError", err)
	}
	var unknown x509.UnknownAuthorityError
	other := newPair(t, certs.Options{})
	if err := handshake(t, pair, other, "localhost"); !errors.As(err, &unknown) {
		t.Errorf("other authority: got %v, want an UnknownAuthorityError", err)
	}
}

func TestExpired(t *testing.T) {
	pair := newPair(t, certs.Options{
		Hosts: []string{"mail.example.org"}, NotAfter: time.Now().Add(-time.Hour),
	})
	var invalid x509.CertificateInvalidError
	err := handshake(t, pair, pair, "mail.example.org")
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		t.Errorf("got %v, want an expired certificate", err)
	}
}

func TestFilesAndPin(t *testing.T) {
	pair := newPair(t, certs.Options{})
	files, err := pair.WriteFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(loaded.Leaf.RawSubjectPublicKeyInfo)
	if got, want := pair.Pin(), hex.EncodeToString(sum[:]); got != want {
		t.Errorf("pin %s, want %s", got, want)
	}
	ca, err := os.ReadFile(files.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("ca.pem holds no certificate")
	}
	if _, err := loaded.Leaf.Verify(x509.VerifyOptions{Roots: pool}); err != nil {
		t.Errorf("certificate from files: %v", err)
	}
	info, err := os.Stat(files.Key)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("key has mode %v, want 0600", info.Mode().Perm())
	}
}
