package wire_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/wire"
)

// clientCertificate makes one that the pair's authority signed.
func clientCertificate(t testing.TB, pair *certs.Pair, until time.Time) *tls.Certificate {
	t.Helper()
	cert, key, err := pair.ForUser("alice", until.AddDate(-1, 0, 0), until)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return &certificate
}

// TestClientCertificate: a server that demands a certificate gets ours, and what it
// does not like about it is said, whether it says so in the handshake (TLS 1.2) or
// after it (TLS 1.3).
func TestClientCertificate(t *testing.T) {
	var pairs [2]*certs.Pair
	for i := range pairs {
		pair, err := certs.New(certs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		pairs[i] = pair
	}
	pair, stranger := pairs[0], pairs[1]
	files, err := pair.WriteFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pair.CAPEM)
	later := time.Now().AddDate(1, 0, 0)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := pair.Server()
		config.ClientAuth, config.ClientCAs, config.MaxVersion = tls.RequireAndVerifyClientCert, roots, version
		address := greeter(t, config)
		for name, test := range map[string]struct {
			certificate *tls.Certificate
			code        fault.Code
			text, hint  string
		}{
			"good":         {clientCertificate(t, pair, later), fault.OK, "", ""},
			"none":         {nil, fault.Config, "wants a client certificate", "tls_cert"},
			"a stranger's": {clientCertificate(t, stranger, later), fault.Credentials, "refuses our certificate", "tls_cert"},
			"expired":      {clientCertificate(t, pair, time.Now().AddDate(0, 0, -1)), fault.Credentials, "refuses our", "expired"},
		} {
			t.Run(fmt.Sprintf("%s/%x", name, version), func(t *testing.T) {
				e := endpointAt(t, address, wire.Implicit)
				e.CAFile, e.Certificate = files.CA, test.certificate
				conn, err := e.Connect(t.Context())
				if err == nil {
					defer conn.Close()
					_, err = conn.Greeting(t.Context(), 100)
				}
				if test.certificate == nil && version == tls.VersionTLS12 {
					// There the alert is the same as for whatever else may be wrong.
					test.code, test.text = fault.TLS, "handshake failure"
				}
				if fault.CodeOf(err) != test.code {
					t.Fatalf("got %v (%v)", err, fault.CodeOf(err))
				}
				if err != nil && (!strings.Contains(err.Error(), test.text) || !strings.Contains(fault.HintOf(err), test.hint)) {
					t.Errorf("got %v (%v)", err, fault.HintOf(err))
				}
			})
		}
	}
}

func endpointAt(t testing.TB, address string, mode wire.TLSMode) wire.Endpoint {
	t.Helper()
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Endpoint{Protocol: wire.POP3, Host: at.Addr().String(), Port: int(at.Port()), TLS: mode}
}
