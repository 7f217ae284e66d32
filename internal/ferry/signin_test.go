package ferry_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/mailtest/gateway"
	"github.com/popferry/popferry/internal/mailtest/tokens"
	"github.com/popferry/popferry/plan"
)

// signInAccounts has an administrator's login, a certificate, a token, and a password
// behind two proxies.
const signInAccounts = `
defaults:
  source: {host: 127.0.0.1, port: {pop}, tls_ca: {ca}}
  destination: {host: 127.0.0.1, port: {imap}, tls_ca: {ca}, username: admin, password: {env: MASTER}}
accounts:
  - source: {username: admin, authorize_as: alice, password: {env: MASTER}}
    destination: {authorize_as: alice, auth: scram-sha-256}
  - source: {username: bob, tls_cert: bob.pem, tls_key: bob.key}
    destination: {username: bob, tls_cert: bob.pem, tls_key: bob.key, auth: external}
  - source: {username: carol, password: {env: TOKEN}, auth: xoauth2}
    destination: {username: carol, password: {env: TOKEN}, auth: oauthbearer}
  - source: {username: dave, password: {env: PASSWORD}, proxy: "socks5://gate@{gate}", proxy_password: {env: GATE},
      host: pop.example.org, port: 995, tls_pin: "sha256:{pin}"}
    destination: {authorize_as: dave, proxy: "http://gate@{gate}", proxy_password: {env: GATE},
      host: imap.example.org, port: 993, tls_pin: "sha256:{pin}"}
`

// TestSignIn is accounts.yaml to mail in its place, by four ways to log in, and then
// without what opened the doors.
func TestSignIn(t *testing.T) {
	issuer := tokens.Start()
	t.Cleanup(issuer.Close)
	issuer.Issue("good-token", "carol")
	server := startDovecot(t, dovecot.Options{SignIn: &dovecot.SignIn{Introspection: issuer.URL()}})
	gate, err := gateway.Start(gateway.Options{Username: "gate", Password: "open sesame", Names: map[string]string{
		"pop.example.org:995": server.POP3S, "imap.example.org:993": server.IMAPS}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gate.Close)
	users := []string{"alice", "bob", "carol", "dave"}
	for _, user := range users {
		if err := server.Deliver(user, fmt.Appendf(nil, "Subject: for %s\r\n\r\nhello\r\n", user)); err != nil {
			t.Fatal(err)
		}
	}
	path := writeSignIn(t, server, gate.Addr())
	for name, value := range map[string]string{"MASTER": dovecot.MasterPassword, "TOKEN": "good-token",
		"PASSWORD": server.Password, "GATE": "open sesame"} {
		t.Setenv(name, value)
	}
	o := ferry.Options{Journal: openJournal(t, t.TempDir())}
	o.Config = loadSignIn(t, path)
	if r := runFerry(t, o); r.ExitCode != fault.OK || r.Totals.Delivered != len(users) {
		t.Fatalf("exit %d, %+v", r.ExitCode, r.Totals)
	}
	for _, user := range append(users, "admin") {
		messages, err := server.Messages(user, "INBOX")
		if want := map[bool]int{true: 0, false: 1}[user == "admin"]; err != nil || len(messages) != want {
			t.Errorf("%s has %d messages, want %d (%v)", user, len(messages), want, err)
		}
	}

	issuer.Revoke("good-token")
	t.Setenv("MASTER", "wrong")
	t.Setenv("GATE", "wrong")
	o.Config = loadSignIn(t, path)
	r := runFerry(t, o)
	for _, a := range r.Accounts {
		if want := map[bool]fault.Code{true: fault.OK, false: fault.Credentials}[a.Name == "bob"]; a.ExitCode != want {
			t.Errorf("%s ended with %d, want %d", a.Name, a.ExitCode, want)
		}
	}
}

// writeSignIn writes accounts.yaml, and bob's certificate beside it.
func writeSignIn(t *testing.T, server *dovecot.Server, gate string) (path string) {
	t.Helper()
	now := time.Now()
	cert, key, err := server.Certs.ForUser("bob", now.AddDate(0, 0, -1), now.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	port := func(address string) string { return address[strings.LastIndex(address, ":")+1:] }
	text := strings.NewReplacer("{pop}", port(server.POP3S), "{imap}", port(server.IMAPS), "{ca}", server.Files.CA,
		"{gate}", gate, "{pin}", server.Certs.Pin()).Replace(signInAccounts)
	dir := t.TempDir()
	path = filepath.Join(dir, "accounts.yaml")
	for name, data := range map[string][]byte{"accounts.yaml": []byte(text), "bob.pem": cert, "bob.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func loadSignIn(t *testing.T, path string) *plan.Config {
	t.Helper()
	config, err := plan.Load(path)
	if err == nil {
		err = config.Resolve(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return config
}
