package bridge_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/mailtest/proxy"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// wide is more than anything here takes on the slowest machine.
const wide = 2 * time.Minute

// harbour is a Dovecot with accounts that a bridge keeps.
type harbour struct {
	t      *testing.T
	server *dovecot.Server
	imap   *proxy.Proxy // all go through it
	state  string
	sent   map[string]map[string]int // by user and canonical content

	mu     sync.Mutex
	passes map[string][]bridge.Pass
}

func newHarbour(t *testing.T) *harbour {
	t.Helper()
	if _, ok := dovecot.Found(); !ok {
		t.Skip("dovecot is not installed")
	}
	server, err := dovecot.Start(dovecot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &harbour{t: t, server: server, state: t.TempDir(), sent: map[string]map[string]int{}, passes: map[string][]bridge.Pass{}}
	h.imap = h.proxy(server.IMAP, nil)
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *harbour) proxy(target string, plan func(int) []proxy.Fault) *proxy.Proxy {
	h.t.Helper()
	p, err := proxy.Start(proxy.Options{Target: target, Plan: plan})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { p.Close() })
	return p
}

func users(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("user%d", i))
	}
	return names
}

// accounts are those of some users. Between this machine and itself there is no TLS, which
// 200 accounts on two cores would spend most of their time with.
func (h *harbour) accounts(names ...string) []plan.Account {
	side := func(address, user string) plan.Endpoint {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			h.t.Fatal(err)
		}
		number, _ := strconv.Atoi(port) // the server's own
		return plan.Endpoint{Endpoint: wire.Endpoint{Host: host, Port: number, TLS: wire.None},
			Username: user, Secret: secret.New(h.server.Password), Auth: "plain", Connections: 2}
	}
	var accounts []plan.Account
	for _, user := range names {
		accounts = append(accounts, plan.Account{Name: user, Folder: "INBOX", Source: side(h.server.POP3, user),
			Destination: side(h.imap.Addr(), user+"-at-home")})
	}
	return accounts
}

// keeps lets a bridge keep accounts until the test is over or stop is called.
func (h *harbour) keeps(accounts []plan.Account) (stop func()) {
	h.t.Helper()
	j, err := journal.Open(h.state)
	if err != nil {
		h.t.Fatal(err)
	}
	fleet := ferry.NewFleet(ferry.Options{Journal: j, Spool: h.t.TempDir(), Config: &plan.Config{Accounts: accounts,
		Limits: plan.Limits{Accounts: 8, PerHost: 8}, Settle: time.Second}})
	var set []bridge.Account
	for _, a := range accounts {
		set = append(set, bridge.Account{Name: a.Name, Interval: 2 * time.Second, Fastest: time.Second,
			Pass: func(ctx context.Context, held bool) ferry.AccountReport { return fleet.Pass(ctx, a.Name, held) }})
	}
	b := bridge.New(bridge.Options{Finished: h.passed})
	ctx, cancel := context.WithCancel(context.Background())
	b.Start(ctx, set)
	stop = sync.OnceFunc(func() {
		cancel()
		b.Wait()
		fleet.Close()
		if err := j.Close(); err != nil {
			h.t.Error(err)
		}
	})
	h.t.Cleanup(stop)
	return stop
}

func (h *harbour) passed(p bridge.Pass) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.passes[p.Report.Name] = append(h.passes[p.Report.Name], p)
}

func (h *harbour) passesOf(name string) []bridge.Pass {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.passes[name]
}

func (h *harbour) deliver(n int, seed int64, names ...string) {
	h.t.Helper()
	for i, user := range names {
		if h.sent[user] == nil {
			h.sent[user] = map[string]int{}
		}
		for _, m := range corpus.Ordinary(n, seed+int64(i)) {
			if err := h.server.Deliver(user, m.Raw); err != nil {
				h.t.Fatal(err)
			}
			h.sent[user][string(corpus.Canonical(m.Raw))]++
		}
	}
}

// missing compares the server's files with what was sent.
func (h *harbour) missing(user string) (missing int) {
	h.t.Helper()
	files, err := h.server.Messages(user+"-at-home", "INBOX")
	if err != nil {
		h.t.Fatal(err)
	}
	got := map[string]int{}
	for _, f := range files {
		got[string(corpus.Canonical(f.Raw))]++
	}
	for content, n := range got {
		if n > h.sent[user][content] {
			h.t.Fatalf("%s has %d of what was sent %d times", user, n, h.sent[user][content])
		}
	}
	for content, n := range h.sent[user] {
		missing += n - got[content]
	}
	return missing
}

func (h *harbour) until(what string, happened func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(wide); !happened(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("never happened: %s", what)
		}
	}
}

// arrives waits until users have all that was sent to them.
func (h *harbour) arrives(names ...string) {
	h.t.Helper()
	for _, user := range names {
		h.until("all mail of "+user+" arrives", func() bool { return h.missing(user) == 0 })
	}
}

// TestTwoHundredAccounts: one stalls, one is refused, and all others carry what they have
// and what comes later.
func TestTwoHundredAccounts(t *testing.T) {
	h := newHarbour(t)
	names := users(200)
	well := names[2:]
	h.deliver(2, 1, names...)
	accounts := h.accounts(names...)
	silent := h.proxy(h.server.POP3, func(int) []proxy.Fault {
		return []proxy.Fault{{Dir: proxy.Down, When: proxy.At(0), Kind: proxy.Silence}}
	})
	_, port, _ := net.SplitHostPort(silent.Addr()) // the proxy's own
	accounts[0].Source.Port, _ = strconv.Atoi(port)
	accounts[1].Source.Secret = secret.New("wrong")
	stop := h.keeps(accounts)
	h.arrives(well...)
	h.deliver(1, 1000, well...)
	h.arrives(well...)
	if silent.Stats().Connections == 0 {
		t.Error("the account that stalls did not even begin")
	}
	for _, p := range h.passesOf(names[0]) {
		if p.Report.ExitCode != fault.Temporary {
			t.Errorf("the account that stalls: %+v", p.Report)
		}
	}
	refused := h.passesOf(names[1])
	if len(refused) == 0 || refused[0].Report.ExitCode != fault.Credentials {
		t.Fatalf("the account that is refused: %+v", refused)
	}
	stop()
	log, err := os.ReadFile(h.server.Log)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), "auth failed"); n < 1 || n > 2 {
		t.Errorf("%d bad logins", n)
	}
}

// TestServerGoesAndComes: mail that arrives meanwhile is there soon after, with nobody
// doing anything.
func TestServerGoesAndComes(t *testing.T) {
	h := newHarbour(t)
	names := users(5)
	h.deliver(3, 1, names...)
	h.keeps(h.accounts(names...))
	h.arrives(names...)
	if err := h.server.Down(); err != nil {
		t.Fatal(err)
	}
	h.deliver(3, 100, names...)
	h.until("a pass fails", func() bool {
		for _, p := range h.passesOf(names[0]) {
			if p.Report.ExitCode == fault.Temporary {
				return true
			}
		}
		return false
	})
	if err := h.server.Up(); err != nil {
		t.Fatal(err)
	}
	h.arrives(names...)
}

// TestQuietPolls touch no IMAP server, and no file of the journal.
func TestQuietPolls(t *testing.T) {
	h := newHarbour(t)
	h.deliver(10, 1, "alice")
	h.keeps(h.accounts("alice"))
	h.arrives("alice")
	quiet := func(n int) func() bool {
		return func() bool {
			passes := h.passesOf("alice")
			return len(passes) >= n && passes[len(passes)-1].Report.Delivered == 0
		}
	}
	h.until("a quiet pass", quiet(2))
	before, files, connected := len(h.passesOf("alice")), h.files(), h.imap.Stats().Connections
	h.until("more quiet passes", quiet(before+3))
	if after := h.files(); after != files {
		t.Errorf("files were\n%s and are\n%s", files, after)
	}
	if n := h.imap.Stats().Connections - connected; n != 0 {
		t.Errorf("%d connections to IMAP", n)
	}
	for _, p := range h.passesOf("alice")[before:] {
		if r := p.Report; r.ExitCode != fault.OK || r.Listed != 10 || r.Known != 10 {
			t.Errorf("%+v", r)
		}
	}
}

// files are the names and contents of what the journal has on disk. The index of the log is
// shared memory, which readers write to.
func (h *harbour) files() string {
	h.t.Helper()
	entries, err := os.ReadDir(h.state)
	if err != nil {
		h.t.Fatal(err)
	}
	var list strings.Builder
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "-shm") || e.IsDir() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(h.state, e.Name()))
		if err != nil {
			h.t.Fatal(err)
		}
		fmt.Fprintf(&list, "%s %d %x\n", e.Name(), len(data), sha256.Sum256(data))
	}
	return list.String()
}
