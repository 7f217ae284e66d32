package imapdst_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
)

// TestDovecotPasswordBeside: a server that offers no EXTERNAL, and takes the user from the
// certificate all the same, opens no stranger's mailbox. One that wants a certificate with the
// password gets the user's own, and no other unless the way to log in is named.
func TestDovecotPasswordBeside(t *testing.T) {
	for _, demands := range []bool{false, true} {
		signIn := dovecot.SignIn{Introspection: "http://127.0.0.1:9/", Mechanisms: "plain login"}
		server := startDovecot(t, dovecot.Options{SignIn: &signIn,
			Extra: map[bool]string{true: "auth_ssl_require_client_cert = yes\n"}[demands]})
		if err := server.DeliverTo("bob", "INBOX", []byte("Subject: for bob\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		for holder, auth := range map[string]string{"bob": "auto", "alice": "auto", "Alice": "plain"} {
			o := options(endpoint(t, server.IMAPS, wire.Implicit, server.Files.CA))
			o.Auth, o.Password = auth, secret.New(server.Password)
			o.Endpoint.Certificate = certificateOf(t, server.Certs, holder)
			c, err := imapdst.Dial(t.Context(), o)
			if demands && holder == "bob" {
				if said := fmt.Sprint(err) + fault.HintOf(err); !strings.Contains(said, "not shown") || !strings.Contains(said, "auth: plain") {
					t.Errorf("said %q", said)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s, %v: %v", holder, demands, err)
			}
			if n := folder(t, c, "INBOX").Messages; n != 0 {
				t.Errorf("%s's certificate, demanded: %v: bob's mailbox is open", holder, demands)
			}
			if left := holder == "bob"; c.LeftOut() != left || c.ShowedCertificate() == left {
				t.Errorf("%s's certificate was left out: %v, shown: %v", holder, c.LeftOut(), c.ShowedCertificate())
			}
			c.Close()
		}
	}
}

// TestDovecotScramAfterExternal: a server that offers nothing else gets SCRAM after a refused
// certificate.
func TestDovecotScramAfterExternal(t *testing.T) {
	server := startDovecot(t, dovecot.Options{SignIn: &dovecot.SignIn{Introspection: "http://127.0.0.1:9/",
		Mechanisms: "scram-sha-256 external"}})
	o := options(endpoint(t, server.IMAPS, wire.Implicit, server.Files.CA))
	o.Password = secret.New(server.Password)
	o.Endpoint.Certificate = certificateOf(t, server.Certs, "bob")
	if c := dial(t, o); c.Mechanism() != "SCRAM-SHA-256" || c.RefusedWay() != "EXTERNAL" {
		t.Errorf("logged in by %s after %q", c.Mechanism(), c.RefusedWay())
	}
}

// script is a server in TLS that asks for a certificate. Each login is answered by the next line
// of replies, of which the last stays.
type script struct {
	caps    string
	bare    string // all that is said to who shows no certificate, unless empty
	replies []string

	mu     sync.Mutex
	logins []string // what was tried
}

// hungUp is the reply of a script that ends the connection.
const hungUp = "hang up"

func (s *script) start(t *testing.T, change func(*tls.Config)) imapdst.Options {
	t.Helper()
	pair, err := certs.New(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := pair.WriteFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := pair.Listen(change, s.serve)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	o := options(endpoint(t, listener.Addr().String(), wire.Implicit, files.CA))
	o.Endpoint.Certificate = certificateOf(t, pair, "alice")
	return o
}

func (s *script) serve(conn *tls.Conn) {
	defer conn.Close()
	if conn.Handshake() != nil {
		return
	}
	if s.bare != "" && len(conn.ConnectionState().PeerCertificates) == 0 {
		io.WriteString(conn, s.bare+"\r\n")
		return
	}
	fmt.Fprintf(conn, "* OK [CAPABILITY IMAP4rev1 SASL-IR LOGINDISABLED %s] ready\r\n", s.caps)
	for in := bufio.NewReader(conn); ; {
		line, err := in.ReadString('\n')
		if err != nil || !s.answer(conn, strings.Fields(line)) {
			return
		}
	}
}

func (s *script) answer(conn net.Conn, words []string) (more bool) {
	if words[1] != "AUTHENTICATE" {
		fmt.Fprintf(conn, "%s OK done\r\n", words[0])
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins = append(s.logins, words[2])
	reply := s.replies[0]
	if len(s.replies) > 1 {
		s.replies = s.replies[1:]
	}
	if reply == hungUp {
		return false
	}
	fmt.Fprintf(conn, "%s\r\n", strings.ReplaceAll(reply, "TAG", words[0]))
	return true
}

// TestCertificateForTLS: where TLS demands a certificate, whoever it is for, or what is in front of
// the server does, it is shown with the password.
func TestCertificateForTLS(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*tls.Config)
		bare   string
	}{
		"TLS 1.3": {func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, ""},
		"TLS 1.2": {func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }, ""},
		"a proxy": {func(*tls.Config) {}, "* BYE No required SSL certificate was sent"},
	} {
		s := &script{caps: "AUTH=PLAIN", bare: test.bare, replies: []string{"TAG OK [CAPABILITY IMAP4rev1] in"}}
		o := s.start(t, test.change)
		o.Username = "bob"
		if c := dial(t, o); c.Mechanism() != "PLAIN" || !c.ShowedCertificate() || c.LeftOut() {
			t.Errorf("%s: by %s, shown: %v, left out: %v", name, c.Mechanism(), c.ShowedCertificate(), c.LeftOut())
		}
	}
}

// TestNoExternalForTLS: where TLS demands the certificate it is not left out.
func TestNoExternalForTLS(t *testing.T) {
	s := &script{caps: "AUTH=EXTERNAL AUTH=PLAIN", replies: []string{"TAG OK [CAPABILITY IMAP4rev1] in"}}
	o := s.start(t, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert })
	o.NoExternal = true
	if c := dial(t, o); c.Mechanism() != "EXTERNAL" {
		t.Errorf("logged in by %s", c.Mechanism())
	}
}

// TestFullMailboxLetsNobodyIn: what helps is room, and no other right or password.
func TestFullMailboxLetsNobodyIn(t *testing.T) {
	for _, reply := range []string{"TAG NO [OVERQUOTA] no", "TAG NO Mailbox full", "TAG NO [OVERQUOTA] disabled"} {
		s := &script{caps: "AUTH=EXTERNAL", replies: []string{reply}}
		_, err := imapdst.Dial(t.Context(), s.start(t, func(*tls.Config) {}))
		if fault.CodeOf(err) != fault.Refused || !strings.HasPrefix(fault.HintOf(err), "make room in the destination") {
			t.Errorf("%q: %v: %v; check %s", reply, fault.CodeOf(err), err, fault.HintOf(err))
		}
	}
}

// TestExternalRefusedForElse: what a refusal says of something else than who logs in is not laid
// to the certificate, at once or at the password after it.
func TestExternalRefusedForElse(t *testing.T) {
	for reply, want := range map[string]struct {
		code fault.Code
		says string
	}{
		"TAG NO mailbox full":          {fault.Refused, "mailbox full"},
		"TAG NO [OVERQUOTA] no room":   {fault.Refused, "no room"},
		"TAG NO mailbox locked":        {fault.Temporary, "another session"},
		"TAG NO [INUSE] busy":          {fault.Temporary, "another session"},
		"TAG NO [UNAVAILABLE] down":    {fault.Temporary, "down"},
		"* BYE [UNAVAILABLE] too busy": {fault.Temporary, "too busy"},
		hungUp:                         {fault.Temporary, "closed the connection"},
	} {
		for _, before := range []bool{false, true} {
			s := &script{caps: "AUTH=EXTERNAL AUTH=PLAIN", replies: []string{reply}}
			ways := []string{"EXTERNAL"}
			if before {
				s.replies = []string{"TAG NO [AUTHENTICATIONFAILED] not you", reply}
				ways = append(ways, "PLAIN")
			}
			_, err := imapdst.Dial(t.Context(), s.start(t, func(*tls.Config) {}))
			said := fmt.Sprint(err) + fault.HintOf(err)
			if fault.CodeOf(err) != want.code || !strings.Contains(said, want.says) || strings.Contains(said, "certificate") ||
				strings.Contains(said, "tls_cert") {
				t.Errorf("%q, after a refusal: %v: %v, %s", reply, before, fault.CodeOf(err), said)
			}
			if n := fault.RefusalsOf(err); n != map[bool]int{true: 1}[before] || !slices.Equal(s.logins, ways) {
				t.Errorf("%q: %d logins were refused of %q", reply, n, s.logins)
			}
		}
	}
}
