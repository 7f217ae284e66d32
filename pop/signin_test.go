package pop_test

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
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
