package check_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/check"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

const password = "Zugang-7#geheim"

// stage is a pair of servers and an account between them.
type stage struct {
	pop     *popd.Server
	imap    *imapd.Server
	account plan.Account
}

func at(user string, dial wire.DialFunc, port int) plan.Endpoint {
	e := wire.Endpoint{Host: "127.0.0.1", Port: port, TLS: wire.None, Dial: dial}
	e.Limits = wire.Limits{Greeting: time.Second, Probe: time.Second}
	return plan.Endpoint{Endpoint: e, Username: user, Secret: secret.New(password), Auth: "auto", Connections: 4}
}

// newStage has two obedient servers unless the options say otherwise.
func newStage(t *testing.T, from popd.Options, to imapd.Options, mail ...string) *stage {
	t.Helper()
	var raw [][]byte
	for _, m := range mail {
		raw = append(raw, []byte(m))
	}
	s := &stage{pop: popd.New(from, raw...), imap: imapd.New(to)}
	t.Cleanup(func() { s.pop.Close(); s.imap.Close() })
	s.account = plan.Account{
		Name: "alice", Source: at("alice", s.pop.Dial, 110), Destination: at("alice", s.imap.Dial, 143), Folder: "INBOX",
	}
	return s
}

func run(t *testing.T, accounts ...plan.Account) check.Report {
	t.Helper()
	config := &plan.Config{Accounts: accounts, Limits: plan.Limits{Accounts: 8, PerHost: 4}}
	r, err := check.Run(t.Context(), check.Options{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []any{r} {
		out, err := json.Marshal(text)
		if err != nil || strings.Contains(string(out), password) {
			t.Errorf("%v, or the password is in %s", err, out)
		}
	}
	return r
}

func topics(list []check.Finding) (names []string) {
	for _, f := range list {
		if f.Symptom == "" || f.Cause == "" || f.Check == "" {
			names = append(names, "incomplete:")
		}
		names = append(names, f.Topic)
	}
	return names
}

// wantProblem wants one side to fail in a way, and the other to be well.
func wantProblem(t *testing.T, broken, well check.Side, code fault.Code, topic string, words ...string) {
	t.Helper()
	if !well.OK || well.Problem != nil {
		t.Errorf("the other side failed as well: %+v", well.Problem)
	}
	p := broken.Problem
	if p == nil || broken.OK {
		t.Fatal("it did not fail")
	}
	if p.Code != code || p.Topic != topic || p.Cause == "" || p.Check == "" {
		t.Errorf("%v %s\n%s\n%s\n%s\nwant %v %s", p.Code, p.Topic, p.Symptom, p.Cause, p.Check, code, topic)
	}
	for _, w := range words {
		if !strings.Contains(p.Symptom+"\n"+p.Check, w) {
			t.Errorf("%q is in neither %q nor %q", w, p.Symptom, p.Check)
		}
	}
}

func replying(replies map[string]string) func(string, int) ([]byte, bool) {
	return func(cmd string, _ int) ([]byte, bool) {
		raw, ok := replies[cmd]
		return []byte(raw), ok
	}
}

func TestAllIsWell(t *testing.T) {
	s := newStage(t, popd.Options{Capabilities: []string{"EXPIRE 60", "IMPLEMENTATION test \x1b[31m"}},
		imapd.Options{AppendLimit: 50_000, Quota: 1 << 20}, "Subject: a\r\n\r\nshort\r\n",
		"Subject: b\r\n\r\n"+strings.Repeat("longer\r\n", 100))
	r := run(t, s.account)
	a := r.Accounts[0]
	if r.ExitCode != fault.OK || r.Totals.OK != 1 || r.Totals.Messages != 2 || !a.Source.OK || !a.Destination.OK {
		t.Fatalf("%+v", r)
	}
	if a.Source.Messages != 2 || a.Source.Largest != 814 || a.Source.Bytes != 835 || a.Source.Expire != "60" ||
		a.Source.Auth != "PLAIN" || !slices.Contains(a.Source.Capabilities, "PIPELINING") {
		t.Errorf("%+v", a.Source)
	}
	if strings.Contains(a.Source.Software, "\x1b") || a.Source.Software == "" {
		t.Errorf("software %q", a.Source.Software)
	}
	d := a.Destination
	if d.Folder == nil || !d.Folder.Exists || d.Folder.Mailbox != "INBOX" || d.AppendLimit != 50_000 ||
		d.QuotaBytes == nil || *d.QuotaBytes != 1<<20 || !slices.Contains(d.Missing, "SPECIAL-USE") {
		t.Errorf("%+v %+v", d, d.Folder)
	}
	if got := topics(a.Warnings); !slices.Equal(got, []string{"password-reused"}) {
		t.Errorf("warnings %q", got)
	}
}

// TestNothingIsWritten: no command that could change anything is sent.
func TestNothingIsWritten(t *testing.T) {
	s := newStage(t, popd.Options{ExpireAtOnce: true}, imapd.Options{}, "Subject: a\r\n\r\nb\r\n")
	s.account.Folder = "Not/There"
	r := run(t, s.account)
	if r.ExitCode != fault.OK || r.Accounts[0].Destination.Folder.Exists {
		t.Errorf("%+v", r.Accounts[0])
	}
	if len(s.pop.Messages()) != 1 || s.pop.Counters().Quit != 1 {
		t.Errorf("%d messages, %+v", len(s.pop.Messages()), s.pop.Counters())
	}
	for _, verb := range []string{"RETR", "TOP", "DELE", "RSET"} {
		if n := s.pop.Counters().Commands[verb]; n > 0 {
			t.Errorf("%d %s", n, verb)
		}
	}
	allowed := []string{"AUTHENTICATE", "CAPABILITY", "EXAMINE", "GETQUOTAROOT", "ID", "LIST", "LOGOUT", "LSUB", "NAMESPACE",
		"STATUS"}
	for verb := range s.imap.Counters().Commands {
		if !slices.Contains(allowed, verb) {
			t.Errorf("sent %s", verb)
		}
	}
	if got := s.imap.User("alice").Mailboxes(); !slices.Equal(got, []string{"INBOX"}) {
		t.Errorf("folders %q", got)
	}
}

// TestRefusedLogins: the three lines for what POP3 and IMAP servers say.
func TestRefusedLogins(t *testing.T) {
	for name, c := range map[string]struct {
		pop, imap string
		code      fault.Code
		topic     string
		words     string
	}{
		"POP3, app password": {pop: "-ERR [AUTH] Application-specific password required\r\n", code: fault.Credentials,
			topic: "app-password"},
		"POP3, switched off": {pop: "-ERR [AUTH] POP3 access is disabled\r\n", code: fault.Credentials,
			topic: "switched-off"},
		"POP3, locked":      {pop: "-ERR [IN-USE] lock\r\n", code: fault.Temporary, topic: "maildrop-locked"},
		"POP3, hostile":     {pop: "-ERR \x1b[2J" + strings.Repeat("x", 400) + "\r\n", code: fault.Credentials, topic: "login-refused", words: `\x1b[2J`},
		"POP3, too often":   {pop: "-ERR Exceeded the login limit for a 15 minute period\r\n", code: fault.Temporary, topic: "locked-out"},
		"IMAP, plain no":    {imap: "NO no", code: fault.Credentials, topic: "login-refused"},
		"IMAP, Exchange":    {imap: "NO User is authenticated but not connected.", code: fault.Credentials, topic: "not-connected"},
		"IMAP, expired":     {imap: "NO [EXPIRED] old", code: fault.Credentials, topic: "password-expired"},
		"IMAP, too many":    {imap: "NO [LIMIT] Too many simultaneous connections", code: fault.Temporary, topic: "too-many-connections"},
		"IMAP, mechanism":   {imap: "BAD Unknown authentication mechanism", code: fault.Protocol, topic: "wrong-auth"},
		"IMAP, unavailable": {imap: "NO [UNAVAILABLE] backend down", code: fault.Temporary, topic: "server-trouble"},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := popd.Options{}, imapd.Options{}
			if c.pop != "" {
				from.Reply = replying(map[string]string{"AUTH": c.pop, "PASS": c.pop})
			}
			if c.imap != "" {
				to.Reply = func(e imapd.Event) imapd.Action {
					if e.Stage == imapd.AtCommand && e.Command == "AUTHENTICATE" {
						return imapd.Action{Reply: c.imap}
					}
					return imapd.Action{}
				}
			}
			account := newStage(t, from, to).account
			account.Source.Auth, account.Destination.Auth = "plain", "plain"
			a := run(t, account).Accounts[0]
			broken, well := a.Source.Side, a.Destination.Side
			if c.imap != "" {
				broken, well = well, broken
			}
			wantProblem(t, broken, well, c.code, c.topic, c.words)
		})
	}
}

// TestLoginDelay: the wait that the server wants is told.
func TestLoginDelay(t *testing.T) {
	s := newStage(t, popd.Options{LoginDelay: 5 * time.Minute}, imapd.Options{})
	if a := run(t, s.account).Accounts[0]; a.Source.LoginDelay != 300 || !a.Source.OK {
		t.Fatalf("%+v", a.Source)
	}
	a := run(t, s.account).Accounts[0]
	wantProblem(t, a.Source.Side, a.Destination.Side, fault.Temporary, "login-delay", "wait 5m")
}

// TestARefusedPasswordIsTriedOnce, however many accounts have it.
func TestARefusedPasswordIsTriedOnce(t *testing.T) {
	s := newStage(t, popd.Options{}, imapd.Options{Username: "archive", Password: "another"})
	var accounts []plan.Account
	for i := range 20 {
		a := s.account
		a.Name, a.Source.Username, a.Destination.Username = fmt.Sprint("a", i), fmt.Sprint("a", i), "archive"
		accounts = append(accounts, a)
	}
	r := run(t, accounts...)
	if n := s.imap.Counters().Refused; n != 1 {
		t.Errorf("%d refused logins", n)
	}
	for _, a := range r.Accounts {
		wantProblem(t, a.Destination.Side, a.Source.Side, fault.Credentials, "login-refused")
	}
	// Another password for the same user is another login.
	accounts[7].Destination.Secret = secret.New("a third")
	run(t, accounts...)
	if n := s.imap.Counters().Refused; n != 1+2 {
		t.Errorf("%d refused logins after the second check", n)
	}
}

// TestALoginForOthers is given three tries: of those whose mailbox it opens, one may
// not be there.
func TestALoginForOthers(t *testing.T) {
	refuse := func(broken ...string) func(imapd.Event) imapd.Action {
		return func(e imapd.Event) imapd.Action {
			if e.Stage != imapd.AtCommand || e.Command != "AUTHENTICATE" {
				return imapd.Action{}
			}
			words := strings.Fields(e.Line)
			response, _ := base64.StdEncoding.DecodeString(words[len(words)-1])
			whose, _, _ := strings.Cut(string(response), "\x00")
			if broken == nil || slices.Contains(broken, whose) {
				return imapd.Action{Reply: "NO [AUTHENTICATIONFAILED] no"}
			}
			return imapd.Action{}
		}
	}
	for name, c := range map[string]struct {
		reply         func(imapd.Event) imapd.Action
		tried, failed int
	}{
		"one is not there": {refuse("a0"), 10, 1},
		"the password":     {refuse(), 3, 10},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, popd.Options{}, imapd.Options{Reply: c.reply})
			var accounts []plan.Account
			for i := range 10 {
				a := s.account
				a.Name, a.Source.Username = fmt.Sprint("a", i), fmt.Sprint("a", i)
				a.Destination.Username, a.Destination.AuthorizeAs, a.Destination.Auth = "admin", a.Name, "plain"
				accounts = append(accounts, a)
			}
			refused := 0
			for _, a := range run(t, accounts...).Accounts {
				if p := a.Destination.Problem; p != nil && p.Code == fault.Credentials {
					refused++
				}
			}
			if n := s.imap.Counters().Commands["AUTHENTICATE"]; n != c.tried || refused != c.failed {
				t.Errorf("%d tries and %d refused, want %d and %d", n, refused, c.tried, c.failed)
			}
		})
	}
}

// TestAServerThatIsNotThereIsTriedAFewTimes, not once for each account; and another
// protocol at the same address is another server.
func TestAServerThatIsNotThereIsTriedAFewTimes(t *testing.T) {
	s := newStage(t, popd.Options{}, imapd.Options{})
	var mu sync.Mutex
	dials := 0
	nowhere := func(context.Context, string, string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		dials++
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}
	}
	var accounts []plan.Account
	for i := range 100 {
		a := s.account
		a.Name, a.Source.Username, a.Destination.Username = fmt.Sprint("a", i), fmt.Sprint("a", i), fmt.Sprint("a", i)
		a.Destination.Port, a.Destination.Dial = a.Source.Port, nowhere
		accounts = append(accounts, a)
	}
	for _, a := range run(t, accounts...).Accounts {
		wantProblem(t, a.Destination.Side, a.Source.Side, fault.Temporary, "unknown-host")
	}
	if dials > 8 {
		t.Errorf("dialled %d times", dials)
	}
}

// counted counts the connections that are open at once.
type counted struct {
	mu         sync.Mutex
	open, most int
}

func (c *counted) dial(dial wire.DialFunc) wire.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.open++
		c.most = max(c.most, c.open)
		return &countedConn{Conn: conn, all: c}, err
	}
}

type countedConn struct {
	net.Conn
	all  *counted
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() {
		c.all.mu.Lock()
		defer c.all.mu.Unlock()
		c.all.open--
	})
	return c.Conn.Close()
}

// TestASilentServerIsWaitedForAFewTimes, whoever is to log in.
func TestASilentServerIsWaitedForAFewTimes(t *testing.T) {
	s := newStage(t, popd.Options{Reply: replying(map[string]string{"GREETING": ""})}, imapd.Options{})
	s.account.Source.Limits = wire.Limits{Greeting: 50 * time.Millisecond, Probe: 50 * time.Millisecond}
	var accounts []plan.Account
	for i := range 60 {
		a := s.account
		a.Name, a.Source.Username, a.Destination.Username = fmt.Sprint("a", i), fmt.Sprint("a", i), fmt.Sprint("a", i)
		accounts = append(accounts, a)
	}
	for _, a := range run(t, accounts...).Accounts {
		wantProblem(t, a.Source.Side, a.Destination.Side, fault.Temporary, "silent-server")
	}
	if n := s.pop.Counters().Sessions; n > 8 {
		t.Errorf("%d sessions", n)
	}
}

// TestPanic: a bug that one account meets stops no other, not even one with its login.
func TestPanic(t *testing.T) {
	s := newStage(t, popd.Options{}, imapd.Options{})
	accounts := []plan.Account{s.account, s.account, s.account}
	for i := range accounts {
		accounts[i].Name = fmt.Sprint("a", i)
	}
	o := check.Options{
		Config: &plan.Config{Accounts: accounts, Limits: plan.Limits{Accounts: 1, PerHost: 1}},
		DialSource: func(ctx context.Context, a plan.Account) (*pop.Maildrop, error) {
			if a.Name == "a0" {
				panic("a bug")
			}
			return ferry.DialSource(ctx, a)
		},
	}
	r, err := check.Run(t.Context(), o)
	if err != nil || r.ExitCode != fault.Internal || r.Totals.OK != 2 {
		t.Fatalf("%v %+v", err, r.Totals)
	}
	if p := r.Accounts[0].Source.Problem; !strings.Contains(p.Symptom, "a bug") || !strings.Contains(p.Check, "report") {
		t.Errorf("%+v", p)
	}
}

// TestLimits: no more accounts at once, and connections to a server, than allowed.
func TestLimits(t *testing.T) {
	for _, perHost := range []int{1, 3} {
		s := newStage(t, popd.Options{}, imapd.Options{})
		var pop, imap counted
		s.account.Source.Dial, s.account.Destination.Dial = pop.dial(s.pop.Dial), imap.dial(s.imap.Dial)
		var accounts []plan.Account
		for i := range 40 {
			a := s.account
			a.Name, a.Source.Username, a.Destination.Username = fmt.Sprint("a", i), fmt.Sprint("a", i), fmt.Sprint("a", i%4)
			accounts = append(accounts, a)
		}
		config := &plan.Config{Accounts: accounts, Limits: plan.Limits{Accounts: 10, PerHost: perHost}}
		steps := -1
		r, err := check.Run(t.Context(), check.Options{Config: config, Observe: func(done, all, failed int) {
			if steps++; done != steps || all != 40 || failed != 0 {
				t.Errorf("%d of %d, %d failed, in step %d", done, all, failed, steps)
			}
		}})
		if err != nil || r.ExitCode != fault.OK || steps != 40 {
			t.Fatalf("%v %+v", err, r.Totals)
		}
		if pop.most > perHost || imap.most > perHost || pop.open+imap.open > 0 {
			t.Errorf("%d and %d connections at once, %d allowed", pop.most, imap.most, perHost)
		}
	}
}

// TestStopped: an end by Ctrl-C leaves no account out and blames nobody.
func TestStopped(t *testing.T) {
	s := newStage(t, popd.Options{Reply: replying(map[string]string{"AUTH": ""})}, imapd.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	s.account.Source.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		time.AfterFunc(50*time.Millisecond, cancel)
		return s.pop.Dial(ctx, network, address)
	}
	config := &plan.Config{Accounts: []plan.Account{s.account, s.account}, Limits: plan.Limits{Accounts: 1, PerHost: 1}}
	config.Accounts[1].Name = "bob"
	r, err := check.Run(ctx, check.Options{Config: config})
	if err != nil || r.ExitCode != fault.Temporary || len(r.Accounts) != 2 {
		t.Fatalf("%v %+v", err, r)
	}
	for _, a := range r.Accounts {
		if p := a.Source.Problem; p == nil || p.Topic != check.Stopped {
			t.Errorf("%+v", p)
		}
	}
}

// listening puts the POP3 server on a real socket: over a pipe, a TLS alert waits for
// a reader.
func listening(t *testing.T, s *stage) {
	t.Helper()
	address, err := s.pop.Listen()
	if err != nil {
		t.Fatal(err)
	}
	s.account.Source.Port, s.account.Source.Dial = address.Port, nil
}

func secured(t *testing.T, keys *certs.Pair, s *stage) {
	t.Helper()
	files, err := keys.WriteFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.account.Source.TLS, s.account.Source.CAFile = wire.Implicit, files.CA
	listening(t, s)
}

// TestTrust: certificates of all bad kinds, through real handshakes.
func TestTrust(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		options certs.Options
		change  func(*testing.T, *stage)
		code    fault.Code
		topic   string
		words   string
	}{
		"expired": {certs.Options{NotAfter: now.Add(-time.Hour)}, nil, fault.TLS, "certificate-expired", "tls_pin: sha256:"},
		"early": {certs.Options{NotBefore: now.Add(time.Hour), NotAfter: now.Add(48 * time.Hour)}, nil, fault.TLS,
			"certificate-not-yet-valid", ""},
		"name": {certs.Options{Hosts: []string{"mail.example.org"}}, nil, fault.TLS, "certificate-name", "mail.example.org"},
		"unknown": {certs.Options{}, func(t *testing.T, s *stage) {
			other, err := certs.New(certs.Options{})
			if err != nil {
				t.Fatal(err)
			}
			secured(t, other, s)
		}, fault.TLS, "certificate-unknown-ca", "tls_pin: sha256:"},
		"pin": {certs.Options{}, func(_ *testing.T, s *stage) {
			s.account.Source.CAFile, s.account.Source.Pin = "", "sha256:"+strings.Repeat("00", 32)
		}, fault.TLS, "pin-changed", "it is sha256:"},
		"no CA file": {certs.Options{}, func(t *testing.T, s *stage) {
			s.account.Source.CAFile = filepath.Join(t.TempDir(), "none")
		}, fault.Config, "", "check the path"},
		"old": {certs.Options{}, func(_ *testing.T, s *stage) {
			s.pop.Configure(func(o *popd.Options) { o.TLS.MaxVersion = tls.VersionTLS11; o.TLS.MinVersion = tls.VersionTLS10 })
		}, fault.TLS, "old-tls", ""},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := certs.New(c.options)
			if err != nil {
				t.Fatal(err)
			}
			s := newStage(t, popd.Options{Mode: popd.Implicit, TLS: keys.Server()}, imapd.Options{})
			secured(t, keys, s)
			if c.change != nil {
				c.change(t, s)
			}
			a := run(t, s.account).Accounts[0]
			wantProblem(t, a.Source.Side, a.Destination.Side, c.code, c.topic, c.words)
			if n := s.pop.Counters().Logins; n > 0 {
				t.Errorf("%d logins", n)
			}
		})
	}
}

// TestSelfSigned: such a certificate has the remedy of its own.
func TestSelfSigned(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s := newStage(t, popd.Options{Mode: popd.Implicit, TLS: config}, imapd.Options{})
	s.account.Source.TLS = wire.Implicit
	listening(t, s)
	a := run(t, s.account).Accounts[0]
	wantProblem(t, a.Source.Side, a.Destination.Side, fault.TLS, "self-signed", "tls_pin: sha256:")
}

// TestWrongServers: what answers is something else, or speaks TLS at another time.
func TestWrongServers(t *testing.T) {
	keys, err := certs.New(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	answering := func(text string) wire.DialFunc {
		return func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				io.WriteString(server, text)
				io.Copy(io.Discard, server)
			}()
			return client, nil
		}
	}
	plain := newStage(t, popd.Options{}, imapd.Options{})
	listening(t, plain)
	listener := func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, plain.account.Source.Address())
	}
	imap := imapd.New(imapd.Options{})
	implicit := popd.New(popd.Options{Mode: popd.Implicit, TLS: keys.Server()})
	t.Cleanup(func() { imap.Close(); implicit.Close() })
	for name, c := range map[string]struct {
		dial  wire.DialFunc
		mode  wire.TLSMode
		code  fault.Code
		topic string
	}{
		"HTTP":             {answering("HTTP/1.1 400 Bad Request\r\n\r\n"), wire.None, fault.Protocol, "web-server"},
		"SMTP":             {answering("220 mail ESMTP\r\n"), wire.None, fault.Protocol, "smtp-port"},
		"IMAP":             {imap.Dial, wire.None, fault.Protocol, "other-protocol"},
		"SSH":              {answering("SSH-2.0-OpenSSH_9\r\n"), wire.None, fault.Protocol, "no-mail-server"},
		"TLS to plain":     {listener, wire.Implicit, fault.Config, "tls-not-spoken"},
		"plain to TLS":     {implicit.Dial, wire.None, fault.Config, "tls-expected"},
		"no STLS":          {popd.New(popd.Options{}).Dial, wire.STARTTLS, fault.TLS, "starttls-missing"},
		"refused":          {nil, wire.None, fault.Temporary, "connection-refused"},
		"a greeting of no": {answering("-ERR too busy\r\n"), wire.None, fault.Temporary, "server-trouble"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, popd.Options{}, imapd.Options{})
			s.account.Source.Dial, s.account.Source.TLS = c.dial, c.mode
			s.account.Source.Port = 20110
			if c.dial == nil {
				s.account.Source.Port = closedPort(t)
			}
			a := run(t, s.account).Accounts[0]
			wantProblem(t, a.Source.Side, a.Destination.Side, c.code, c.topic)
		})
	}
}

func closedPort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// TestDestinationWarnings: what works now and would not go well.
func TestDestinationWarnings(t *testing.T) {
	big := "Subject: big\r\n\r\n" + strings.Repeat("line\r\n", 400)
	for name, c := range map[string]struct {
		folder string
		to     imapd.Options
		make   []string
		want   []string
		words  string
	}{
		"not enough room":      {"INBOX", imapd.Options{Quota: 1024}, nil, []string{"quota"}, "2.4 kB are waiting and the destination's quota leaves 1.0 kB"},
		"just enough messages": {"INBOX", imapd.Options{Quota: 1 << 30, QuotaMessages: 1}, []string{}, nil, ""},
		"too large":            {"INBOX", imapd.Options{AppendLimit: 300}, nil, []string{"too-large"}, "takes 300 B"},
		"not subscribed":       {"Old", imapd.Options{}, []string{"Old"}, []string{"not-subscribed"}, "Old is not subscribed"},
		"another case":         {"old", imapd.Options{}, []string{"Old"}, []string{"folder-case"}, "old is not there, but Old is"},
		"the server's own folder": {"Sent", imapd.Options{SpecialUse: map[string]string{"Gesendet": `\Sent`}},
			[]string{"Gesendet"}, []string{"special-folder"}, `set folder: \Sent`},
		"by use": {`\Sent`, imapd.Options{SpecialUse: map[string]string{"Gesendet": `\Sent`}}, []string{"Gesendet"},
			[]string{"not-subscribed"}, "Gesendet"},
		"new": {"New", imapd.Options{Prefix: "INBOX."}, nil, nil, "folder INBOX.New is not there; the first run makes it"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, popd.Options{}, c.to, big)
			for _, box := range c.make {
				s.imap.User("alice").Create(box)
			}
			s.account.Folder = c.folder
			s.account.Destination.Secret = secret.New("another")
			r := run(t, s.account)
			a := r.Accounts[0]
			if got := topics(a.Warnings); !slices.Equal(got, c.want) || r.ExitCode != fault.OK {
				t.Errorf("exit %v, warnings %q, want %q", r.ExitCode, got, c.want)
			}
			if all := fmt.Sprint(a.Warnings, a.Notes); !strings.Contains(all, c.words) {
				t.Errorf("%q is not in %s", c.words, all)
			}
		})
	}
}

// TestNamespace: a name that the server can't have is a problem of accounts.yaml.
func TestNamespace(t *testing.T) {
	s := newStage(t, popd.Options{}, imapd.Options{Prefix: "INBOX."})
	s.account.Folder = "Old.Mail"
	a := run(t, s.account).Accounts[0]
	wantProblem(t, a.Destination.Side, a.Source.Side, fault.Config, "namespace", "separates folders")
}

// TestReadOnly: access lists say it, before a run finds out.
func TestReadOnly(t *testing.T) {
	s := newStage(t, popd.Options{}, imapd.Options{Capabilities: []string{"ACL"}, Reply: func(e imapd.Event) imapd.Action {
		if e.Stage == imapd.AtCommand && e.Command == "MYRIGHTS" {
			return imapd.Action{Raw: "* MYRIGHTS INBOX lrs\r\n", Reply: "OK done"}
		}
		return imapd.Action{}
	}})
	a := run(t, s.account).Accounts[0]
	wantProblem(t, a.Destination.Side, a.Source.Side, fault.Refused, "read-only", "folder INBOX")
}

// TestMaildropNotes: what is good to know of a server before the first run.
func TestMaildropNotes(t *testing.T) {
	s := newStage(t, popd.Options{NoUIDL: true, LoginDelay: time.Minute}, imapd.Options{}, "Subject: x\r\n\r\n")
	notes := strings.Join(run(t, s.account).Accounts[0].Notes, "\n")
	for _, words := range []string{"no names (UIDL)", "wait 1m0s before a run"} {
		if !strings.Contains(notes, words) {
			t.Errorf("%q is not in %q", words, notes)
		}
	}
}

// TestEmptyMaildrop leads to what may be the matter.
func TestEmptyMaildrop(t *testing.T) {
	a := run(t, newStage(t, popd.Options{}, imapd.Options{}).account).Accounts[0]
	if !strings.Contains(fmt.Sprint(a.Notes), "--explain nothing-listed") {
		t.Errorf("notes %q", a.Notes)
	}
}

// TestProviders: who is known has words and a page of its own.
func TestProviders(t *testing.T) {
	s := newStage(t, popd.Options{Reply: replying(map[string]string{
		"AUTH": "-ERR [AUTH] Application-specific password required: https://support.example/\r\n"})}, imapd.Options{})
	s.account.Source.Host, s.account.Source.AllowPlaintext = "pop.gmail.com", true
	a := run(t, s.account).Accounts[0]
	wantProblem(t, a.Source.Side, a.Destination.Side, fault.Credentials, "app-password")
	if p := a.Source.Problem; !strings.HasPrefix(p.Page, "https://") {
		t.Errorf("%+v", p)
	}
	if got := topics(a.Warnings); !slices.Contains(got, "password-in-clear") {
		t.Errorf("warnings %q", got)
	}
	// What one says of itself counts for more than what is true of all.
	for host, c := range map[string]struct{ says, topic, words string }{
		"pop.gmail.com":            {"-ERR [SYS/PERM] Your account is not enabled for POP access.", "", "POP"},
		"outlook.office365.com":    {"-ERR Logon failure: unknown user name or bad password.", "login-refused", ""},
		"pop.mail.yahoo.com":       {"-ERR [AUTH] Incorrect username or password.", "login-refused", "app password"},
		"pop3.web.de":              {"-ERR no", "login-refused", "see that POP3 is switched on"},
		"pop.some-isp.example.org": {"-ERR no", "login-refused", "web mail"},
	} {
		s.account.Source.Host = host
		s.pop.Configure(func(o *popd.Options) {
			o.Reply = replying(map[string]string{"AUTH": c.says + "\r\n", "PASS": c.says + "\r\n"})
		})
		p := run(t, s.account).Accounts[0].Source.Problem
		if p == nil || c.topic != "" && p.Topic != c.topic || !strings.Contains(p.Check+p.Cause, c.words) ||
			(p.Page == "") != strings.HasSuffix(host, "example.org") {
			t.Errorf("%s: %+v", host, p)
		}
	}
	// A host of a provider that is not the one for POP3.
	s.account.Source.Host, s.account.Source.Dial = "smtp.gmail.com", func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	a = run(t, s.account).Accounts[0]
	wantProblem(t, a.Source.Side, a.Destination.Side, fault.Temporary, "unknown-host", "pop.gmail.com, port: 995")
}

// TestLimitsOfProviders: what a provider is known to take, where its server does not
// say so.
func TestLimitsOfProviders(t *testing.T) {
	s := newStage(t, popd.Options{}, imapd.Options{})
	for range 240 {
		s.pop.Deliver([]byte("Subject: x\r\n\r\n"))
	}
	s.pop.Configure(func(o *popd.Options) { o.SizeOffset = 40_000_000 })
	s.account.Source.Host, s.account.Source.AllowPlaintext = "pop.gmail.com", true
	s.account.Destination.Host, s.account.Destination.AllowPlaintext = "imap.gmail.com", true
	s.account.Destination.Connections, s.account.Destination.Secret = 20, secret.New("another")
	a := run(t, s.account).Accounts[0]
	want := []string{"password-in-clear", "password-in-clear", "too-large", "too-many-connections"}
	if got := topics(a.Warnings); !slices.Equal(got, want) {
		t.Errorf("warnings %q, want %q", got, want)
	}
	notes := strings.Join(a.Notes, "\n")
	for _, words := range []string{"lists about 250 messages at a time", "takes about 524 MB a day: what is waiting needs 19 days"} {
		if !strings.Contains(notes, words) {
			t.Errorf("%q is not in %q", words, notes)
		}
	}
	if a.Source.Provider == "" || len(a.Source.Quirks) == 0 || len(a.Destination.Quirks) == 0 {
		t.Errorf("%+v", a.Source)
	}
}

// TestDeliveredBefore: what is known needs no room, and is not waiting.
func TestDeliveredBefore(t *testing.T) {
	s := newStage(t, popd.Options{}, imapd.Options{Quota: 1024}, "Subject: known\r\n\r\n"+strings.Repeat("x\r\n", 1000),
		"Subject: new\r\n\r\n")
	known := "u:" + s.pop.UIDLs()[0]
	o := check.Options{
		Config: &plan.Config{Accounts: []plan.Account{s.account}, Limits: plan.Limits{Accounts: 1, PerHost: 1}},
		Delivered: func(_ context.Context, a plan.Account, listing []plan.Listed) (map[string]bool, error) {
			if a.Name != "alice" || len(listing) != 2 {
				t.Errorf("asked for %s, %v", a.Name, listing)
			}
			return map[string]bool{known: true}, nil
		},
	}
	r, err := check.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	a := r.Accounts[0]
	if got := topics(a.Warnings); slices.Contains(got, "quota") || a.Source.Messages != 2 || a.Source.Waiting != 1 ||
		a.Source.WaitingBytes != 16 || a.Source.Largest != 16 || r.Totals.Waiting != 1 {
		t.Errorf("%q %+v", got, a.Source)
	}
	o.Delivered = func(context.Context, plan.Account, []plan.Listed) (map[string]bool, error) {
		return nil, fault.New(fault.State, "the disk is gone").WithHint("look at it")
	}
	if r, err = check.Run(t.Context(), o); err != nil || r.ExitCode != fault.State {
		t.Errorf("%v %+v", err, r.Accounts[0].Source.Problem)
	}
}

func TestUnknownAccount(t *testing.T) {
	config := &plan.Config{Accounts: []plan.Account{newStage(t, popd.Options{}, imapd.Options{}).account}}
	_, err := check.Run(t.Context(), check.Options{Config: config, Accounts: []string{"nobody"}})
	if fault.CodeOf(err) != fault.Usage {
		t.Errorf("%v", err)
	}
}
