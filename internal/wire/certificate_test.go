package wire_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/wire"
)

// TestOtherName: of a certificate that is for another name, or for none, it is told what it is
// for, and nothing that would not help.
func TestOtherName(t *testing.T) {
	named, err := certs.New(certs.Options{Hosts: []string{"pop.example.org", "192.0.2.1"}})
	if err != nil {
		t.Fatal(err)
	}
	old, err := named.User("localhost") // which has a common name alone, as old servers' have
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		certificate *tls.Certificate
		want        string
	}{
		"another": {nil, "it is for pop.example.org, 192.0.2.1, by "},
		"none":    {old, "it is for no server by name (its common name, localhost, does not count), by "},
	} {
		config := named.Server()
		if c.certificate != nil {
			config.Certificates = []tls.Certificate{*c.certificate}
		}
		files, err := named.WriteFiles(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		e := endpointAt(t, greeter(t, config), wire.Implicit)
		e.Host, e.CAFile = "localhost", files.CA
		_, err = e.Connect(t.Context())
		hint := fault.HintOf(err)
		if fault.CodeOf(err) != fault.TLS || !strings.HasPrefix(hint, c.want) || strings.Contains(hint, "tls_ca") ||
			!strings.Contains(hint, "tls_pin: sha256:") {
			t.Errorf("%s: %v (%s)", name, err, hint)
		}
	}
}
