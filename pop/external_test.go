package pop_test

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/pop"
)

// signInServer starts a Dovecot that takes user names from certificates.
func signInServer(t *testing.T, mechanisms, extra string) *dovecot.Server {
	t.Helper()
	if _, ok := dovecot.Found(); !ok {
		t.Skip("dovecot is not installed")
	}
	o := dovecot.SignIn{Introspection: "http://127.0.0.1:9/", Mechanisms: mechanisms}
	server, err := dovecot.Start(dovecot.Options{SignIn: &o, Extra: extra})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	return server
}

// TestDovecotPasswordBeside: a server that offers no EXTERNAL, and takes the user from the
// certificate all the same, opens no stranger's mailbox. One that wants a certificate with the
// password gets the user's own, and no other unless the way to log in is named.
func TestDovecotPasswordBeside(t *testing.T) {
	for _, demands := range []bool{false, true} {
		extra := map[bool]string{true: "auth_ssl_require_client_cert = yes\n"}[demands]
		server := signInServer(t, "plain login", extra)
		if err := server.Deliver("bob", []byte("Subject: for bob\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		for holder, auth := range map[string]string{"bob": "auto", "alice": "auto", "Alice": "plain"} {
			o := pop.Options{Endpoint: at(t, server.POP3S, wire.Implicit, server.Files.CA), Username: "alice",
				Password: secret.New(server.Password), Auth: auth}
			o.Endpoint.Certificate = certificateOf(t, server.Certs, holder)
			m, err := pop.Dial(t.Context(), o)
			if demands && holder == "bob" {
				wantFault(t, err, fault.Credentials, "not shown", "auth: plain")
				continue
			}
			if err != nil {
				t.Fatalf("%s, %v: %v", holder, demands, err)
			}
			if n := len(list(t, m)); n != 0 {
				t.Errorf("%s's certificate, demanded: %v: bob's mailbox is open", holder, demands)
			}
			if left := holder == "bob"; m.LeftOut() != left || m.ShowedCertificate() == left {
				t.Errorf("%s's certificate was left out: %v, shown: %v", holder, m.LeftOut(), m.ShowedCertificate())
			}
			m.Close()
		}
	}
}

// TestCertificateForTLS: where TLS demands a certificate, whoever it is for, it is shown with the
// password; where nobody asks for it, nothing changes.
func TestCertificateForTLS(t *testing.T) {
	for name, change := range map[string]func(*tls.Config){
		"TLS 1.3": func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert },
		"TLS 1.2": func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 },
		"nobody":  func(*tls.Config) {},
	} {
		t.Run(name, func(t *testing.T) {
			pair, files := newPair(t)
			o := popd.Options{Mode: popd.Implicit, TLS: pair.Server()}
			change(o.TLS)
			server := serve(t, o)
			options := overTCP(t, server)
			options.Endpoint.CAFile, options.Endpoint.TLS = files.CA, wire.Implicit
			options.Endpoint.Certificate = certificateOf(t, pair, "gate")
			m := dial(t, options)
			shown := name != "nobody"
			if m.Mechanism() != "PLAIN" || m.ShowedCertificate() != shown || m.LeftOut() {
				t.Errorf("by %s, shown: %v, left out: %v", m.Mechanism(), m.ShowedCertificate(), m.LeftOut())
			}
			if n := server.Counters().Sessions; !shown && n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// TestNoExternalForTLS: where TLS demands the certificate it is not left out.
func TestNoExternalForTLS(t *testing.T) {
	d := &desk{sasl: "EXTERNAL PLAIN", bare: "-ERR No required SSL certificate was sent", replies: map[string][]string{"AUTH": {"+OK"}}}
	o := secureDesk(t, d)
	o.NoExternal = true
	if m := dial(t, o); m.Mechanism() != "EXTERNAL" {
		t.Errorf("logged in by %s", m.Mechanism())
	}
}

// TestCertificateForProxy: what is in front of the server may demand it in place of a greeting.
func TestCertificateForProxy(t *testing.T) {
	d := &desk{sasl: "PLAIN", bare: "-ERR No required SSL certificate was sent", replies: map[string][]string{"AUTH": {"+OK"}}}
	o := secureDesk(t, d)
	o.Username = "bob"
	if m := dial(t, o); !m.ShowedCertificate() {
		t.Error("no certificate was shown")
	}
}

// TestDovecotScramAfterExternal: a server that offers nothing else gets SCRAM after a refused
// certificate.
func TestDovecotScramAfterExternal(t *testing.T) {
	server := signInServer(t, "scram-sha-256 external", "")
	o := pop.Options{Endpoint: at(t, server.POP3S, wire.Implicit, server.Files.CA), Username: "alice",
		Password: secret.New(server.Password)}
	o.Endpoint.Certificate = certificateOf(t, server.Certs, "bob")
	if m := dial(t, o); m.Mechanism() != "SCRAM-SHA-256" || m.RefusedWay() != "EXTERNAL" {
		t.Errorf("logged in by %s after %q", m.Mechanism(), m.RefusedWay())
	}
	o.Password = secret.New("wrong")
	_, err := pop.Dial(t.Context(), o)
	if wantFault(t, err, fault.Credentials); fault.RefusalsOf(err) != 2 {
		t.Errorf("%d logins were refused", fault.RefusalsOf(err))
	}
	o.Endpoint.Certificate, o.NoScram, o.Password = nil, true, secret.New(server.Password)
	if m := dial(t, o); m.Mechanism() != "SCRAM-SHA-256" {
		t.Errorf("logged in by %s", m.Mechanism())
	}
}

// hangUp is the answer of a desk that ends the connection.
const hangUp = "hang up"

// secureDesk serves a script to each connection in TLS, and asks for a certificate.
func secureDesk(t *testing.T, d *desk) pop.Options {
	t.Helper()
	pair, files := newPair(t)
	listener, err := pair.Listen(func(*tls.Config) {}, func(conn *tls.Conn) { d.serve(conn) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	o := pop.Options{Endpoint: at(t, listener.Addr().String(), wire.Implicit, files.CA), Username: "alice",
		Password: secret.New("open sesame")}
	o.Endpoint.Certificate = certificateOf(t, pair, "alice")
	return o
}

// TestExternalRefusedForElse: what a refusal says of something else than who logs in is not laid
// to the certificate, at once or at the password after it.
func TestExternalRefusedForElse(t *testing.T) {
	for reply, want := range map[string]struct {
		code fault.Code
		says string
	}{
		"-ERR mailbox full":             {fault.Refused, "mailbox full"},
		"-ERR [SYS/PERM] no such store": {fault.Refused, "no such store"},
		"-ERR mailbox locked":           {fault.Temporary, "mailbox locked"},
		"-ERR [IN-USE] busy":            {fault.Temporary, "password is right"},
		"-ERR [SYS/TEMP] database":      {fault.Temporary, "database"},
		hangUp:                          {fault.Temporary, "closed the connection"},
	} {
		for _, before := range []bool{false, true} {
			d := &desk{sasl: "EXTERNAL PLAIN", replies: map[string][]string{"AUTH": {reply}}}
			if before {
				d.replies["AUTH"] = []string{"-ERR [AUTH] not you", reply}
			}
			o := secureDesk(t, d)
			_, err := pop.Dial(t.Context(), o)
			wantFault(t, err, want.code, want.says)
			if said := err.Error() + fault.HintOf(err); strings.Contains(said, "certificate") || strings.Contains(said, "tls_cert") {
				t.Errorf("%q, after a refusal: %v: %s", reply, before, said)
			}
			if n := fault.RefusalsOf(err); n != map[bool]int{true: 1}[before] {
				t.Errorf("%q: %d logins were refused", reply, n)
			}
			ways := []string{"AUTH EXTERNAL"}
			if before {
				ways = append(ways, "AUTH PLAIN")
			}
			if got := verbs(d.received()); !slices.Equal(got, ways) {
				t.Errorf("%q: sent %q", reply, got)
			}
		}
	}
}

// verbs are the ways to log in that were tried.
func verbs(lines []string) (list []string) {
	for _, line := range lines {
		verb, rest, _ := strings.Cut(line, " ")
		mechanism, _, _ := strings.Cut(rest, " ")
		list = append(list, verb+" "+mechanism)
	}
	return list
}
