package ferry_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// crowd is accounts over which a bridge passes again and again, through servers that count
// their connections.
type crowd struct {
	*fleet
	open, most map[string]int // connections, by address
	passes     map[string][]seen
	brought    map[string][][]byte // to POP3, by account
	mail       func(n int, seed int64) [][]byte
}

// seen is a pass: how long after it was asked for it was over.
type seen struct {
	at, took time.Duration
	report   ferry.AccountReport
}

func newCrowd(t *testing.T) *crowd {
	f := newFleet(t)
	f.o.Random = func() float64 { return 0.5 }
	return &crowd{fleet: f, open: map[string]int{}, most: map[string]int{}, passes: map[string][]seen{}, brought: map[string][][]byte{}, mail: ordinary}
}

// join adds accounts of POP3 and IMAP servers.
func (c *crowd) join(kind string, n int, pop, imap string, ill ailing) {
	for i := range n {
		mail := c.mail(3, int64(i))
		a := c.add(fmt.Sprint(kind, i), ill, mail...)
		c.brought[a.Name] = mail
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

const (
	crowdInterval = 10 * time.Second
	crowdPause    = time.Minute // after a failure
)

// bridge passes over all accounts for so long, and brings each new mail between two passes.
func (c *crowd) bridge(whole time.Duration) { c.passOver(whole, crowdInterval, c.news) }

// news is a new mail of an account, the n-th.
func (c *crowd) news(i int, n int64) {
	mail := c.mail(1, 1000*(n+1)+int64(i))
	c.drops[i].Deliver(mail...)
	c.mu.Lock()
	defer c.mu.Unlock()
	name := c.o.Config.Accounts[i].Name
	c.brought[name] = append(c.brought[name], mail...)
}

// passOver passes over all accounts for so long, and does something between two passes.
func (c *crowd) passOver(whole, interval time.Duration, between func(i int, n int64)) {
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
				pause := interval
				if r.Error != nil {
					pause = max(interval, crowdPause)
				}
				if time.Sleep(pause); ctx.Err() == nil { // else no pass comes for what is new
					between(i, n)
				}
			}
		})
	}
	all.Wait()
	fleet.Close()
}

// deletes has all accounts delete what they delivered.
func (c *crowd) deletes() {
	c.o.ConfirmDelete = true
	for i := range c.o.Config.Accounts {
		c.o.Config.Accounts[i].Keep = plan.Keep{Delete: true}
	}
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
		"POP3 login":            {12, imap, ailing{source: illness{from: "AUTH"}}, 35 * time.Second},
		"four POP3 logins":      {4, imap, ailing{source: illness{from: "AUTH"}}, 13 * time.Second},
		"POP3 listing":          {12, imap, ailing{source: illness{from: "LIST"}}, 35 * time.Second},
		"POP3 message":          {12, imap, ailing{source: illness{from: "RETR"}}, 35 * time.Second},
		"POP3 later message":    {12, imap, ailing{source: illness{from: "RETR 3"}}, 35 * time.Second},
		"POP3 deletion":         {12, imap, ailing{source: illness{from: "DELE"}}, 35 * time.Second},
		"POP3 drips":            {12, imap, ailing{source: illness{from: "start", every: time.Second}}, 35 * time.Second},
		"forty drip":            {40, imap, ailing{source: illness{from: "LIST", every: time.Second}}, 110 * time.Second},
		"another IMAP login":    {20, other, ailing{dest: illness{from: "AUTHENTICATE"}}, 55 * time.Second},
		"the same IMAP login":   {20, imap, ailing{dest: illness{from: "AUTHENTICATE"}}, 55 * time.Second},
		"another IMAP's append": {20, other, ailing{dest: illness{from: "APPEND"}}, 55 * time.Second},
		"the same IMAP append":  {4, imap, ailing{dest: illness{from: "APPEND"}}, 65 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t)
				defer c.close()
				c.join("stalled", test.stalled, pop, test.imap, test.ill)
				c.join("healthy", 6, pop, imap, ailing{})
				if strings.Contains(name, "deletion") {
					c.deletes()
				}
				const known, whole = 4 * time.Minute, 7 * time.Minute
				c.bridge(whole)
				first := c.slowest("healthy", 6, 0, known)
				later := c.slowest("healthy", 6, known, whole-time.Minute)
				if first > test.discovered || later > 5*time.Second {
					t.Errorf("a healthy account waited for %v, and %v once it was known who stalls", first, later)
				}
				t.Logf("at first %v, later %v", first, later)
				c.within(4)
			})
		})
	}
}

// TestStalledAccountsAreRemembered (X5): who stalls is known to a bridge that is started again, until
// a pass goes well.
func TestStalledAccountsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		defer c.close()
		texts := map[string]string{}
		c.join("stalled", 12, "pop.example.org", "imap.example.org", ailing{source: illness{from: "AUTH"}})
		c.join("healthy", 6, "pop.example.org", "imap.example.org", ailing{})
		var first [2]time.Duration
		for i := range first {
			c.o.Learned = learnedIn(texts)
			c.start, c.passes = time.Now(), map[string][]seen{}
			c.bridge(3 * time.Minute)
			first[i] = c.slowest("healthy", 6, 0, 2*time.Minute)
		}
		if first[0] < 10*time.Second || first[1] > 5*time.Second {
			t.Errorf("healthy accounts waited for %v at first, and %v after a start", first[0], first[1])
		}
	})
}

// TestOwnWaitsDelayNobody (X5): an account that waits for a maildrop that another session has
// locked, for the pause that a destination asked for, or for an append to settle has no place
// at its POP3 server meanwhile, and no slot of limits.accounts that another could have.
func TestOwnWaitsDelayNobody(t *testing.T) {
	const pop, imap, other = "pop.example.org", "imap.example.org", "other.example.org"
	answers := func(a imapd.Action) func(*crowd) {
		return func(c *crowd) {
			c.imap.Configure(func(o *imapd.Options) {
				o.Reply = func(e imapd.Event) imapd.Action {
					if e.Stage == imapd.AtStore && strings.HasPrefix(e.User, "waits") {
						return a
					}
					return imapd.Action{}
				}
			})
		}
	}
	for name, make := range map[string]func(*crowd){
		"locked": func(c *crowd) {
			for _, d := range c.drops[:8] {
				d.Configure(func(o *popd.Options) { o.InUse = true })
			}
		},
		"throttled": answers(imapd.Action{Reply: "NO Request is throttled. Suggested Backoff Time: 92415 milliseconds"}),
		"lost":      answers(imapd.Action{Cut: imapd.RST}),
	} {
		for _, slots := range []int{2, 8} {
			t.Run(fmt.Sprint(name, " ", slots), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newCrowd(t)
					defer c.close()
					c.o.Config.Settle, c.o.Config.Limits.Accounts = 90*time.Second, slots
					c.join("waits", 8, pop, other, ailing{})
					c.join("healthy", 6, pop, imap, ailing{})
					make(c)
					c.bridge(5 * time.Minute)
					if took := c.slowest("healthy", 6, 0, 4*time.Minute); took > 2*time.Second {
						t.Errorf("a healthy account waited for %v", took)
					}
					c.within(4)
				})
			})
		}
	}
}

// TestStalledAccountKeepsNoFolder (X5): one that stalls, and has the turn at a folder into which
// another account carries, too, leaves it to that.
func TestStalledAccountKeepsNoFolder(t *testing.T) {
	for name, ill := range map[string]ailing{
		"POP3": {source: illness{from: "RETR"}}, "IMAP": {dest: illness{from: "APPEND"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t)
				defer c.close()
				c.join("stalled", 1, "one.example.org", "imap.example.org", ill)
				c.join("healthy", 1, "two.example.org", "imap.example.org", ailing{})
				for i := range c.o.Config.Accounts {
					c.o.Config.Accounts[i].Destination.Username = "both"
				}
				c.bridge(3 * time.Minute)
				if took := c.slowest("healthy", 1, 0, time.Minute); took > time.Minute+time.Second {
					t.Errorf("waited for %v", took)
				}
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
		c.bridge(10 * time.Minute)
		for i := range 8 {
			p := c.passes[fmt.Sprint("stalled", i)]
			if len(p) < 2 || p[0].report.ExitCode != fault.Temporary || p[0].took > 2*time.Minute+30*time.Second {
				t.Fatalf("%+v", p)
			}
			if text := p[0].report.Error.Message; !strings.Contains(text, "left this account without an answer for") {
				t.Error(text)
			}
		}
	})
}

// TestRefusalsThatComeLate (S13): of a password that is refused after so long that others would
// not wait for that, no more are asked for than of one that is refused at once.
func TestRefusalsThatComeLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		defer c.close()
		c.o.Config.Limits.PerHost = 1
		c.join("refused", 1, "pop.example.org", "imap.example.org", ailing{source: illness{from: "AUTH", pause: 100 * time.Second}})
		c.join("healthy", 3, "pop.example.org", "imap.example.org", ailing{})
		c.drops[0].Configure(func(o *popd.Options) { o.Username, o.Password = "x", "other" })
		c.bridge(25 * time.Minute)
		if n := c.drops[0].Counters().Commands["AUTH"]; n < 2 || n > 3 {
			t.Errorf("%d logins", n)
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
		"deletion":   {source: illness{from: "DELE", pause: 20 * time.Second}},
		"IMAP login": {dest: illness{from: "AUTHENTICATE", pause: 20 * time.Second}},
		"append":     {dest: illness{from: "APPEND", pause: 70 * time.Second}},
		"line":       {source: illness{from: "RETR", every: 5 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t)
				defer c.close()
				c.o.Config.Settle = time.Minute
				c.join("stalled", 6, "pop.example.org", "imap.example.org", ailing{source: illness{from: "AUTH"}})
				c.join("slow", 3, "pop.example.org", "imap.example.org", ill)
				c.join("healthy", 4, "pop.example.org", "imap.example.org", ailing{})
				if name == "deletion" {
					c.deletes()
				}
				c.bridge(20 * time.Minute)
				for i := range 3 {
					var sum ferry.Totals
					for _, p := range c.passes[fmt.Sprint("slow", i)] {
						sum.Delivered += p.report.Delivered + p.report.Duplicate
						sum.Deleted += p.report.Deleted
					}
					if sum.Delivered < 3 || name == "deletion" && sum.Deleted < 3 {
						t.Errorf("%+v", sum)
					}
				}
				c.within(4)
			})
		})
	}
}

// TestSlowAndWell (X5): an account whose passes go well, though its server takes long each time,
// does not wait for those that stall.
func TestSlowAndWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		defer c.close()
		c.join("stalled", 4, "pop.example.org", "imap.example.org", ailing{source: illness{from: "AUTH"}})
		c.join("slow", 1, "pop.example.org", "imap.example.org", ailing{source: illness{from: "LIST", pause: 12 * time.Second}})
		c.join("healthy", 4, "pop.example.org", "imap.example.org", ailing{})
		c.bridge(15 * time.Minute)
		if took := c.slowest("slow", 1, 5*time.Minute, 14*time.Minute); took > 30*time.Second {
			t.Errorf("a pass took %v", took)
		}
		c.within(4)
	})
}

// weather is what ails the connections that accounts make, and changes.
type weather struct {
	ends time.Time // for connections that drip, too: 20 octets a second are within all limits
	mu   sync.Mutex
	ill  map[string]ailing // by account
}

func (w *weather) over(a *plan.Account) {
	name, source, dest := a.Name, a.Source.Dial, a.Destination.Dial
	of := func(dial wire.DialFunc, side func(ailing) illness) wire.DialFunc {
		return func(ctx context.Context, network, address string) (net.Conn, error) {
			w.mu.Lock()
			ill := side(w.ill[name])
			w.mu.Unlock()
			return spoiled(dial, ill)(ctx, network, address)
		}
	}
	a.Source.Dial = of(source, func(ill ailing) illness { return ill.source })
	a.Destination.Dial = of(dest, func(ill ailing) illness { return ill.dest })
}

// turns makes some accounts ill, each at one side.
func (w *weather) turns(r *rand.Rand, accounts []plan.Account) {
	source := []string{"start", "CAPA", "AUTH", "LIST", "UIDL", "RETR", "DELE", "QUIT"}
	dest := []string{"start", "AUTHENTICATE", "SELECT", "APPEND", "FETCH", "LOGOUT"}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ill = map[string]ailing{}
	for _, a := range accounts {
		ill := illness{until: w.ends}
		switch r.IntN(3) {
		case 0:
			ill.pause = time.Duration(1+r.IntN(20)) * time.Second
		case 1:
			ill.every = time.Duration(1+r.IntN(1000)) * time.Millisecond
		}
		switch r.IntN(5) {
		case 0:
			ill.from = source[r.IntN(len(source))]
			w.ill[a.Name] = ailing{source: ill}
		case 1:
			ill.from = dest[r.IntN(len(dest))]
			w.ill[a.Name] = ailing{dest: ill}
		}
	}
}

// TestStandingStillLosesNothing (X5, I1 to I5): whatever stalls, drips or comes late, and
// whenever sessions are ended for the sake of others, each mail arrives once, and once it is well
// all accounts are served, and what was delivered is gone from POP3.
func TestStandingStillLosesNothing(t *testing.T) {
	for seed, perHost := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(perHost), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(seed), 0))
				c := newCrowd(t)
				defer c.close()
				c.o.Config.Limits.PerHost, c.o.Config.Settle = perHost, time.Minute
				c.join("a", 6, "pop.example.org", "imap.example.org", ailing{})
				c.join("b", 4, "pop.example.org", "other.example.org", ailing{})
				c.deletes()
				w := weather{ends: c.start.Add(10 * time.Minute)}
				for i := range c.o.Config.Accounts {
					w.over(&c.o.Config.Accounts[i])
				}
				go func() {
					for time.Now().Before(w.ends) {
						w.turns(r, c.o.Config.Accounts)
						time.Sleep(time.Duration(10+r.IntN(60)) * time.Second)
					}
					w.turns(r, nil)
				}()
				c.bridge(25 * time.Minute)
				c.within(perHost)
				for i, a := range c.o.Config.Accounts {
					c.whole(i, a.Name)
				}
			})
		})
	}
}

// whole checks that each mail of an account is at one of its ends, and that its last passes
// were good.
func (c *crowd) whole(i int, name string) {
	c.t.Helper()
	p := c.passes[name]
	if last := p[len(p)-2].report; last.ExitCode != fault.OK || last.Delivered != 1 || last.Deleted != 1 {
		c.t.Errorf("%s: %+v", name, last)
	}
	count := map[string]int{}
	for _, raw := range c.brought[name] {
		count[string(corpus.Canonical(raw))]++
	}
	for _, raw := range c.drops[i].Messages() {
		count[string(corpus.Canonical(raw))]--
	}
	for _, s := range c.imap.User(name).Mailbox("INBOX") {
		count[string(corpus.Canonical(s.Raw))]--
	}
	for content, n := range count {
		if n != 0 {
			c.t.Errorf("%s: %+d of %q", name, -n, content[:min(len(content), 100)])
		}
	}
}
