package check_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/popferry/popferry/internal/check"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/mailtest/tokens"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/signin"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// start runs Dovecot for as long as the test does.
func start(t *testing.T, o dovecot.Options) *dovecot.Server {
	t.Helper()
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

func onDovecot(t *testing.T, s *dovecot.Server, address, user string) plan.Endpoint {
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
		Endpoint: wire.Endpoint{Host: host, Port: number, TLS: wire.Implicit, CAFile: s.Files.CA},
		Username: user, Secret: secret.New(dovecot.DefaultPassword), Auth: "auto", Connections: 4,
	}
}

// mailFiles are all folders and files that hold mail, flags and subscriptions. What
// is left out are Dovecot's own indexes, which it writes whenever it looks at a folder.
func mailFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || strings.HasPrefix(entry.Name(), "dovecot") || strings.HasSuffix(entry.Name(), ".log") {
			return err
		}
		switch {
		case entry.IsDir():
			files[path] = "folder"
		case entry.Type().IsRegular():
			data, err := os.ReadFile(path)
			files[path] = string(data)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestDovecot: all is seen, and no file of a real server changes: no folder, no
// \Seen, no \Recent, no subscription.
func TestDovecot(t *testing.T) {
	s := start(t, dovecot.Options{Quota: "storage=1M:messages=50"})
	mail := []byte("Message-ID: <1@example.org>\r\nSubject: one\r\n\r\nhello\r\n")
	for _, deliver := range []error{s.Deliver("alice", mail), s.Deliver("alice", mail), s.DeliverTo("alice", "INBOX", mail),
		s.DeliverTo("alice", "Old", mail)} {
		if deliver != nil {
			t.Fatal(deliver)
		}
	}
	account := func(name, folder string) plan.Account {
		return plan.Account{Name: name, Folder: folder, Source: onDovecot(t, s, s.POP3S, name),
			Destination: onDovecot(t, s, s.IMAPS, "alice")}
	}
	accounts := []plan.Account{account("alice", "INBOX"), account("bob", "Old"), account("carol", "New/Deep")}
	before := mailFiles(t, filepath.Join(s.Dir, "imap"))
	r := run(t, accounts...)
	if after := mailFiles(t, filepath.Join(s.Dir, "imap")); r.ExitCode != fault.OK || !maps.Equal(before, after) {
		t.Errorf("%+v; files:\n%q\nnow:\n%q", r.Totals, slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
	}
	// To POP3, Dovecot's way to note that somebody logged in is to move what is new.
	maildrop := mailFiles(t, filepath.Join(s.Dir, "pop3", "alice"))
	messages := 0
	for path, data := range maildrop {
		if data == string(mail) && !strings.Contains(path, ":2,S") {
			messages++
		}
	}
	if messages != 2 {
		t.Errorf("%d of 2 messages are there and not seen: %q", messages, slices.Sorted(maps.Keys(maildrop)))
	}
	a := r.Accounts[0]
	if a.Source.Messages != 2 || a.Source.TLS == nil || a.Source.TLS.Certificate.Days < 1000 || a.Source.Auth != "PLAIN" ||
		a.Destination.Folder.Messages != 1 || a.Destination.QuotaMessages == nil || *a.Destination.QuotaMessages != 48 {
		t.Errorf("%+v\n%+v", a.Source, a.Destination)
	}
	if got := topics(r.Accounts[1].Warnings); !slices.Contains(got, "not-subscribed") || !slices.Contains(got, "shared-login") {
		t.Errorf("warnings %q", got)
	}
	if f := r.Accounts[2].Destination.Folder; f.Exists || f.Mailbox != "New/Deep" {
		t.Errorf("%+v", f)
	}
}

// TestClearText: a login that does not show the password leaves the mail in the clear.
func TestClearText(t *testing.T) {
	issuer := tokens.Start()
	t.Cleanup(issuer.Close)
	s := start(t, dovecot.Options{SignIn: &dovecot.SignIn{Introspection: issuer.URL()}})
	for auth, want := range map[string]string{"user": "password-in-clear", "apop": "mail-in-clear", "cram-md5": "mail-in-clear",
		"scram-sha-256": "mail-in-clear"} {
		a := plan.Account{Name: "alice", Folder: "INBOX", Source: onDovecot(t, s, s.POP3, "alice"),
			Destination: onDovecot(t, s, s.IMAPS, "alice")}
		a.Source.TLS, a.Source.AllowPlaintext, a.Source.Auth = wire.None, true, auth
		a.Source.Host = "192.0.2.1"
		a.Source.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.POP3)
		}
		r := run(t, a)
		if got := topics(r.Accounts[0].Warnings); !slices.Equal(got, []string{want, "password-reused"}) || r.ExitCode != fault.OK {
			t.Errorf("%s: %v, warnings %q, want %s", auth, r.Accounts[0].Source.Problem, got, want)
		}
	}
}

// TestDovecotCertificateBeside: who names the way to log in is told what a certificate of another
// name may do beside the password.
func TestDovecotCertificateBeside(t *testing.T) {
	s, err := dovecot.Start(dovecot.Options{SignIn: &dovecot.SignIn{Introspection: "http://127.0.0.1:9/", Mechanisms: "plain login"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	for _, test := range []struct {
		auth, holder string
		warned       bool
	}{{"plain", "bob", true}, {"auto", "bob", false}, {"plain", "alice", false}} {
		a := plan.Account{Name: "alice", Folder: "INBOX", Source: onDovecot(t, s, s.POP3S, "alice"), Destination: onDovecot(t, s, s.IMAPS, "alice")}
		for _, side := range []*plan.Endpoint{&a.Source, &a.Destination} {
			side.Auth, side.CertFile, side.Certificate = test.auth, "own.pem", certificateOf(t, s, test.holder)
		}
		found := run(t, a).Accounts[0]
		beside := 0
		for _, w := range found.Warnings {
			if w.Topic == "certificate-beside" {
				beside++
			}
		}
		if told := strings.Count(fmt.Sprint(found.Notes), "is not shown"); told == 2 != (test.auth == "auto") {
			t.Errorf("%+v: %q", test, found.Notes)
		}
		if want := map[bool]int{true: 2}[test.warned]; beside != want || !found.Source.OK || !found.Destination.OK {
			t.Errorf("%+v: %+v", test, found.Warnings)
		}
	}
}

// TestDovecotSharedCertificate: one that opens none of many mailboxes is refused three times, also
// where each account goes on with a password of its own.
func TestDovecotSharedCertificate(t *testing.T) {
	s, err := dovecot.Start(dovecot.Options{SignIn: &dovecot.SignIn{Introspection: "http://127.0.0.1:9/"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	for password, code := range map[string]fault.Code{"": fault.Credentials, s.Password: fault.OK} {
		config := plan.Config{Limits: plan.Limits{Accounts: 8, PerHost: 8}}
		for i := range 10 {
			a := plan.Account{Name: fmt.Sprint("a", i), Folder: "INBOX", Source: onDovecot(t, s, s.POP3S, fmt.Sprint("u", i)),
				Destination: onDovecot(t, s, s.IMAPS, fmt.Sprint("u", i))}
			a.Source.Secret, a.Source.CertFile, a.Source.Certificate = secret.New(password), "own.pem", certificateOf(t, s, "mallory")
			config.Accounts = append(config.Accounts, a)
		}
		var refused atomic.Int32
		r, err := check.Run(t.Context(), check.Options{Config: &config, DialSource: func(ctx context.Context, a plan.Account) (*pop.Maildrop, error) {
			m, err := signin.Dial{}.Source(ctx, a)
			if err != nil || m.RefusedWay() == "EXTERNAL" {
				refused.Add(1)
			}
			return m, err
		}})
		if err != nil || r.ExitCode != code || refused.Load() != 3 {
			t.Errorf("password %q: %v, exit %v, refused %d times", password, err, r.ExitCode, refused.Load())
		}
	}
}

func certificateOf(t *testing.T, s *dovecot.Server, user string) *tls.Certificate {
	t.Helper()
	certificate, err := s.Certs.User(user)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// TestAdministratorsPassword: by SCRAM, Dovecot answers a wrong one as if it were right; what it
// says of the way that follows tells.
func TestAdministratorsPassword(t *testing.T) {
	issuer := tokens.Start()
	t.Cleanup(issuer.Close)
	s := start(t, dovecot.Options{SignIn: &dovecot.SignIn{Introspection: issuer.URL()}})
	for auth, want := range map[string]struct{ topic, check string }{
		"scram-sha-256": {"no-rights", "unless it is an administrator's"},
		"auto":          {"login-refused", "user name and password"}, "plain": {"login-refused", "user name and password"},
	} {
		a := plan.Account{Name: "alice", Folder: "INBOX", Source: onDovecot(t, s, s.POP3S, "alice"),
			Destination: onDovecot(t, s, s.IMAPS, "alice*"+dovecot.Master)}
		a.Destination.Auth = auth
		if p := run(t, a).Accounts[0].Destination.Problem; p == nil || p.Topic != want.topic || !strings.Contains(p.Check, want.check) {
			t.Errorf("%s: %+v", auth, p)
		}
	}
}
