package imapdst_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/mailtest/tokens"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
)

// TestDovecotSignIn logs in to the real server in every way, as the right user, and as
// one whose password or token is wrong.
func TestDovecotSignIn(t *testing.T) {
	issuer := tokens.Start()
	t.Cleanup(issuer.Close)
	server := startDovecot(t, dovecot.Options{SignIn: &dovecot.SignIn{Introspection: issuer.URL()}})
	if err := server.DeliverTo("alice", "INBOX", []byte("Subject: for alice\r\n\r\n")); err != nil {
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
		{"login", "alice", "", right, wrong, "LOGIN command", true},
		{"cram-md5", "alice", "", right, wrong, "CRAM-MD5", true},
		{"scram-sha-1", "alice", "", right, wrong, "SCRAM-SHA-1", true},
		{"scram-sha-256", "alice", "", right, wrong, "SCRAM-SHA-256", true},
		{"auto", "alice", "", right, wrong, "SCRAM-SHA-256", false},
		{"xoauth2", "alice", "", "good-token", "revoked-token", "XOAUTH2", true},
		{"oauthbearer", "alice", "", "good-token", "revoked-token", "OAUTHBEARER", true},
		{"auto", "alice", "", "good-token", "revoked-token", "OAUTHBEARER", false},
		{"plain", "alice*admin", "", dovecot.MasterPassword, wrong, "PLAIN", false},
		{"login", "alice*admin", "", dovecot.MasterPassword, wrong, "LOGIN command", false},
		{"plain", "admin", "alice", dovecot.MasterPassword, wrong, "PLAIN", false},
		{"scram-sha-256", "admin", "alice", dovecot.MasterPassword, wrong, "SCRAM-SHA-256", false},
		{"auto", "admin", "alice", dovecot.MasterPassword, wrong, "SCRAM-SHA-256", false},
	} {
		modes := map[wire.TLSMode]string{wire.Implicit: server.IMAPS}
		if c.clear {
			modes[wire.None], modes[wire.STARTTLS] = server.IMAP, server.IMAP
		}
		for mode, address := range modes {
			name := c.auth + "/" + c.mechanism + "/" + c.user + "/" + c.as + "/" + string(mode)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				o := imapdst.Options{Endpoint: endpoint(t, address, mode, server.Files.CA),
					Username: c.user, AuthorizeAs: c.as, Auth: c.auth}
				signIn(&o, c.good)
				conn := dial(t, o)
				if got := conn.Mechanism(); got != c.mechanism {
					t.Errorf("logged in by %s, want %s", got, c.mechanism)
				}
				if inbox := folder(t, conn, "INBOX"); inbox.Messages != 1 {
					t.Errorf("%d messages, want alice's one", inbox.Messages)
				}
				if mode != wire.Implicit { // Dovecot takes half a second to refuse
					return
				}
				signIn(&o, c.bad)
				_, err := imapdst.Dial(t.Context(), o)
				if fault.CodeOf(err) != fault.Credentials || fault.HintOf(err) == "" || strings.Contains(err.Error(), c.bad) {
					t.Errorf("%v (%v)", err, fault.CodeOf(err))
				}
			})
		}
	}
}

// TestDovecotUnknownMechanism: what the server does not have is no wrong password.
func TestDovecotUnknownMechanism(t *testing.T) {
	server := startDovecot(t, dovecot.Options{})
	for _, auth := range []string{"scram-sha-256", "xoauth2", "cram-md5", "external"} {
		o := options(endpoint(t, server.IMAPS, wire.Implicit, server.Files.CA))
		o.Auth = auth
		_, err := imapdst.Dial(t.Context(), o)
		if fault.CodeOf(err) != fault.Config || !strings.Contains(fault.HintOf(err), "PLAIN, LOGIN") {
			t.Errorf("%s: %v (%v, %s)", auth, err, fault.CodeOf(err), fault.HintOf(err))
		}
	}
}

// signIn gives a password, or a token.
func signIn(o *imapdst.Options, text string) {
	o.Password, o.Token = secret.New(text), nil
	if strings.HasSuffix(text, "-token") {
		o.Password, o.Token = secret.Value{}, tokenOf(text)
	}
}

// TestDovecotExternal logs in with a certificate: as its holder, as another, and with
// certificates that are no good.
func TestDovecotExternal(t *testing.T) {
	issuer := tokens.Start()
	t.Cleanup(issuer.Close)
	server := startDovecot(t, dovecot.Options{SignIn: &dovecot.SignIn{Introspection: issuer.URL()}})
	if err := server.DeliverTo("alice", "INBOX", []byte("Subject: for alice\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	strangers, err := certs.New(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		user, auth, as string
		strange        bool // signed by another authority
		code           fault.Code
	}{
		"by name":           {"alice", "external", "", false, fault.OK},
		"by itself":         {"alice", "auto", "", false, fault.OK},
		"master":            {dovecot.Master, "external", "alice", false, fault.OK},
		"of another":        {"bob", "external", "alice", false, fault.Credentials},
		"of another server": {"alice", "external", "", true, fault.Credentials},
	} {
		for mode, address := range map[wire.TLSMode]string{wire.Implicit: server.IMAPS, wire.STARTTLS: server.IMAP} {
			t.Run(name+"/"+string(mode), func(t *testing.T) {
				t.Parallel()
				o := imapdst.Options{Endpoint: endpoint(t, address, mode, server.Files.CA),
					Username: test.user, Auth: test.auth, AuthorizeAs: test.as}
				pair := server.Certs
				if test.strange {
					pair = strangers
				}
				o.Endpoint.Certificate = certificateOf(t, pair, test.user)
				conn, err := imapdst.Dial(t.Context(), o)
				if fault.CodeOf(err) != test.code {
					t.Fatalf("%v (%v)", err, fault.CodeOf(err))
				}
				if err != nil {
					if !strings.Contains(fault.HintOf(err), "tls_cert") {
						t.Errorf("the hint is %q", fault.HintOf(err))
					}
					return
				}
				defer conn.Close()
				if got := conn.Mechanism(); got != "EXTERNAL" {
					t.Errorf("logged in by %s", got)
				}
				if inbox := folder(t, conn, "INBOX"); inbox.Messages != 1 {
					t.Errorf("%d messages, want alice's one", inbox.Messages)
				}
			})
		}
	}
}

func certificateOf(t testing.TB, pair *certs.Pair, user string) *tls.Certificate {
	t.Helper()
	cert, key, err := pair.ForUser(user, time.Now().AddDate(0, 0, -1), time.Now().AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return &certificate
}
