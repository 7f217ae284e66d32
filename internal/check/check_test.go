package check_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/check"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/signin"
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
			whose, login, _ := strings.Cut(string(response), "\x00")
			if name, _, ok := strings.Cut(login, "*"); ok {
				whose = name
			}
			if broken == nil || slices.Contains(broken, whose) {
				return imapd.Action{Reply: "NO [AUTHENTICATIONFAILED] no"}
			}
			return imapd.Action{}
		}
	}
	authorized := func(e *plan.Endpoint, whose string) { e.Username, e.AuthorizeAs = "admin", whose }
	master := func(e *plan.Endpoint, whose string) { e.Username = whose + "*admin" }
	for name, c := range map[string]struct {
		reply         func(imapd.Event) imapd.Action
		login         func(e *plan.Endpoint, whose string)
		tried, failed int
	}{
		"one is not there":              {refuse("a0"), authorized, 10, 1},
		"the password":                  {refuse(), authorized, 3, 10},
		"one is not there, in one name": {refuse("a0"), master, 10, 1},
		"the password, in one name":     {refuse(), master, 3, 10},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, popd.Options{}, imapd.Options{Reply: c.reply})
			var accounts []plan.Account
			for i := range 10 {
				a := s.account
				a.Name, a.Source.Username = fmt.Sprint("a", i), fmt.Sprint("a", i)
				a.Destination.Auth = "plain"
				c.login(&a.Destination, a.Name)
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
			return signin.Dial{}.Source(ctx, a)
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
	for _, limits := range []plan.Limits{{Accounts: 10, PerHost: 1}, {Accounts: 10, PerHost: 3},
		{Accounts: 10, PerHost: 9, Hosts: map[string]plan.HostLimits{"127.0.0.1": {Connections: 2}}},
		{Accounts: 40, PerHost: 40, Hosts: map[string]plan.HostLimits{"127.0.0.1": {
			PerUser: plan.UserLimit{Connections: 2, Provider: "Example Mail"}}}}} {
		perHost := limits.Host("127.0.0.1").Connections
		perUser := cmp.Or(limits.Host("127.0.0.1").PerUser.Connections, perHost)
		s := newStage(t, popd.Options{}, imapd.Options{})
		var pop, imap counted
		s.account.Source.Dial, s.account.Destination.Dial = pop.dial(s.pop.Dial), imap.dial(s.imap.Dial)
		var accounts []plan.Account
		for i := range 40 {
			a := s.account
			a.Name, a.Source.Username, a.Destination.Username = fmt.Sprint("a", i), fmt.Sprint("a", i), fmt.Sprint("a", i%4)
			accounts = append(accounts, a)
		}
		config := &plan.Config{Accounts: accounts, Limits: limits}
		steps := -1
		r, err := check.Run(t.Context(), check.Options{Config: config, Observe: func(done, all, failed int) {
			if steps++; done != steps || all != 40 || failed != 0 {
				t.Errorf("%d of %d, %d failed, in step %d", done, all, failed, steps)
			}
		}})
		if err != nil || r.ExitCode != fault.OK || steps != 40 {
			t.Fatalf("%v %+v", err, r.Totals)
		}
		if pop.most > perHost || imap.most > min(perHost, 4*perUser) || pop.open+imap.open > 0 {
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
	o.Config.Accounts[0].Source.Skip = plan.NewUIDLs(s.pop.UIDLs()...)
	if r, err = check.Run(t.Context(), o); err != nil || r.Accounts[0].Source.LeftAlone != 1 || r.Totals.Waiting != 0 {
		t.Errorf("%v %+v", err, r.Accounts[0].Source)
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
