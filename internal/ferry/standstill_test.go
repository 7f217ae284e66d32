//go:build !race

// Built without the race detector only: that of Go 1.26 ends such crowds in a bubble by
// itself (golang/go#78156).

package ferry_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/wire"
)

// crowd is accounts over which a bridge passes again and again, through servers that count
// their connections.
type crowd struct {
	*fleet
	open, most map[string]int // connections, by address
	passes     map[string][]seen
}

// seen is a pass: how long after it was asked for it was over.
type seen struct {
	at, took time.Duration
	report   ferry.AccountReport
}

func newCrowd(t *testing.T) *crowd {
	f := newFleet(t)
	f.o.Random = func() float64 { return 0.5 }
	return &crowd{fleet: f, open: map[string]int{}, most: map[string]int{}, passes: map[string][]seen{}}
}

// join adds accounts of POP3 and IMAP servers.
func (c *crowd) join(kind string, n int, pop, imap string, ill ailing) {
	for i := range n {
		a := c.add(fmt.Sprint(kind, i), ill, ordinary(3, int64(i))...)
		a.Source.Host, a.Destination.Host = pop, imap
		a.Source.Dial = c.counts("POP3 "+pop, a.Source.Dial)
		a.Destination.Dial = c.counts(imap, a.Destination.Dial)
	}
}

func (c *crowd) counts(address string, dial wire.DialFunc) wire.DialFunc {
	return func(ctx context.Context, network, to string) (net.Conn, error) {
		conn, err := dial(ctx, network, to)
		if err != nil {
			return nil, err
		}
		c.count(address, 1)
		return &leaving{Conn: conn, leave: sync.OnceFunc(func() { c.count(address, -1) })}, nil
	}
}

func (c *crowd) count(address string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[address] += n
	c.most[address] = max(c.most[address], c.open[address])
}

type leaving struct {
	net.Conn
	leave func()
}

func (l *leaving) Close() error {
	l.leave()
	return l.Conn.Close()
}

const (
	crowdInterval = 10 * time.Second
	crowdPause    = time.Minute // after a failure
)

// bridge passes over all accounts for so long, and brings each new mail between two passes.
func (c *crowd) bridge(whole time.Duration) {
	fleet := ferry.NewFleet(c.o)
	ctx, cancel := context.WithTimeout(c.t.Context(), whole)
	defer cancel()
	var all sync.WaitGroup
	for i, a := range c.o.Config.Accounts {
		all.Go(func() {
			time.Sleep(time.Duration(i) * time.Second / 20)
			for n := int64(0); ctx.Err() == nil; n++ {
				asked := time.Now()
				r := fleet.Pass(ctx, a.Name, false)
				c.saw(a.Name, seen{asked.Sub(c.start), time.Since(asked), r})
				pause := crowdInterval
				if r.Error != nil {
					pause = crowdPause
				}
				time.Sleep(pause)
				c.drops[i].Deliver(ordinary(1, 1000*n+int64(i))...)
			}
		})
	}
	all.Wait()
	fleet.Close()
}

func (c *crowd) saw(name string, s seen) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passes[name] = append(c.passes[name], s)
}

// slowest is the longest pass over accounts of a kind that was asked for in a time, all of
// which have to go well.
func (c *crowd) slowest(kind string, n int, from, to time.Duration) (longest time.Duration) {
	c.t.Helper()
	for i := range n {
		for _, s := range c.passes[fmt.Sprint(kind, i)] {
			if s.at < from || s.at >= to {
				continue
			}
			longest = max(longest, s.took)
			if s.report.ExitCode != fault.OK {
				c.t.Errorf("%s%d at %v: %+v", kind, i, s.at, s.report.Error)
			}
		}
	}
	return longest
}

// within checks that no server had more connections than it permits.
func (c *crowd) within(limit int) {
	c.t.Helper()
	for address, n := range c.most {
		if n > limit {
			c.t.Errorf("%d connections to %s at once", n, address)
		}
	}
}

// TestStalledAccountsDelayNobody (X5): however many accounts of a server stall, and wherever,
// those that are well have their passes: within some seconds for each few of them as long as
// nobody can know which stall, and at once from then on.
func TestStalledAccountsDelayNobody(t *testing.T) {
	const pop, imap, other = "pop.example.org", "imap.example.org", "other.example.org"
	for name, test := range map[string]struct {
		stalled    int
		imap       string
		ill        ailing
		discovered time.Duration
	}{
		"POP3 login":            {12, imap, ailing{source: illness{from: "AUTH"}}, 10 * time.Second},
		"four POP3 logins":      {4, imap, ailing{source: illness{from: "AUTH"}}, 4 * time.Second},
		"POP3 listing":          {12, imap, ailing{source: illness{from: "LIST"}}, 10 * time.Second},
		"POP3 message":          {12, imap, ailing{source: illness{from: "RETR"}}, 10 * time.Second},
		"POP3 drips":            {12, imap, ailing{source: illness{from: "start", every: time.Second}}, 10 * time.Second},
		"another IMAP login":    {20, other, ailing{dest: illness{from: "AUTHENTICATE"}}, 16 * time.Second},
		"the same IMAP login":   {20, imap, ailing{dest: illness{from: "AUTHENTICATE"}}, 16 * time.Second},
		"another IMAP's append": {20, other, ailing{dest: illness{from: "APPEND"}}, 45 * time.Second},
		"the same IMAP append":  {20, imap, ailing{dest: illness{from: "APPEND"}}, 45 * time.Second},
		"a hundred drip":        {100, imap, ailing{source: illness{from: "LIST", every: time.Second}}, 3 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t)
				defer c.close()
				c.join("stalled", test.stalled, pop, test.imap, test.ill)
				c.join("healthy", 6, pop, imap, ailing{})
				const known, whole = 4 * time.Minute, 7 * time.Minute
				c.bridge(whole)
				first := c.slowest("healthy", 6, 0, known)
				later := c.slowest("healthy", 6, known, whole-time.Minute)
				if first > test.discovered || later > time.Second {
					t.Errorf("a healthy account waited for %v, and %v once it was known who stalls", first, later)
				}
				t.Logf("at first %v, later %v", first, later)
				c.within(4)
			})
		})
	}
}

// TestStalledAccountsFail (X5): those that give way to others are found to fail all the same,
// though each gets its turn only after others that take their time.
func TestStalledAccountsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		defer c.close()
		c.join("stalled", 8, "pop.example.org", "imap.example.org", ailing{source: illness{from: "AUTH"}})
		c.join("healthy", 2, "pop.example.org", "imap.example.org", ailing{})
		c.bridge(20 * time.Minute)
		for i := range 8 {
			name := fmt.Sprint("stalled", i)
			p := c.passes[name]
			if len(p) < 2 || p[0].report.ExitCode != fault.Temporary || p[0].took > 15*time.Minute {
				t.Errorf("%s: %+v", name, p)
			}
		}
	})
}

// TestSlowAccountsArrive (X5, I7): who is slow, and gives way for that, is done in the end,
// among many that stall: a login that takes long, a listing, and much mail over a slow line.
func TestSlowAccountsArrive(t *testing.T) {
	for name, ill := range map[string]ailing{
		"login":      {source: illness{from: "AUTH", pause: 20 * time.Second}},
		"listing":    {source: illness{from: "LIST", pause: 20 * time.Second}},
		"message":    {source: illness{from: "RETR", pause: 20 * time.Second}},
		"IMAP login": {dest: illness{from: "AUTHENTICATE", pause: 20 * time.Second}},
		"append":     {dest: illness{from: "APPEND", pause: 20 * time.Second}},
		"line":       {source: illness{from: "RETR", every: 5 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t)
				defer c.close()
				c.o.Config.Settle = time.Minute
				c.join("stalled", 12, "pop.example.org", "imap.example.org", ailing{source: illness{from: "AUTH"}})
				c.join("slow", 3, "pop.example.org", "imap.example.org", ill)
				c.join("healthy", 4, "pop.example.org", "imap.example.org", ailing{})
				c.bridge(20 * time.Minute)
				for i := range 3 {
					name, delivered := fmt.Sprint("slow", i), 0
					for _, p := range c.passes[name] {
						delivered += p.report.Delivered + p.report.Duplicate
					}
					if delivered < 3 {
						t.Errorf("%s: %+v", name, c.passes[name])
					}
				}
				c.within(4)
			})
		})
	}
}

// TestRunGoesOnPastStalledAccounts (X5): a run, too, does not wait until four after four
// accounts of a server have stalled for two minutes; who gave way is tried again.
func TestRunGoesOnPastStalledAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		defer c.close()
		c.join("stalled", 12, "pop.example.org", "imap.example.org", ailing{source: illness{from: "AUTH"}})
		c.join("slow", 12, "pop.example.org", "imap.example.org", ailing{source: illness{from: "AUTH", pause: 20 * time.Second}})
		c.join("healthy", 6, "pop.example.org", "imap.example.org", ailing{})
		r := ferry.Run(t.Context(), c.o)
		if r.Totals.Delivered != 18*3 {
			t.Errorf("%+v", r.Totals)
		}
		for i := range 6 {
			if at := c.ended[fmt.Sprint("healthy", i)]; at > 95*time.Second {
				t.Errorf("healthy%d ended after %v", i, at)
			}
		}
		if took := time.Since(c.start); took > 9*time.Minute {
			t.Errorf("the run took %v", took)
		}
		c.within(4)
	})
}

// TestQueued: whoever waits for a turn is told so, and once more after giving it away.
func TestQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		defer c.close()
		told := map[string]string{}
		c.o.Observe = func(e ferry.Event) {
			switch e.Kind {
			case ferry.Queued:
				told[e.Account] += "q"
			case ferry.Started:
				told[e.Account] += "s"
			}
		}
		c.o.Config.Limits.PerHost = 1
		c.join("stalled", 1, "pop.example.org", "imap.example.org", ailing{source: illness{from: "AUTH"}})
		c.join("healthy", 1, "pop.example.org", "imap.example.org", ailing{})
		c.bridge(time.Minute)
		if !strings.HasPrefix(told["stalled0"], "qsqs") || !strings.HasPrefix(told["healthy0"], "qsqs") {
			t.Errorf("%q", told)
		}
	})
}

// TestKeptConnectionTakesItsTimeToEnd (X5): one that was kept long enough has its place until
// the server, which says no goodbye, is rid of it.
func TestKeptConnectionTakesItsTimeToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		defer c.close()
		c.o.Config.Limits.PerHost = 1
		c.join("silent", 1, "pop.example.org", "imap.example.org", ailing{dest: illness{from: "LOGOUT"}})
		c.join("next", 1, "pop.example.org", "imap.example.org", ailing{})
		fleet := ferry.NewFleet(c.o)
		defer fleet.Close()
		fleet.Pass(t.Context(), "silent0", false)
		time.Sleep(5*time.Minute + time.Second)
		if r := fleet.Pass(t.Context(), "next0", false); r.Delivered != 3 {
			t.Errorf("%+v", r)
		}
		c.within(1)
	})
}
