package check_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/check"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// users makes accounts, each with passwords of its own.
func users(s *stage, n int) (accounts []plan.Account) {
	for i := range n {
		a := s.account
		a.Name = fmt.Sprint("user", i)
		a.Source.Username, a.Destination.Username = a.Name, a.Name
		a.Source.Secret, a.Destination.Secret = secret.New(fmt.Sprint("from", i)), secret.New(fmt.Sprint("to", i))
		accounts = append(accounts, a)
	}
	return accounts
}

// TestLint: what is not safe about accounts.yaml is told to those whom it concerns.
func TestLint(t *testing.T) {
	s := newStage(t, popd.Options{}, imapd.Options{})
	own := &tls.Certificate{Certificate: [][]byte{[]byte("a certificate")}}
	for name, c := range map[string]struct {
		change func([]plan.Account)
		want   [3][]string
		words  string
	}{
		"all safe": {func([]plan.Account) {}, [3][]string{}, ""},
		"one mailbox": {func(a []plan.Account) {
			a[0].Source.Host, a[0].Destination.Host = "pop.gmx.net", "imap.gmx.net"
			a[0].Source.AllowPlaintext, a[0].Destination.AllowPlaintext = true, true
		}, [3][]string{{"password-in-clear", "password-in-clear", "one-mailbox"}, nil, nil}, "that of user0"},
		"one maildrop": {func(a []plan.Account) {
			a[1].Source.Username, a[1].DifferentUser = "user0*admin", true
		}, [3][]string{{"same-source"}, {"same-source"}, nil}, "that of user0: user0, user1"},
		"blanks": {func(a []plan.Account) {
			a[0].Source.Username, a[1].Destination.Username = "user0 ", "\u00a0user1"
			a[2].Source.Username, a[2].Source.AuthorizeAs = "user 2", "user2\ufeff"
			a[1].DifferentUser, a[2].DifferentUser = true, true
		}, [3][]string{{"blank-in-username", "other-user"}, {"blank-in-username"}, {"blank-in-username"}}, `"user2\ufeff"`},
		"what nobody typed": {func(a []plan.Account) {
			a[0].Source.Username, a[1].Source.Username = "us\u00ader0", "user1’s"
			a[0].DifferentUser, a[1].DifferentUser = true, true
		}, [3][]string{{"blank-in-username"}, {"blank-in-username"}, nil}, `"us\u00ader0"`},
		"one folder": {func(a []plan.Account) {
			a[0].Together, a[2].Together = []string{"user0", "user2"}, []string{"user0", "user2"}
		}, [3][]string{{"one-folder"}, nil, {"one-folder"}}, "the mail of 2 accounts goes into one folder"},
		"both sides": {func(a []plan.Account) { a[1].Source.Secret = secret.New("to1") },
			[3][]string{nil, {"password-reused"}, nil}, "both sides have the same password"},
		"two users": {func(a []plan.Account) { a[2].Source.Secret = secret.New("to0") },
			[3][]string{{"password-reused"}, nil, {"password-reused"}}, "the mail of 2 users"},
		"two passwords, two users each": {func(a []plan.Account) {
			a[0].Destination.Username, a[1].Destination.Username = "admin", "root"
			a[0].Destination.Secret, a[1].Destination.Secret = a[0].Source.Secret, a[1].Source.Secret
			a[0].DifferentUser, a[1].DifferentUser = true, true
		}, [3][]string{{"password-reused"}, {"password-reused"}, nil}, "the mail of 2 users: root, user1"},
		"one person's two addresses": {func(a []plan.Account) {
			a[2].Source.Secret, a[2].Destination.Username = secret.New("to2"), "user2@example.org"
		}, [3][]string{nil, nil, {"password-reused"}}, "both sides have"},
		"one login": {func(a []plan.Account) {
			for i := range a {
				a[i].Destination.Username, a[i].DifferentUser = "archive", true
				a[i].Destination.Secret = secret.New("one")
			}
		}, [3][]string{{"shared-login"}, {"shared-login"}, {"shared-login"}}, "the mail of 3 users is behind one login, archive on 127.0.0.1"},
		"one login for others": {func(a []plan.Account) {
			for i := range a {
				a[i].Source.AuthorizeAs, a[i].Source.Username, a[i].Source.Secret = a[i].Name, "admin", secret.New("one")
			}
		}, [3][]string{{"shared-login"}, {"shared-login"}, {"shared-login"}}, "behind one login, admin"},
		"one login on both sides": {func(a []plan.Account) {
			for i := range a {
				a[i].Source.AuthorizeAs, a[i].Source.Username, a[i].Source.Secret = a[i].Name, "admin", secret.New("one")
				a[i].Destination.AuthorizeAs, a[i].Destination.Username, a[i].Destination.Secret = a[i].Name, "admin", secret.New("one")
			}
		}, [3][]string{{"password-reused", "shared-login"}, {"password-reused", "shared-login"}, {"password-reused", "shared-login"}},
			"behind one login, admin"},
		"one name in several domains": {func(a []plan.Account) {
			for i := range a {
				a[i].Source.Username, a[i].Source.Secret = fmt.Sprintf("info@%c.example", 'a'+i), secret.New("one")
				a[i].Destination.Username = a[i].Source.Username
			}
		}, [3][]string{{"password-reused"}, {"password-reused"}, {"password-reused"}},
			"the mail of 3 users: info@a.example, info@b.example, info@c.example"},
		"one name on several servers": {func(a []plan.Account) {
			for i := range a {
				a[i].Source.Username, a[i].Source.Secret, a[i].DifferentUser = "info", secret.New("one"), true
				a[i].Source.Host = fmt.Sprintf("127.0.0.%d", i+1)
			}
		}, [3][]string{{"password-reused"}, {"password-reused"}, {"password-reused"}},
			"the mail of 3 users: info on 127.0.0.1, info on 127.0.0.2, info on 127.0.0.3"},
		"one person's two maildrops": {func(a []plan.Account) {
			a[1].Source.Username, a[1].Destination.Username = "user0@example.org", "user0"
			for i := range 2 {
				a[i].Source.Secret, a[i].Destination.Secret = secret.New("one"), secret.New("one")
				a[i].Destination.Host = "localhost"
			}
		}, [3][]string{{"password-reused"}, {"password-reused"}, nil}, "both sides have the same password"},
		"a master user": {func(a []plan.Account) {
			for i := range a {
				a[i].Source.Username, a[i].Source.Secret = a[i].Name+"*Root", secret.New("one")
				a[i].DifferentUser = true
			}
		}, [3][]string{{"shared-login"}, {"shared-login"}, {"shared-login"}},
			"the mail of 3 users is behind one login, Root on 127.0.0.1"},
		"one certificate": {func(a []plan.Account) {
			for i := range a {
				a[i].Destination.Auth, a[i].Destination.CertFile, a[i].Destination.Certificate = "external", "own.pem", own
			}
		}, [3][]string{{"shared-login"}, {"shared-login"}, {"shared-login"}}, "the mail of 3 users is behind one certificate, that in own.pem"},
		"one certificate for others": {func(a []plan.Account) {
			for i := range a {
				a[i].Source.AuthorizeAs, a[i].Source.Username, a[i].Source.Secret = a[i].Name, "admin", secret.Value{}
				a[i].Source.CertFile, a[i].Source.Certificate = "own.pem", own
			}
		}, [3][]string{{"shared-login"}, {"shared-login"}, {"shared-login"}}, "behind one login, admin"},
		"one certificate for TLS alone": {func(a []plan.Account) {
			for i := range a {
				a[i].Source.CertFile, a[i].Source.Certificate = "own.pem", own
			}
		}, [3][]string{}, ""},
		"two persons": {func(a []plan.Account) { a[0].Destination.Username = "eve" },
			[3][]string{{"other-user"}, nil, nil}, "user0 and eve"},
		"permission": {func(a []plan.Account) { a[1].Source.TLS, a[1].Source.AllowPlaintext = wire.STARTTLS, true },
			[3][]string{nil, {"plaintext-allowed"}, nil}, "not needed"},
		"clear text": {func(a []plan.Account) { a[0].Source.Host, a[0].Source.AllowPlaintext = "192.0.2.1", true },
			[3][]string{{"password-in-clear"}, nil, nil}, "192.0.2.1:110 crosses the network in clear text"},
	} {
		t.Run(name, func(t *testing.T) {
			accounts := users(s, 3)
			c.change(accounts)
			r := run(t, accounts...)
			all := ""
			for i, a := range r.Accounts {
				if got := topics(a.Warnings); !slices.Equal(got, c.want[i]) {
					t.Errorf("%s: %q, want %q", a.Name, got, c.want[i])
				}
				all += fmt.Sprintln(a.Warnings)
			}
			if !strings.Contains(all, c.words) {
				t.Errorf("%q is not in %s", c.words, all)
			}
		})
	}
}

// TestStray: characters that came along with a copy are told of, in a password only if it was
// refused, and without it.
func TestStray(t *testing.T) {
	for password, c := range map[string]struct {
		right bool
		want  string
	}{
		"abcd efgh":              {false, ""},
		"abcd\u00a0efgh":         {false, "has a character in it that nobody sees, or that a spreadsheet put in the place of another"},
		"abcd…":                  {false, "has a character in it that nobody sees, or that a spreadsheet put in the place of another"},
		"abcd\u200b":             {false, "begins or ends with a blank"},
		"abcd ":                  {false, "begins or ends with a blank"},
		"\u00a0abcd\u00a0efgh… ": {true, ""},
	} {
		o := popd.Options{Username: "alice", Password: "another"}
		if c.right {
			o.Password = password
		}
		s := newStage(t, o, imapd.Options{})
		s.account.Source.Secret = secret.New(password)
		got := fmt.Sprint(run(t, s.account).Accounts[0].Warnings)
		if strings.Contains(got, "blank-in-password") != (c.want != "") || !strings.Contains(got, c.want) || strings.Contains(got, "abcd") {
			t.Errorf("%q: %s", password, got)
		}
	}
}

// TestUnusedLimits: a host in limits that no account has is a slip.
func TestUnusedLimits(t *testing.T) {
	s := newStage(t, popd.Options{}, imapd.Options{})
	s.account.Destination.Secret, s.account.Destination.Host = secret.New("another"), "localhost"
	limits := plan.Limits{Accounts: 8, PerHost: 4, Hosts: map[string]plan.HostLimits{"127.0.0.1": {}, "localhost": {}}}
	for _, more := range []string{"", "pop.exmaple.org"} {
		if more != "" {
			limits.Hosts[more] = plan.HostLimits{}
		}
		r, err := check.Run(t.Context(), check.Options{Config: &plan.Config{Accounts: []plan.Account{s.account}, Limits: limits}})
		if err != nil {
			t.Fatal(err)
		}
		got := topics(r.Warnings)
		if (more == "") != (len(got) == 0) || r.Totals.Warnings != len(got) ||
			more != "" && !strings.Contains(r.Warnings[0].Symptom, "has pop.exmaple.org, and") {
			t.Errorf("%q: %+v", more, r.Warnings)
		}
	}
}

// ending are tokens whose end is known.
type ending struct{ at time.Time }

func (ending) Token(context.Context, string, plan.Endpoint) (secret.Value, error) {
	return secret.New(password), nil
}
func (ending) Tried(plan.Endpoint, secret.Value, error) bool   { return false }
func (e ending) Ends(plan.Endpoint) (time.Time, time.Duration) { return e.at, 0 }

// TestSignInExpiring: who has to sign in again soon is told beforehand.
func TestSignInExpiring(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		at   time.Time
		good bool
		want string
	}{
		"soon":           {now.Add(73 * time.Hour), true, "the sign-in of alice for the IMAP server 127.0.0.1:143 expires in 3 days"},
		"not soon":       {now.Add(16 * 24 * time.Hour), true, ""},
		"not known":      {time.Time{}, true, ""},
		"a failed login": {now.Add(73 * time.Hour), false, ""},
	} {
		s := newStage(t, popd.Options{}, imapd.Options{Token: func(string, string) bool { return c.good }})
		s.account.Destination.OAuth, s.account.Destination.Auth = &plan.OAuth{}, "xoauth2"
		r, err := check.Run(t.Context(), check.Options{Tokens: ending{c.at},
			Config: &plan.Config{Accounts: []plan.Account{s.account}, Limits: plan.Limits{Accounts: 8, PerHost: 4}}})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, w := range r.Accounts[0].Warnings {
			if w.Topic == "sign-in-expiring" {
				got = w.Symptom
			}
		}
		if got != c.want || r.Accounts[0].Destination.OK != c.good {
			t.Errorf("%s: %q, want %q; %+v", name, got, c.want, r.Accounts[0].Destination.Problem)
		}
	}
}

// TestWrittenPasswords are told of with the file that they stand in.
func TestWrittenPasswords(t *testing.T) {
	s := newStage(t, popd.Options{}, imapd.Options{})
	t.Setenv("CHECK_TEST", "two")
	for change, want := range map[string][]string{
		"":                nil,
		", password: one": {"the password stands in list.yaml"},
		", password: {env: CHECK_TEST}, proxy: \"socks5://me@127.0.0.1:1080\", proxy_password: three": {
			"the proxy_password stands in list.yaml"},
		", oauth: {flow: client-credentials, client_id: id, client_secret: four, scopes: [mail], " +
			"token_url: \"https://login.example.org/token\"}": {"the client_secret of oauth stands in list.yaml"},
	} {
		config, err := plan.Parse("list.yaml", []byte(`accounts:
  - source: {host: 127.0.0.1, port: 20110, tls: none, username: alice, password: {env: CHECK_TEST}}
    destination: {host: 127.0.0.1, tls: none, allow_plaintext: true, username: alice`+cmp.Or(change, ", password: {env: CHECK_TEST}")+`}
`))
		if err != nil {
			t.Fatal(err)
		}
		if err := config.Resolve(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		a := &config.Accounts[0]
		a.Source.Secret = secret.New("one of its own")
		a.Source.Dial, a.Destination.Dial, a.Destination.Proxy = s.pop.Dial, s.imap.Dial, nil
		var got []string
		for _, w := range run(t, *a).Accounts[0].Warnings {
			if w.Topic == "password-in-file" {
				got = append(got, w.Symptom)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", change, got, want)
		}
	}
}

// TestLintTLS: what a handshake agreed on, and what is about to end.
func TestLintTLS(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		keys   certs.Options
		change func(*stage, *tls.Config, *certs.Pair)
		later  time.Duration
		want   []string
		words  string
	}{
		"13 days left": {keys: certs.Options{NotAfter: now.Add(14*24*time.Hour - time.Minute)}, want: []string{"certificate-expiring"},
			words: "expires in 13 days"},
		"14 days left": {keys: certs.Options{NotAfter: now.Add(15*24*time.Hour - time.Minute)}},
		"one day left": {keys: certs.Options{NotAfter: now.Add(25 * time.Hour)}, want: []string{"certificate-expiring"},
			words: "expires in 1 day"},
		"pinned": {keys: certs.Options{NotAfter: now.Add(time.Hour)}, change: func(s *stage, _ *tls.Config, keys *certs.Pair) {
			s.account.Source.CAFile, s.account.Source.Pin = "", "sha256:"+keys.Pin()
		}, want: []string{"pin-expiring"}, words: "expires within a day"},
		"pinned and over": {keys: certs.Options{NotAfter: now.Add(-time.Hour)}, change: func(s *stage, _ *tls.Config, keys *certs.Pair) {
			s.account.Source.CAFile, s.account.Source.Pin = "", "sha256:"+keys.Pin()
		}, want: []string{"pin-expiring"}, words: "has expired"},
		"a certificate of our own": {change: func(s *stage, _ *tls.Config, _ *certs.Pair) {
			own, err := certs.New(certs.Options{NotAfter: now.Add(50 * time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			s.account.Source.CertFile, s.account.Source.Certificate = "own.pem", &own.Server().Certificates[0]
		}, want: []string{"own-certificate-expiring"}, words: "the certificate in own.pem expires in 2 days"},
		"CBC": {change: func(_ *stage, c *tls.Config, _ *certs.Pair) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}, want: []string{"weak-tls"}, words: "TLS 1.2 with TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"},
		"TLS 1.2 with GCM": {change: func(_ *stage, c *tls.Config, _ *certs.Pair) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		}},
		"an authority near its end": {later: 1, want: []string{"certificate-expiring", "ca-expiring"}, words: "the authority in "},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := certs.New(c.keys)
			if err != nil {
				t.Fatal(err)
			}
			config := keys.Server()
			s := newStage(t, popd.Options{Mode: popd.Implicit, TLS: config}, imapd.Options{})
			s.account.Destination.Secret = secret.New("another")
			secured(t, keys, s)
			if c.change != nil {
				c.change(s, config, keys)
			}
			o := check.Options{Config: &plan.Config{Accounts: []plan.Account{s.account}, Limits: plan.Limits{PerHost: 1}}}
			if c.later > 0 { // the clock of whoever judges, not that of the handshake
				o.Now = func() time.Time { return now.AddDate(11, 0, -7) }
			}
			r, err := check.Run(t.Context(), o)
			if err != nil || r.ExitCode != 0 {
				t.Fatalf("%v %+v", err, r.Accounts[0].Source.Problem)
			}
			a := r.Accounts[0]
			if got := topics(a.Warnings); !slices.Equal(got, c.want) || !strings.Contains(fmt.Sprint(a.Warnings), c.words) {
				t.Errorf("%q %v, want %q", got, a.Warnings, c.want)
			}
		})
	}
}
