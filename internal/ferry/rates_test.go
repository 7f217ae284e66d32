package ferry_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// limited is a run of some accounts with limits.
func limited(t *testing.T, accounts, messages int, l plan.Limits, check func(*fleet, ferry.Report)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		l.Accounts, l.PerHost = 8, 4
		f.o.Config.Limits = l
		for i := range accounts {
			f.add(fmt.Sprintf("account%d", i), ailing{}, ordinary(messages, int64(i))...)
		}
		check(f, ferry.Run(t.Context(), f.o))
		if n := f.imap.Counters().Messages; n > accounts*messages {
			t.Errorf("%d messages arrived", n)
		}
		if v := f.imap.Violations(); len(v) > 0 {
			t.Errorf("spoke bad IMAP: %v", v)
		}
	})
}

// TestRates: what limits say is kept over minutes and over all accounts, and no more
// than that is lost.
func TestRates(t *testing.T) {
	minute := plan.Rates{MessagesPerMinute: 60}
	for name, l := range map[string]plan.Limits{
		"all":         {Rates: minute},
		"destination": {Hosts: map[string]plan.HostLimits{"imap.example.net": {Rates: minute}}},
		"both":        {Rates: minute, Hosts: map[string]plan.HostLimits{"imap.example.net": {Rates: plan.Rates{MessagesPerMinute: 90}}}},
	} {
		t.Run("messages, "+name, func(t *testing.T) {
			limited(t, 6, 40, l, func(f *fleet, r ferry.Report) {
				f.lasted(r, 6*40, 239*time.Second, 241*time.Second)
			})
		})
	}
	t.Run("messages of a source", func(t *testing.T) {
		l := plan.Limits{Hosts: map[string]plan.HostLimits{"account0.example.org": {Rates: minute}}}
		limited(t, 6, 40, l, func(f *fleet, r ferry.Report) {
			f.lasted(r, 6*40, 39*time.Second, 41*time.Second)
			if at := f.ended["account1"]; at > 0 {
				t.Errorf("another source had to wait %v", at)
			}
		})
	})
	t.Run("octets", func(t *testing.T) {
		l := plan.Limits{Rates: plan.Rates{Bandwidth: 16 << 10}}
		limited(t, 6, 40, l, func(f *fleet, r ferry.Report) {
			whole := time.Duration(float64(r.Totals.Bytes) / (16 << 10) * float64(time.Second))
			f.lasted(r, 6*40, whole-5*time.Second, whole+time.Second) // 64 KiB may come at once
		})
	})
}

// TestSlowHostStopsNoOther: accounts that wait for the limits of one host do not keep
// those of others from beginning, however many there are of either.
func TestSlowHostStopsNoOther(t *testing.T) {
	for name, r := range map[string]plan.Rates{"messages": {MessagesPerMinute: 60}, "octets": {Bandwidth: 1 << 20}} {
		for side, slow := range map[string]func(*plan.Account) *plan.Endpoint{
			"source":      func(a *plan.Account) *plan.Endpoint { return &a.Source },
			"destination": func(a *plan.Account) *plan.Endpoint { return &a.Destination },
		} {
			t.Run(name+" of a "+side, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t)
					defer f.close()
					f.o.Config.Limits = plan.Limits{Accounts: 4, PerHost: 9,
						Hosts: map[string]plan.HostLimits{"slow.example.org": {Rates: r}}}
					for i := range 6 {
						a := f.add(fmt.Sprintf("slow%d", i), ailing{}, append(ordinary(20, int64(i)), vast(5))...)
						slow(a).Host = "slow.example.org"
					}
					for i := range 40 {
						f.add(fmt.Sprintf("quick%d", i), ailing{}, ordinary(30, int64(i))...)
					}
					report := ferry.Run(t.Context(), f.o)
					f.lasted(report, 6*21+40*30, 25*time.Second, 130*time.Second)
					if at := f.began["quick0"]; at > 2*time.Second {
						t.Errorf("the first of another host began after %v", at)
					}
					if at := f.ended["quick39"]; at > 20*time.Second {
						t.Errorf("the last of another host ended after %v", at)
					}
				})
			})
		}
	}
}

// lasted checks that all arrived, and in which time.
func (f *fleet) lasted(r ferry.Report, messages int, least, most time.Duration) {
	f.t.Helper()
	took := time.Since(f.start)
	if r.ExitCode != fault.OK || r.Totals.Delivered != messages || took < least || took > most {
		f.t.Errorf("exit %d, %+v after %v, want %v to %v", r.ExitCode, r.Totals, took, least, most)
	}
}

// TestConnectionsOfAHost: a host's own number counts, not that of all.
func TestConnectionsOfAHost(t *testing.T) {
	for _, n := range []int{1, 2, 6} {
		l := plan.Limits{Hosts: map[string]plan.HostLimits{"imap.example.net": {Connections: n}}}
		limited(t, 20, 30, l, func(f *fleet, r ferry.Report) {
			if f.most > n || r.Totals.Delivered != 600 {
				t.Errorf("%d connections, want %d; %+v", f.most, n, r.Totals)
			}
		})
	}
}

// TestHoursEnd: when the time is over the run delivers what it has in hand, says when
// to go on, and ends; no session in which something was retrieved ends with QUIT (I2).
// The next run brings the rest, and nothing twice.
func TestHoursEnd(t *testing.T) {
	for name, set := range map[string]func(*plan.Limits, plan.Hours){
		"limits.hours":                   func(l *plan.Limits, h plan.Hours) { l.Hours = h },
		"limits.hosts.alice.example.org": hoursOf("alice.example.org"),
		"limits.hosts.imap.example.net":  hoursOf("imap.example.net"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { hoursEnd(t, name, set) })
		})
	}
}

func hoursOf(host string) func(*plan.Limits, plan.Hours) {
	return func(l *plan.Limits, h plan.Hours) { l.Hosts = map[string]plan.HostLimits{host: {Hours: h}} }
}

func hoursEnd(t *testing.T, name string, set func(*plan.Limits, plan.Hours)) {
	f := newFleet(t)
	defer f.close()
	now := f.start.Local()
	minute := plan.Clockface(now.Hour()*60 + now.Minute())
	all := [7]bool{true, true, true, true, true, true, true}
	set(&f.o.Config.Limits, plan.Hours{{Days: all, From: minute, To: minute + 2}})
	f.o.Config.Limits.MessagesPerMinute = 60
	f.add("alice", ailing{}, ordinary(200, 1)...)
	r := ferry.Run(t.Context(), f.o)
	e := r.Accounts[0].Error
	if r.ExitCode != fault.Temporary || e == nil || !strings.Contains(e.Message, name) ||
		!strings.Contains(e.Hint, now.AddDate(0, 0, 1).Format("Mon 2 Jan 15:04")) {
		t.Fatalf("exit %d, %+v", r.ExitCode, e)
	}
	n := f.imap.Counters().Messages
	if took := time.Since(f.start); n < 118 || n > 121 || n != r.Totals.Delivered || took > 125*time.Second {
		t.Errorf("%d messages arrived, %+v, after %v", n, r.Totals, took)
	}
	if q := f.drops[0].Counters().Quit; q > 0 {
		t.Errorf("%d QUIT", q)
	}
	sessions := f.drops[0].Counters().Sessions
	if r := ferry.Run(t.Context(), f.o); r.ExitCode != fault.Temporary || f.drops[0].Counters().Sessions != sessions {
		t.Errorf("exit %d out of hours, %+v", r.ExitCode, f.drops[0].Counters())
	}
	set(&f.o.Config.Limits, nil)
	if r := ferry.Run(t.Context(), f.o); r.ExitCode != fault.OK || r.Totals.Delivered != 200-n {
		t.Errorf("exit %d, %+v", r.ExitCode, r.Totals)
	}
	if n := f.imap.Counters().Messages; n != 200 {
		t.Errorf("%d messages arrived", n)
	}
}

// TestVerySlowRate: with a message a minute neither server is kept waiting for longer
// than servers wait, and all arrives once.
func TestVerySlowRate(t *testing.T) {
	for name, po := range map[string]popd.Options{"PIPELINING": {}, "none": {NoPipelining: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				defer f.close()
				f.o.Config.Limits.MessagesPerMinute = 1
				f.add("alice", ailing{}, ordinary(30, 1)...)
				f.drops[0].Configure(func(o *popd.Options) { *o = po })
				f.imap.Configure(func(o *imapd.Options) { o.NoMultiAppend = true })
				r := ferry.Run(t.Context(), f.o)
				f.lasted(r, 30, 29*time.Minute, 30*time.Minute)
				if s := f.drops[0].Counters().Sessions; s != 1 {
					t.Errorf("%d POP3 sessions", s)
				}
			})
		})
	}
}

// TestEstimateKnowsLimits: what limits make of the work is told before it begins.
func TestEstimateKnowsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		f.o.Config.Limits.MessagesPerMinute = 60
		f.add("alice", ailing{}, ordinary(90, 1)...)
		_, r := ferry.Plans(t.Context(), f.o)
		if e := r.Accounts[0].Estimate; e == nil || e.Seconds != 90 || e.Basis != "as limits permit" || !e.NotBefore.IsZero() {
			t.Errorf("%+v", e)
		}
		now := time.Now() // at midnight in UTC
		all := [7]bool{true, true, true, true, true, true, true}
		minute := plan.Clockface((now.Hour()*60 + now.Minute() + 90) % (24 * 60))
		f.o.Config.Limits.Hosts = map[string]plan.HostLimits{"imap.example.net": {Hours: plan.Hours{{Days: all, From: minute, To: minute + 1}}}}
		_, r = ferry.Plans(t.Context(), f.o)
		if e := r.Accounts[0].Estimate; e == nil || e.Seconds != 90 || !e.NotBefore.Equal(now.Add(90*time.Minute)) {
			t.Errorf("%+v", e)
		}
	})
}

// TestBytesPerDay: two accounts of one user share what it may have in a day, over all
// runs; what is left comes a day later, and nothing twice.
func TestBytesPerDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		const day = 100_000
		f.o.Config.Limits.Hosts = map[string]plan.HostLimits{"imap.example.net": {BytesPerDay: day}}
		var all int64
		for i := range 2 {
			mail := ordinary(40, int64(i))
			for _, m := range mail {
				all += int64(len(m))
			}
			f.add(fmt.Sprintf("account%d", i), ailing{}, mail...).Destination.Username = "alice"
		}
		f.o.Config.Limits.Accounts = 1
		days := 0
		for arrived := int64(0); days < 20; days++ {
			r := ferry.Run(t.Context(), f.o)
			if arrived += r.Totals.Bytes; r.Totals.Bytes > day {
				t.Errorf("%d octets in a day", r.Totals.Bytes)
			}
			if r.ExitCode == fault.OK {
				break
			}
			e := r.Accounts[1].Error
			again := time.Now().Local().Add(24 * time.Hour).Format("Mon 2 Jan 15:04")
			if r.ExitCode != fault.Temporary || e == nil || !strings.Contains(e.Hint, again) {
				t.Fatalf("exit %d, %+v, want %s", r.ExitCode, e, again)
			}
			if r := ferry.Run(t.Context(), f.o); r.Totals.Delivered > 1 {
				t.Errorf("%+v in a second run", r.Totals)
			}
			time.Sleep(24 * time.Hour)
		}
		if least := int(all / day); days < least || days > 2*least {
			t.Errorf("it took %d days, at least %d are needed", days, least)
		}
		if n := f.imap.Counters().Messages; n != 80 {
			t.Errorf("%d messages arrived", n)
		}
	})
}

// twiceRead are runs that read each message twice: to deliver it, and to delete it or to
// export what is held.
var twiceRead = map[string]func(*fleet, *shelf){
	"deletion": func(f *fleet, _ *shelf) {
		f.drops[0].Configure(func(o *popd.Options) { o.NoUIDL = true })
		f.o.Config.Accounts[0].Keep, f.o.ConfirmDelete = plan.Keep{Delete: true}, true
	},
	"export": func(f *fleet, s *shelf) {
		f.imap.Configure(func(o *imapd.Options) { o.Refuse = func([]byte) string { return "NO [CANNOT] no" } })
		f.o.KeepHeld = s.keep
	},
}

// TestRatesOfASecondReading: what is read to be deleted or exported is read no faster.
func TestRatesOfASecondReading(t *testing.T) {
	for name, twice := range twiceRead {
		for by, r := range map[string]plan.Rates{"octets": {Bandwidth: 16 << 10}, "messages": {MessagesPerMinute: 60}} {
			t.Run(name+", "+by, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t)
					defer f.close()
					f.o.Config.Limits.Rates = r
					mail := ordinary(40, 1)
					f.add("alice", ailing{}, mail...)
					var s shelf
					twice(f, &s)
					ferry.Run(t.Context(), f.o)
					whole := 2 * 40 * time.Second
					if r.Bandwidth > 0 {
						whole = 2 * time.Duration(total(mail)) * time.Second / (16 << 10)
					}
					if took := time.Since(f.start); took < whole-10*time.Second || took > whole+10*time.Second {
						t.Errorf("it took %v, want %v", took, whole)
					}
					if n := len(f.drops[0].Messages()); n != 40-f.imap.Counters().Messages || n != len(s.mail) {
						t.Errorf("%d messages are left, %d were exported", n, len(s.mail))
					}
				})
			})
		}
	}
}

func total(mail [][]byte) (octets int64) {
	for _, m := range mail {
		octets += int64(len(m))
	}
	return octets
}

// TestBytesPerDayOfASecondReading: what is read to be deleted or exported counts for the
// source, and not for the destination; when no more is left the session ends without QUIT
// (I2), and the next day brings what is missing.
func TestBytesPerDayOfASecondReading(t *testing.T) {
	for name, twice := range twiceRead {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				defer f.close()
				mail := ordinary(40, 1)
				f.o.Config.Limits.Hosts = map[string]plan.HostLimits{
					"alice.example.org": {BytesPerDay: total(mail) * 3 / 2}, "imap.example.net": {BytesPerDay: total(mail)}}
				f.add("alice", ailing{}, mail...)
				var s shelf
				twice(f, &s)
				ferry.Run(t.Context(), f.o)
				if n := len(f.drops[0].Messages()); n != 40 || len(s.mail) == 40 {
					t.Errorf("%d messages are left, %d were exported", n, len(s.mail))
				}
				if quits := f.drops[0].Counters().Quit; len(s.mail) > 0 && quits > 0 {
					t.Errorf("%d times QUIT", quits)
				}
				for range 2 {
					time.Sleep(24 * time.Hour)
					ferry.Run(t.Context(), f.o)
				}
				if n := len(f.drops[0].Messages()); n != 40-f.imap.Counters().Messages || n != len(s.mail) {
					t.Errorf("%d messages are left, %d were exported", n, len(s.mail))
				}
			})
		})
	}
}

// TestOneBudgetRefuses: a message that one of two hosts leaves to another day is not
// counted at the other one either.
func TestOneBudgetRefuses(t *testing.T) {
	for name, limits := range map[string][2]int64{"source": {100_000, 1e9}, "destination": {1e9, 100_000}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				defer f.close()
				f.o.Config.Limits.Hosts = map[string]plan.HostLimits{
					"alice.example.org": {BytesPerDay: limits[0]}, "imap.example.net": {BytesPerDay: limits[1]}}
				f.add("alice", ailing{}, ordinary(40, 1)...)
				ferry.Run(t.Context(), f.o)
				a, b := f.spent("alice.example.org alice"), f.spent("imap.example.net alice")
				if a != b || a == "" {
					t.Errorf("spent at the source: %s, at the destination: %s", a, b)
				}
			})
		})
	}
}

// spent is what the journal says of a budget.
func (f *fleet) spent(of string) string {
	f.t.Helper()
	scopes, err := f.o.Journal.Scopes(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	ledger, err := f.o.Journal.Ledger(f.t.Context(), scopes[0].Scope)
	if err != nil {
		f.t.Fatal(err)
	}
	fact, err := ledger.Fact(f.t.Context(), "budget "+of)
	if err != nil {
		f.t.Fatal(err)
	}
	return fact
}

// TestBudgetAfterAJournalError: what was spent counts once, though the journal failed
// while the accounts of a user were asked for.
func TestBudgetAfterAJournalError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		mail := ordinary(20, 1)
		f.o.Config.Limits.Hosts = map[string]plan.HostLimits{"imap.example.net": {BytesPerDay: total(mail) * 5 / 2}}
		f.o.Config.Limits.Accounts = 1
		for i := range 2 {
			f.add(fmt.Sprintf("account%d", i), ailing{}, mail...).Destination.Username = "alice"
		}
		f.o.Accounts = []string{"account0"}
		if r := ferry.Run(t.Context(), f.o); r.Totals.Delivered != 20 {
			t.Fatalf("%+v", r)
		}
		f.drops[0].Deliver(ordinary(1, 2)...)
		f.o.Accounts, f.o.Journal = nil, &faltering{Journal: f.o.Journal, account: "account1"}
		r := ferry.Run(t.Context(), f.o)
		if a := r.Accounts; a[0].ExitCode != fault.State || a[1].ExitCode != fault.OK || a[1].Delivered != 20 {
			t.Errorf("%+v", r)
		}
	})
}

// faltering is a journal that fails once to tell what an account spent.
type faltering struct {
	journal.Journal
	account string
	once    sync.Once
}

func (f *faltering) Ledger(ctx context.Context, s journal.Scope) (journal.Ledger, error) {
	l, err := f.Journal.Ledger(ctx, s)
	if s.Account == f.account {
		l = falteringLedger{l, f}
	}
	return l, err
}

type falteringLedger struct {
	journal.Ledger
	of *faltering
}

func (l falteringLedger) Fact(ctx context.Context, name string) (fact string, err error) {
	if strings.HasPrefix(name, "budget ") {
		l.of.once.Do(func() { err = fault.New(fault.State, "the journal can't be read") })
	}
	if err != nil {
		return "", err
	}
	return l.Ledger.Fact(ctx, name)
}

// TestKnownBytesPerDay: the plan says how long it takes with what is known of a provider;
// the run that this ends says whose limit it is, when to go on, and what switches it off;
// and with that all arrives at once.
func TestKnownBytesPerDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		defer f.close()
		known := plan.HostLimits{BytesPerDay: 50_000, KnownOf: "Example Mail"}
		f.o.Config.Limits.Hosts = map[string]plan.HostLimits{"imap.example.net": known}
		f.add("alice", ailing{}, ordinary(40, 1)...)
		drawn, plans := ferry.Plans(t.Context(), f.o)
		days := float64((drawn[0].Totals().Copy.Bytes - 1) / known.BytesPerDay)
		if e := plans.Accounts[0].Estimate; e == nil || days < 2 || e.Seconds != days*24*60*60 ||
			e.Basis != "Example Mail takes or gives about 49 KiB a day" {
			t.Errorf("%+v", e)
		}
		r := ferry.Run(t.Context(), f.o)
		again := time.Now().Local().Add(24 * time.Hour).Format("Mon 2 Jan 15:04")
		if e := r.Accounts[0].Error; r.ExitCode != fault.Temporary || e == nil || !strings.Contains(e.Message, "Example Mail takes") ||
			e.Hint != "run again after "+again+"; bytes_per_day of limits.hosts.imap.example.net takes the place of what is known of Example Mail" {
			t.Fatalf("exit %d, %+v", r.ExitCode, e)
		}
		f.o.Config.Limits.Hosts["imap.example.net"] = plan.HostLimits{BytesPerDay: plan.Unlimited}.Over(known)
		if r := ferry.Run(t.Context(), f.o); r.ExitCode != fault.OK || f.imap.Counters().Messages != 40 {
			t.Errorf("exit %d, %d messages arrived", r.ExitCode, f.imap.Counters().Messages)
		}
	})
}

// TestSlowerThanTheIdleLimit (I7): a message that takes longer to retrieve than the IMAP
// server keeps an idle connection arrives in the first run, and what is behind it, too.
func TestSlowerThanTheIdleLimit(t *testing.T) {
	for name, impatient := range map[string]func(wire.DialFunc) wire.DialFunc{
		"closed": func(dial wire.DialFunc) wire.DialFunc { return expiring(dial, false) },
		"silent": func(dial wire.DialFunc) wire.DialFunc { return expiring(dial, true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				defer f.close()
				f.o.Config.Limits.Bandwidth = 16 << 10
				a := f.add("alice", ailing{}, append([][]byte{vast(12)}, ordinary(5, 1)...)...)
				a.Destination.Dial = impatient(a.Destination.Dial)
				r := ferry.Run(t.Context(), f.o)
				f.lasted(r, 6, 12*time.Minute, 20*time.Minute)
				if s := f.drops[0].Counters().Sessions; s != 1 {
					t.Errorf("%d POP3 sessions", s)
				}
			})
		})
	}
}

// expiring ends connections on which nothing was sent for long, or says nothing
// there any more.
func expiring(dial wire.DialFunc, silent bool) wire.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := &expiringConn{Conn: conn}
		c.timer = time.AfterFunc(idleLimit, func() {
			if c.expired.Store(true); !silent {
				conn.Close()
			}
		})
		return c, nil
	}
}

const idleLimit = 10 * time.Minute

type expiringConn struct {
	net.Conn
	timer   *time.Timer
	expired atomic.Bool
}

func (c *expiringConn) Write(b []byte) (int, error) {
	if c.expired.Load() {
		return len(b), nil
	}
	c.timer.Reset(idleLimit)
	return c.Conn.Write(b)
}

func (c *expiringConn) Close() error {
	c.timer.Stop()
	return c.Conn.Close()
}
