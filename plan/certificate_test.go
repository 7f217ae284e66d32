package plan_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/plan"
)

// certificates writes one that is good, and others that are not, into a folder.
func certificates(t *testing.T) (dir string) {
	t.Helper()
	pair, err := certs.New(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	now := time.Now()
	for name, from := range map[string]time.Time{
		"good": now.AddDate(0, 0, -1), "other": now.AddDate(0, 0, -1), "old": now.AddDate(-3, 0, 0), "new": now.AddDate(1, 0, 0),
	} {
		cert, key, err := pair.ForUser("alice", from, from.AddDate(1, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name+".pem"), string(cert), 0o600)
		write(t, filepath.Join(dir, name+".key"), string(key), 0o600)
	}
	write(t, filepath.Join(dir, "words.pem"), "no certificate", 0o600)
	both, err := os.ReadFile(filepath.Join(dir, "good.key"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "loose.key"), string(both), 0o644)
	return dir
}

// TestClientCertificate: what is wrong with a certificate or its key is known before
// any connection, and the key is a secret like a password.
func TestClientCertificate(t *testing.T) {
	dir := certificates(t)
	for name, test := range map[string]struct {
		cert, key string
		code      fault.Code
		text      string
	}{
		"good":         {"good.pem", "good.key", fault.OK, ""},
		"mismatched":   {"good.pem", "other.key", fault.Config, "do not work together"},
		"exchanged":    {"good.key", "good.pem", fault.Config, "do not work together"},
		"no PEM":       {"words.pem", "good.key", fault.Config, "do not work together"},
		"expired":      {"old.pem", "old.key", fault.Config, "expired on"},
		"not yet":      {"new.pem", "new.key", fault.Config, "clock"},
		"missing":      {"none.pem", "good.key", fault.Config, "certificate file"},
		"key missing":  {"good.pem", "none.key", fault.Config, "key file"},
		"others' eyes": {"good.pem", "loose.key", fault.Credentials, "chmod 600"},
		"a folder":     {".", "good.key", fault.Config, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, "accounts.yaml")
			write(t, path, fmt.Sprintf(`
accounts:
  - source: {host: pop.example.org, username: alice, tls_cert: %s, tls_key: %s}
    destination: {host: imap.example.net, username: alice, password: "x"}`, test.cert, test.key), 0o600)
			config, err := plan.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			err = config.Resolve(t.Context(), nil)
			if fault.CodeOf(err) != test.code {
				t.Fatalf("got %v (%v)", err, fault.CodeOf(err))
			}
			source := config.Accounts[0].Source
			if err == nil {
				if source.Certificate == nil || config.Accounts[0].Destination.Certificate != nil {
					t.Errorf("%+v", source)
				}
				return
			}
			if !strings.Contains(err.Error(), test.text) || !strings.Contains(err.Error(), "accounts.yaml:3:") ||
				strings.Contains(err.Error(), "PRIVATE") {
				t.Errorf("got %v", err)
			}
			if source.Certificate != nil {
				t.Error("it is used all the same")
			}
		})
	}
}

// TestWayToTheServer has the settings of the network as the wire gets them.
func TestWayToTheServer(t *testing.T) {
	t.Setenv("PROXY_PASSWORD", "open sesame")
	c := parse(t, `
defaults:
  source: {proxy: "socks5://alice@proxy.example.org:1080", proxy_password: {env: PROXY_PASSWORD}}
accounts:
  - source: {host: pop.example.org, username: alice, password: x, source_address: 192.0.2.7}
    destination: {host: imap.example.net, username: alice, password: x, proxy: "http://[2001:db8::1]:3128", source_address: "2001:db8::7"}
  - source: {host: pop.example.org, username: bob, password: x, proxy: "http://proxy.example.net:8080"}
    destination: {host: imap.example.net, username: bob, auth: external, tls_cert: bob.pem, tls_key: bob.key}
`)
	if err := c.Resolve(t.Context(), []string{"alice"}); err != nil {
		t.Fatal(err)
	}
	alice, bob := c.Accounts[0], c.Accounts[1]
	from, to := alice.Source, alice.Destination
	if from.Proxy.String() != "proxy socks5://proxy.example.org:1080" || from.Proxy.Username != "alice" ||
		from.Proxy.Password.Reveal() != "open sesame" || from.SourceAddress.String() != "192.0.2.7" {
		t.Errorf("%+v, %+v", from, from.Proxy)
	}
	if to.Proxy.String() != "proxy http://[2001:db8::1]:3128" || to.Proxy.Username != "" || to.SourceAddress.String() != "2001:db8::7" {
		t.Errorf("%+v, %+v", to, to.Proxy)
	}
	if bob.Source.Proxy.Username != "" || bob.Destination.Proxy != nil || bob.Destination.Auth != "external" ||
		!filepath.IsAbs(bob.Destination.CertFile) || bob.Destination.Password.String() != "none" {
		t.Errorf("%+v", bob)
	}
	if shown := fmt.Sprintf("%+v %#v", c, from); strings.Contains(shown, "sesame") {
		t.Error("the password of the proxy is shown")
	}
}
