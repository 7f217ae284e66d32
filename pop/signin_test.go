package pop_test

import (
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/mailtest/tokens"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/pop"
)

// TestDovecotSignIn logs in to the real server in every way, as the right user, and as
// one whose password or token is wrong.
func TestDovecotSignIn(t *testing.T) {
	if _, ok := dovecot.Found(); !ok {
		t.Skip("dovecot is not installed")
	}
	issuer := tokens.Start()
	t.Cleanup(issuer.Close)
	server, err := dovecot.Start(dovecot.Options{SignIn: &dovecot.SignIn{Introspection: issuer.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	if err := server.Deliver("alice", []byte("Subject: for alice\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	issuer.Issue("good-token", "alice")
	issuer.Issue("revoked-token", "alice")
	issuer.Revoke("revoked-token")
	right, wrong := server.Password, "wrong"
	for _, c := range []struct {
		auth, user, as, good, bad, mechanism string
		clear                                bool
	}{
		{"plain", "alice", "", right, wrong, "PLAIN", true},
		{"login", "alice", "", right, wrong, "LOGIN", true},
		{"user", "alice", "", right, wrong, "USER", true},
		{"apop", "alice", "", right, wrong, "APOP", true},
		{"cram-md5", "alice", "", right, wrong, "CRAM-MD5", true},
		{"scram-sha-1", "alice", "", right, wrong, "SCRAM-SHA-1", true},
		{"scram-sha-256", "alice", "", right, wrong, "SCRAM-SHA-256", true},
		{"auto", "alice", "", right, wrong, "SCRAM-SHA-256", false},
		{"xoauth2", "alice", "", "good-token", "revoked-token", "XOAUTH2", true},
		{"oauthbearer", "alice", "", "good-token", "revoked-token", "OAUTHBEARER", true},
		{"auto", "alice", "", "good-token", "revoked-token", "OAUTHBEARER", false},
		{"plain", "alice*admin", "", dovecot.MasterPassword, wrong, "PLAIN", false},
		{"user", "alice*admin", "", dovecot.MasterPassword, wrong, "USER", false},
		{"plain", "admin", "alice", dovecot.MasterPassword, wrong, "PLAIN", false},
		{"scram-sha-256", "admin", "alice", dovecot.MasterPassword, wrong, "SCRAM-SHA-256", false},
		{"auto", "admin", "alice", dovecot.MasterPassword, wrong, "SCRAM-SHA-256", false},
	} {
		modes := map[wire.TLSMode]string{wire.Implicit: server.POP3S}
		if c.clear {
			modes[wire.None], modes[wire.STARTTLS] = server.POP3, server.POP3
		}
		for mode, address := range modes {
			name := c.auth + "/" + c.mechanism + "/" + c.user + "/" + c.as + "/" + string(mode)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				o := pop.Options{Endpoint: at(t, address, mode, server.Files.CA),
					Username: c.user, AuthorizeAs: c.as, Auth: c.auth}
				signIn(&o, c.good)
				m := dial(t, o)
				if got := m.Mechanism(); got != c.mechanism {
					t.Errorf("logged in by %s, want %s", got, c.mechanism)
				}
				if entries := list(t, m); len(entries) != 1 {
					t.Errorf("%d messages, want alice's one", len(entries))
				}
				if mode != wire.Implicit { // Dovecot takes half a second to refuse
					return
				}
				signIn(&o, c.bad)
				_, err := pop.Dial(t.Context(), o)
				wantFault(t, err, fault.Credentials)
				if strings.Contains(err.Error(), c.bad) {
					t.Errorf("shown: %v", err)
				}
			})
		}
	}
}

// TestDovecotUnknownMechanism: what the server does not have is no wrong password.
func TestDovecotUnknownMechanism(t *testing.T) {
	if _, ok := dovecot.Found(); !ok {
		t.Skip("dovecot is not installed")
	}
	server, err := dovecot.Start(dovecot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	for _, auth := range []string{"scram-sha-256", "xoauth2", "cram-md5", "external"} {
		o := pop.Options{Endpoint: at(t, server.POP3S, wire.Implicit, server.Files.CA),
			Username: "alice", Password: secret.New(server.Password), Auth: auth}
		_, err := pop.Dial(t.Context(), o)
		wantFault(t, err, fault.Config, strings.ToUpper(auth), "PLAIN, LOGIN")
	}
}

// TestDovecotOffersOther: where the server has only what auto does not take, that is named.
func TestDovecotOffersOther(t *testing.T) {
	if _, ok := dovecot.Found(); !ok {
		t.Skip("dovecot is not installed")
	}
	for auth, hint := range map[string]string{"cram-md5": "set auth: cram-md5", "apop": "set auth: apop", "external": "set tls_cert", "xoauth2": "give oauth"} {
		o := dovecot.Options{Extra: "auth_mechanisms = " + auth + "\n"}
		if auth == "external" {
			o.Extra += "auth_ssl_username_from_cert = yes\n"
		}
		server, err := dovecot.Start(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Stop() })
		_, err = pop.Dial(t.Context(), pop.Options{Endpoint: at(t, server.POP3S, wire.Implicit, server.Files.CA),
			Username: "alice", Password: secret.New(server.Password)})
		if got := fault.HintOf(err); fault.CodeOf(err) != fault.Refused || !strings.Contains(got, hint) {
			t.Errorf("%s: %v (%v, %s)", auth, err, fault.CodeOf(err), got)
		}
	}
}

// signIn gives a password, or a token.
func signIn(o *pop.Options, text string) {
	o.Password, o.Token = secret.New(text), nil
	if strings.HasSuffix(text, "-token") {
		o.Password, o.Token = secret.Value{}, tokenOf(text)
	}
}

func at(t testing.TB, address string, mode wire.TLSMode, ca string) wire.Endpoint {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Endpoint{Host: host, Port: number, TLS: mode, CAFile: ca}
}

// TestDovecotExternal logs in with a certificate: as its holder, as another, and with
// certificates that are no good; a password beside it is tried when it is refused.
func TestDovecotExternal(t *testing.T) {
	if _, ok := dovecot.Found(); !ok {
		t.Skip("dovecot is not installed")
	}
	issuer := tokens.Start()
	t.Cleanup(issuer.Close)
	server, err := dovecot.Start(dovecot.Options{SignIn: &dovecot.SignIn{Introspection: issuer.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	if err := server.Deliver("alice", []byte("Subject: for alice\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	strangers, err := certs.New(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const external, refused = "EXTERNAL", fault.Credentials
	right := server.Password
	for name, test := range map[string]struct {
		user, holder, auth, as, password string
		strange                          bool // signed by another authority
		code                             fault.Code
		mechanism                        string
	}{
		"by name":                 {"alice", "alice", "external", "", "", false, fault.OK, external},
		"by itself":               {"alice", "alice", "auto", "", "", false, fault.OK, external},
		"beside a wrong password": {"alice", "alice", "auto", "", "wrong", false, fault.OK, external},
		"master":                  {dovecot.Master, dovecot.Master, "external", "alice", "", false, fault.OK, external},
		"master's for a user":     {"alice", dovecot.Master, "external", "", "", false, fault.OK, external},
		"of another":              {"bob", "bob", "external", "alice", "", false, refused, ""},
		"of another server":       {"alice", "alice", "external", "", "", true, refused, ""},
		"somebody else's":         {"bob", "alice", "external", "", "", false, refused, ""},
		"somebody else's, auto":   {"bob", "alice", "auto", "", "", false, refused, ""},
		"and the right password":  {"alice", "bob", "auto", "", right, false, fault.OK, "PLAIN"},
		"and the master's":        {dovecot.Master, "bob", "auto", "alice", dovecot.MasterPassword, false, fault.OK, "PLAIN"},
		"and a wrong password":    {"alice", "bob", "auto", "", "wrong", false, refused, ""},
		"not with the password":   {"alice", "bob", "external", "", right, false, refused, ""},
	} {
		for mode, address := range map[wire.TLSMode]string{wire.Implicit: server.POP3S, wire.STARTTLS: server.POP3} {
			t.Run(name+"/"+string(mode), func(t *testing.T) {
				t.Parallel()
				o := pop.Options{Endpoint: at(t, address, mode, server.Files.CA), Username: test.user,
					Auth: test.auth, AuthorizeAs: test.as, Password: secret.New(test.password)}
				pair := server.Certs
				if test.strange {
					pair = strangers
				}
				o.Endpoint.Certificate = certificateOf(t, pair, test.holder)
				conn, err := pop.Dial(t.Context(), o)
				if fault.CodeOf(err) != test.code {
					t.Fatalf("%v (%v)", err, fault.CodeOf(err))
				}
				if err != nil {
					if said := err.Error() + fault.HintOf(err); !strings.Contains(said, "tls_cert") {
						t.Errorf("said %q", said)
					}
					both := test.auth == "auto" && test.password != ""
					if n := fault.RefusalsOf(err); n != map[bool]int{false: 1, true: 2}[both] {
						t.Errorf("%d logins were refused", n)
					}
					return
				}
				defer conn.Close()
				before := map[bool]string{true: "", false: external}[test.mechanism == external]
				if got, was := conn.Mechanism(), conn.RefusedWay(); got != test.mechanism || was != before {
					t.Errorf("logged in by %s after %q", got, was)
				}
				if entries := list(t, conn); len(entries) != 1 {
					t.Errorf("%d messages, want alice's one", len(entries))
				}
			})
		}
	}
}

// TestDovecotNoExternal: without the certificate no login is refused for it, unless nothing else
// is there to log in with.
func TestDovecotNoExternal(t *testing.T) {
	if _, ok := dovecot.Found(); !ok {
		t.Skip("dovecot is not installed")
	}
	server, err := dovecot.Start(dovecot.Options{SignIn: &dovecot.SignIn{Introspection: "http://127.0.0.1:9/"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	for password, want := range map[string]int{server.Password: 0, "wrong": 1, "": 1} {
		o := pop.Options{Endpoint: at(t, server.POP3S, wire.Implicit, server.Files.CA), Username: "alice",
			Auth: "auto", Password: secret.New(password), NoExternal: true, NoScram: true}
		o.Endpoint.Certificate = certificateOf(t, server.Certs, "bob")
		conn, err := pop.Dial(t.Context(), o)
		if n := fault.RefusalsOf(err); n != want || (err == nil) != (want == 0) {
			t.Errorf("%q: %d refusals, error %v", password, n, err)
		}
		if err != nil {
			continue
		}
		if conn.Mechanism() != "PLAIN" || conn.RefusedWay() != "" {
			t.Errorf("logged in by %s after %q", conn.Mechanism(), conn.RefusedWay())
		}
		conn.Close()
	}
}

func certificateOf(t testing.TB, pair *certs.Pair, user string) *tls.Certificate {
	t.Helper()
	certificate, err := pair.User(user)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
