package signin_test

import (
	"crypto/tls"
	"net"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/signin"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// TestAnothersCertificateIsLeftOut: where the server offers no login by it, it costs a connection
// once, and then again when there is another one.
func TestAnothersCertificateIsLeftOut(t *testing.T) {
	server := startDovecot(t, dovecot.Options{SignIn: &dovecot.SignIn{Introspection: "http://127.0.0.1:9/", Mechanisms: "plain"}})
	account, texts := plan.Account{Name: "alice", Source: endpoint(t, server, server.POP3S),
		Destination: endpoint(t, server, server.IMAPS)}, map[string]string{}
	for _, want := range []bool{true, false, true} {
		if want {
			account.Source.Certificate = certificateOf(t, server, "bob")
			account.Destination.Certificate = account.Source.Certificate
		}
		dial := signin.Dial{Learned: learnedIn(texts)}
		m, err := dial.Source(t.Context(), account)
		if err != nil {
			t.Fatal(err)
		}
		c, err := dial.Destination(t.Context(), account)
		if err != nil {
			t.Fatal(err)
		}
		if m.LeftOut() != want || c.LeftOut() != want || m.ShowedCertificate() || c.ShowedCertificate() {
			t.Errorf("left out: %v and %v, want %v", m.LeftOut(), c.LeftOut(), want)
		}
		m.Close()
		c.Close()
	}
}

// TestTroubleAfterARefusal: a login that was refused in one way, and in the other one for something
// of the moment, is no try that was refused: the one after the next is not a day away.
func TestTroubleAfterARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []string{"NO [AUTHENTICATIONFAILED] no", "NO [UNAVAILABLE] the database is down", "NO [AUTHENTICATIONFAILED] no"}
		tried := 0
		server := imapd.New(imapd.Options{Capabilities: []string{"AUTH=SCRAM-SHA-256"}, Reply: func(e imapd.Event) imapd.Action {
			if e.Stage != imapd.AtCommand || e.Command != "AUTHENTICATE" {
				return imapd.Action{}
			}
			tried++
			return imapd.Action{Reply: answers[min(tried, len(answers))-1]}
		}})
		defer server.Close()
		a := plan.Account{Name: "alice", Destination: plan.Endpoint{
			Endpoint: wire.Endpoint{Host: "localhost", Port: 143, TLS: wire.None, Dial: server.Dial},
			Username: "alice", Secret: secret.New("secret"), Auth: "auto",
		}}
		dial := signin.Dial{Learned: &signin.Learned{}}
		for _, want := range []struct {
			tried int
			code  fault.Code
		}{{2, fault.Temporary}, {3, fault.Credentials}, {4, fault.Credentials}, {4, fault.Credentials}} {
			_, err := dial.Destination(t.Context(), a)
			if fault.CodeOf(err) != want.code || tried != want.tried {
				t.Errorf("%d logins were tried, want %d: %v", tried, want.tried, err)
			}
			time.Sleep(6 * time.Minute)
		}
	})
}

// TestKeep: what is kept is known for a day, also to the next process, and forgotten as soon as
// it is so no more.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		texts := map[string]string{}
		this := learnedIn(texts)
		this.Keep("a", true)
		this.Keep("b", true)
		this.Keep("b", false)
		for name, l := range map[string]*signin.Learned{"this process": this, "the next": learnedIn(texts)} {
			if !l.Has("a") || l.Has("b") || l.Has("c") {
				t.Errorf("%s knows a: %v, b: %v, c: %v", name, l.Has("a"), l.Has("b"), l.Has("c"))
			}
		}
		time.Sleep(24 * time.Hour)
		if this.Has("a") || learnedIn(texts).Has("a") {
			t.Error("a is known for longer than a day")
		}
	})
}

func learnedIn(texts map[string]string) *signin.Learned {
	return &signin.Learned{
		Load: func(name string) string { return texts[name] },
		Save: func(name, text string) { texts[name] = text },
	}
}

func startDovecot(t *testing.T, o dovecot.Options) *dovecot.Server {
	t.Helper()
	if _, ok := dovecot.Found(); !ok {
		t.Skip("needs Debian's dovecot-imapd and dovecot-pop3d")
	}
	s, err := dovecot.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func endpoint(t *testing.T, server *dovecot.Server, address string) plan.Endpoint {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Endpoint{
		Endpoint: wire.Endpoint{Host: host, Port: number, TLS: wire.Implicit, CAFile: server.Files.CA},
		Username: "alice", Secret: secret.New(server.Password), Auth: "auto",
	}
}

func certificateOf(t *testing.T, server *dovecot.Server, user string) *tls.Certificate {
	t.Helper()
	certificate, err := server.Certs.User(user)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
