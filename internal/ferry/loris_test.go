package ferry_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/mailtest/voyage"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// fleet is many accounts, each with a source of its own, and one destination, on a
// clock of their own.
type fleet struct {
	t     *testing.T
	start time.Time
	imap  *imapd.Server
	drops []*popd.Server
	o     ferry.Options

	mu         sync.Mutex
	open, most int           // connections to the destination
	last       time.Duration // when the run ended
	began      map[string]time.Duration
	ended      map[string]time.Duration
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	j, err := voyage.NewDisk().Lock()
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, start: time.Now(), imap: imapd.New(imapd.Options{Separate: true}),
		began: map[string]time.Duration{}, ended: map[string]time.Duration{}}
	f.o = ferry.Options{Journal: j, Spool: t.TempDir(), Observe: f.observe, Config: &plan.Config{
		Limits: plan.Limits{Accounts: 8, PerHost: 4}, Settle: voyage.Settle, Hash: "fleet",
	}}
	return f
}

func (f *fleet) observe(e ferry.Event) {
	switch e.Kind {
	case ferry.Started:
		f.began[e.Account] = time.Since(f.start)
	case ferry.Finished:
		f.ended[e.Account] = time.Since(f.start)
	}
}

// add adds an account whose connections are changed by a fault.
func (f *fleet) add(name string, ill ailing, mail ...[]byte) *plan.Account {
	drop := popd.New(popd.Options{}, mail...)
	f.drops = append(f.drops, drop)
	source := wire.Endpoint{Host: name + ".example.org", Port: 110, TLS: wire.None, AllowPlaintext: true,
		Dial: spoiled(drop.Dial, ill.source)}
	dest := wire.Endpoint{Host: "imap.example.net", Port: 143, TLS: wire.None, AllowPlaintext: true,
		Dial: f.counted(spoiled(f.imap.Dial, ill.dest))}
	f.o.Config.Accounts = append(f.o.Config.Accounts, plan.Account{Name: name, Folder: "INBOX",
		Source: plan.Endpoint{Endpoint: source, Username: name, Secret: secret.New("x"), Auth: "auto"},
		Destination: plan.Endpoint{Endpoint: dest, Username: name, Secret: secret.New("x"), Auth: "auto",
			Connections: 4}})
	return &f.o.Config.Accounts[len(f.o.Config.Accounts)-1]
}

// close ends the servers.
func (f *fleet) close() {
	for _, d := range f.drops {
		d.Close()
	}
	f.imap.Close()
}

// counted counts the connections that are open.
func (f *fleet) counted(dial wire.DialFunc) wire.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.open++
		f.most = max(f.most, f.open)
		return &countedConn{Conn: conn, f: f}, err
	}
}

type countedConn struct {
	net.Conn
	f    *fleet
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() {
		c.f.mu.Lock()
		defer c.f.mu.Unlock()
		c.f.open--
	})
	return c.Conn.Close()
}

// ailing is what is wrong with the servers of an account: from the first octet, or
// from when a command with this word was sent.
type ailing struct{ source, dest illness }

type illness struct {
	from  string
	every time.Duration // drips an octet; 0: falls silent
	pause time.Duration // is silent for so long only, and well again
	until time.Time     // drips no longer; zero: for ever
}

func (ill illness) drips() bool { return ill.until.IsZero() || time.Now().Before(ill.until) }

func spoiled(dial wire.DialFunc, ill illness) wire.DialFunc {
	if ill == (illness{}) {
		return dial
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return &illConn{Conn: conn, illness: ill, ill: ill.from == "start"}, err
	}
}

type illConn struct {
	net.Conn
	illness
	mu  sync.Mutex
	ill bool
}

func (c *illConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(c.from)) {
		c.mu.Lock()
		c.ill = true
		c.mu.Unlock()
	}
	if c.isIll() && c.every+c.pause == 0 {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *illConn) isIll() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ill
}

func (c *illConn) Read(b []byte) (int, error) {
	if !c.isIll() || len(b) == 0 {
		if c.every > 0 && len(b) > 0 {
			b = b[:1] // a read that waits while the command goes out gets no answer past the drips
		}
		return c.Conn.Read(b)
	}
	switch {
	case c.pause > 0:
		time.Sleep(c.pause)
		c.mu.Lock()
		c.ill = false
		c.mu.Unlock()
		return c.Conn.Read(b)
	case c.every == 0:
		return c.nothing()
	case !c.drips():
		return c.Conn.Read(b)
	}
	time.Sleep(c.every)
	return c.Conn.Read(b[:1])
}

// nothing swallows what comes until the deadline or the end.
func (c *illConn) nothing() (int, error) {
	for {
		if _, err := c.Conn.Read(make([]byte, 512)); err != nil {
			return 0, err
		}
	}
}

// TestSlowLoris (X5): a hundred accounts at the head of the list whose servers say
// nothing, or next to nothing, do not keep the one behind them waiting.
func TestSlowLoris(t *testing.T) {
	ills := []ailing{
		{source: illness{from: "start"}},
		{source: illness{from: "start", every: time.Second}},
		{source: illness{from: "LIST", every: time.Second}},
		{source: illness{from: "RETR", every: time.Second}},
		{dest: illness{from: "AUTHENTICATE"}},
	}
	alone := lorisRun(t, nil)
	for name, order := range map[string]func(i int) ailing{
		"in turn":   func(i int) ailing { return ills[i%len(ills)] },
		"in blocks": func(i int) ailing { return ills[i/20] },
	} {
		t.Run(name, func(t *testing.T) {
			var all []ailing
			for i := range 100 {
				all = append(all, order(i))
			}
			f := lorisRun(t, all)
			if at := f.began["healthy"]; at > 6*time.Second {
				t.Errorf("the healthy account began after %v", at)
			}
			took, want := f.ended["healthy"]-f.began["healthy"], alone.ended["healthy"]-alone.began["healthy"]
			if took > want+time.Second {
				t.Errorf("and took %v, alone %v", took, want)
			}
			t.Logf("began after %v, took %v; the last one ended after %v", f.began["healthy"], took, f.last)
		})
	}
}

func lorisRun(t *testing.T, ills []ailing) (f *fleet) {
	synctest.Test(t, func(t *testing.T) {
		f = newFleet(t)
		defer f.close()
		for i, ill := range ills {
			f.add(fmt.Sprintf("loris%d", i), ill, ordinary(2, int64(i))...)
		}
		f.add("healthy", ailing{}, ordinary(150, 1)...)
		r := ferry.Run(t.Context(), f.o)
		f.last = time.Since(f.start)
		last := r.Accounts[len(ills)]
		if last.ExitCode != fault.OK || last.Delivered != 150 {
			t.Errorf("%+v", last)
		}
		if f.most > 4 {
			t.Errorf("%d connections to the destination at once", f.most)
		}
		for _, a := range r.Accounts[:len(ills)] {
			if a.ExitCode == fault.OK || a.Delivered > 0 {
				t.Errorf("%+v", a)
			}
		}
	})
	return f
}

// TestStallsEnd (I6, X5): a run over servers that say nothing each time, or next to nothing, is
// over before long, however often it may try anew.
func TestStallsEnd(t *testing.T) {
	for name, ill := range map[string]ailing{
		"POP3 silent at LIST":   {source: illness{from: "LIST"}},
		"POP3 drips its LIST":   {source: illness{from: "LIST", every: 2 * time.Second}},
		"IMAP silent at FETCH":  {dest: illness{from: "FETCH"}},
		"IMAP drips its FETCH":  {dest: illness{from: "FETCH", every: 2 * time.Second}},
		"IMAP silent at APPEND": {dest: illness{from: "APPEND"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				defer f.close()
				f.imap.User("ill").Deliver("INBOX", ordinary(1, 2)[0], nil, time.Time{})
				f.add("ill", ill, ordinary(3, 1)...)
				r := ferry.Run(t.Context(), f.o)
				took := time.Since(f.start)
				if r.ExitCode != fault.Temporary || took > 13*time.Minute {
					t.Errorf("exit %d after %v: %+v", r.ExitCode, took, r.Accounts[0])
				}
				t.Logf("%v: %+v", took, r.Accounts[0].Error)
			})
		})
	}
}

// TestNobodyWaitsForEver (X5): accounts in both directions between two servers, each of
// which makes many wait now and then, give each other what they have until all are
// done, with as few places as there may be.
func TestNobodyWaitsForEver(t *testing.T) {
	pauses := []ailing{
		{}, {source: illness{from: "LIST", pause: 10 * time.Second}},
		{source: illness{from: "RETR", pause: 20 * time.Second}},
		{dest: illness{from: "AUTHENTICATE", pause: 10 * time.Second}},
		{dest: illness{from: "APPEND", pause: 10 * time.Second}},
	}
	for _, limits := range []plan.Limits{{Accounts: 1, PerHost: 1}, {Accounts: 4, PerHost: 1},
		{Accounts: 3, PerHost: 2}, {Accounts: 60, PerHost: 3}} {
		t.Run(fmt.Sprint(limits), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				defer f.close()
				f.o.Config.Limits = limits
				f.imap.Configure(func(o *imapd.Options) { o.Literals = imapd.LiteralSync })
				for i := range 60 {
					a := f.add(fmt.Sprintf("account%d", i), pauses[i%len(pauses)], ordinary(30, int64(i))...)
					a.Source.Host, a.Destination.Host = "one.example.org", "two.example.org"
					if i%3 == 0 {
						a.Source.Host, a.Destination.Host = a.Destination.Host, a.Source.Host
					}
					a.Source.Port, a.Destination.Port = 999, 999
				}
				r := ferry.Run(t.Context(), f.o)
				if r.ExitCode != fault.OK || r.Totals.Delivered != 60*30 {
					t.Errorf("exit %d, %+v", r.ExitCode, r.Totals)
				}
				if n := f.imap.Counters().Messages; n != 60*30 {
					t.Errorf("%d messages in the destination", n)
				}
				if f.most > 2*limits.PerHost {
					t.Errorf("%d connections to two destinations at once", f.most)
				}
				t.Logf("done after %v", time.Since(f.start))
			})
		})
	}
}
