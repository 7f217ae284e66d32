package limits_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/limits"
	"github.com/popferry/popferry/plan"
)

const (
	pop  = "pop.example.org"
	imap = "imap.example.net"
)

// account is one whose user at the destination may be that of others, too.
func account(name, user string) plan.Account {
	a := plan.Account{Name: name}
	a.Source.Host, a.Source.Username = pop, name
	a.Destination.Host, a.Destination.Username = imap, user
	return a
}

// TestBrakes: an account waits for the longest of the waits that the rates of all and those of
// its hosts demand, and it is known whose that is; those of other hosts are nothing to it.
func TestBrakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rates := limits.NewRates(plan.Limits{
			Rates: plan.Rates{MessagesPerMinute: 600},
			Hosts: map[string]plan.HostLimits{
				imap:                {Rates: plan.Rates{MessagesPerMinute: 60, Bandwidth: 100_000}},
				"other.example.org": {Rates: plan.Rates{MessagesPerMinute: 1}},
			},
		})
		bs := rates.Of(account("alice", "alice"))
		if w := bs.Message(); w.For != 0 {
			t.Errorf("the first message waits: %+v", w)
		}
		if w := bs.Message(); w != (limits.Wait{Host: imap, For: time.Second}) {
			t.Errorf("the second one: %+v", w)
		}
		bs.Octets(100_000) // may come at once
		if w := bs.Octets(250_000); w.Host != imap || w.For.Round(time.Millisecond) != 2500*time.Millisecond {
			t.Errorf("octets: %+v", w)
		}
		time.Sleep(time.Hour)
		if w := bs.Message(); w.For != 0 {
			t.Errorf("an hour later: %+v", w)
		}
		elsewhere := account("bob", "bob")
		elsewhere.Destination.Host = "imap.example.com"
		if w := rates.Of(elsewhere).Message(); w != (limits.Wait{Host: "", For: time.Second / 10}) {
			t.Errorf("at another host: %+v", w)
		}
		if !bs.AreSlow() || rates.Of(elsewhere).AreSlow() {
			t.Error("a message a second is slow, ten are not")
		}
	})
}

// TestLeastTime: what rates make of work is told before it begins.
func TestLeastTime(t *testing.T) {
	bs := limits.NewRates(plan.Limits{Rates: plan.Rates{MessagesPerMinute: 60, Bandwidth: 1000}}).Of(account("alice", "alice"))
	for work, want := range map[plan.Count]float64{{Messages: 90, Bytes: 10_000}: 90, {Messages: 9, Bytes: 20_000}: 20, {}: 0} {
		if got := bs.Seconds(work); got != want {
			t.Errorf("%+v: %v s", work, got)
		}
	}
	if bs := limits.NewRates(plan.Limits{}).Of(account("alice", "alice")); len(bs) > 0 || bs.AreSlow() {
		t.Errorf("without limits: %v", bs)
	}
}

// TestRatesAreInherited: another configuration begins with what was carried by the one before, at
// its own rate.
func TestRatesAreInherited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rates := func(perMinute int) *limits.Rates {
			return limits.NewRates(plan.Limits{Rates: plan.Rates{MessagesPerMinute: perMinute}})
		}
		alice, old, next := account("alice", "alice"), rates(1), rates(60)
		old.Of(alice).Message()
		next.Inherit(old)
		if w := next.Of(alice).Message(); w.For != time.Second {
			t.Errorf("%+v", w)
		}
		free := limits.NewRates(plan.Limits{})
		free.Inherit(next)
		if w := free.Of(alice).Message(); w.For != 0 {
			t.Errorf("without a limit: %+v", w)
		}
	})
}

// TestInHours: an account carries when the hours of all and those of both its hosts permit it; else
// it is said whose do not, and when they do again.
func TestInHours(t *testing.T) {
	monday := time.Date(2026, 11, 23, 12, 0, 0, 0, time.Local)
	closed := plan.Hours{{Days: [7]bool{time.Monday: true}, From: 20 * 60, To: 22 * 60}}
	of := func(host string) plan.Limits {
		return plan.Limits{Hosts: map[string]plan.HostLimits{host: {Hours: closed}}}
	}
	for name, l := range map[string]plan.Limits{
		"limits.hours": {Hours: closed}, "limits.hosts." + pop: of(pop), "limits.hosts." + imap: of(imap),
	} {
		err := limits.InHours(l, account("alice", "alice"), monday)
		if !errors.Is(err, limits.ErrLater) || fault.CodeOf(err) != fault.Temporary || !strings.Contains(err.Error(), name) ||
			fault.HintOf(err) != "run again after Mon 23 Nov 20:00" || fault.AfterOf(err) != 8*time.Hour {
			t.Errorf("%s: %v; %s", name, err, fault.HintOf(err))
		}
		if err := limits.InHours(l, account("alice", "alice"), monday.Add(9*time.Hour)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := limits.InHours(of("other.example.org"), account("alice", "alice"), monday); err != nil {
		t.Error(err)
	}
}

// library has the books of all accounts; those of broken can't be read or written.
type library struct {
	facts  map[string]string // by account and fact
	broken string
	writes int
}

// shelf is the library as an account sees it.
type shelf struct {
	*library
	account string
}

var errBook = errors.New("the book can't be read")

func (s shelf) Read(_ context.Context, a plan.Account, fact string) (string, error) {
	if a.Name == s.broken {
		return "", errBook
	}
	return s.facts[a.Name+" "+fact], nil
}

func (s shelf) Write(_ context.Context, fact, text string) error {
	if s.account == s.broken {
		return errBook
	}
	s.writes++
	s.facts[s.account+" "+fact] = text
	return nil
}

// written is how many octets the books of an account say it spent at its destination.
func (l *library) written(t *testing.T, account string) (octets int64) {
	t.Helper()
	var x struct{ Octets int64 }
	text := l.facts[account+" budget "+imap+" shared"]
	if err := json.Unmarshal([]byte(text), &x); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return x.Octets
}

// household are two accounts of one user of the destination, who has so many octets a day.
type household struct {
	*library
	config  *plan.Config
	budgets *limits.Budgets
	now     time.Time
}

func newHousehold(daily int64) *household {
	return &household{library: &library{facts: map[string]string{}}, budgets: limits.NewBudgets(),
		now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		config: &plan.Config{
			Accounts: []plan.Account{account("alice", "shared"), account("bob", "shared")},
			Limits:   plan.Limits{Hosts: map[string]plan.HostLimits{imap: {BytesPerDay: daily}}},
		}}
}

func (h *household) purses(i int) *limits.Purses {
	a := h.config.Accounts[i]
	return h.budgets.Purses(h.config, a, shelf{h.library, a.Name}, func() time.Time { return h.now })
}

// TestBudgetIsShared: accounts of one user spend one budget, for a day from the first octet on, in
// whatever process.
func TestBudgetIsShared(t *testing.T) {
	h := newHousehold(1000)
	alice, bob := h.purses(0), h.purses(1)
	spend := func(p *limits.Purses, octets int64, want bool) {
		t.Helper()
		if err := p.Spend(t.Context(), octets); (err == nil) != want || err != nil && !errors.Is(err, limits.ErrLater) {
			t.Errorf("%v", err)
		}
	}
	spend(alice, 600, true)
	h.now = h.now.Add(time.Hour)
	spend(bob, 300, true)
	spend(alice, 200, false)
	alice.Close()
	bob.Close()

	h.budgets = limits.NewBudgets() // another process
	spend(h.purses(1), 101, false)
	spend(h.purses(0), 100, true)
	err := h.purses(1).Spend(t.Context(), 1)
	if fault.AfterOf(err) != 23*time.Hour || !strings.Contains(err.Error(), "used up for shared") {
		t.Errorf("%v, in %v", err, fault.AfterOf(err))
	}
	h.now = h.now.Add(23 * time.Hour)
	spend(h.purses(1), 2000, true) // one that is larger than the budget goes alone
	spend(h.purses(0), 1, false)
	h.now = h.now.Add(-72 * time.Hour) // a clock that was wrong stops nothing
	spend(h.purses(0), 900, true)
}

// TestWrittenBeforeItIsSpent: who is killed has spent less than the books say, who ends as much;
// and not each message is written down.
func TestWrittenBeforeItIsSpent(t *testing.T) {
	h := newHousehold(1_000_000)
	alice := h.purses(0)
	for spent := int64(100); spent <= 50_000; spent += 100 {
		if err := alice.Spend(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		if n := h.written(t, "alice"); n < spent {
			t.Fatalf("%d spent, %d written", spent, n)
		}
	}
	if h.writes != 1 {
		t.Errorf("written %d times", h.writes)
	}
	alice.Close()
	if n := h.written(t, "alice"); n != 50_000 {
		t.Errorf("%d written", n)
	}
}

// TestAllOrNone: where one of two budgets is used up the other one stays as it is; and what one
// side only gives costs that alone.
func TestAllOrNone(t *testing.T) {
	h := newHousehold(1000)
	h.config.Limits.Hosts[pop] = plan.HostLimits{BytesPerDay: 500}
	alice := h.purses(0)
	if err := alice.Spend(t.Context(), 400); err != nil {
		t.Fatal(err)
	}
	if err := alice.Spend(t.Context(), 400); err == nil || !strings.Contains(err.Error(), pop) {
		t.Errorf("%v", err)
	}
	if err := alice.SpendAt(t.Context(), h.config.Accounts[0].Source, 100); err != nil {
		t.Error(err)
	}
	alice.Close()
	if n := h.written(t, "alice"); n != 400 {
		t.Errorf("%d spent at the destination", n)
	}
	if days, terms := alice.Days(plan.Count{Bytes: 2100}); days != 4 || terms != "bytes_per_day of "+pop+" are 500 B" {
		t.Errorf("%d days: %s", days, terms)
	}
}

// TestBooksThatFail: nothing is spent where it is not known what was, or it can't be written; and
// what others spent counts once, however often they are asked for.
func TestBooksThatFail(t *testing.T) {
	h := newHousehold(1000)
	if err := h.purses(0).Spend(t.Context(), 400); err != nil {
		t.Fatal(err)
	}
	h.budgets, h.broken = limits.NewBudgets(), "bob"
	for _, i := range []int{0, 1} {
		if err := h.purses(i).Spend(t.Context(), 1); !errors.Is(err, errBook) {
			t.Errorf("%d: %v", i, err)
		}
	}
	h.broken = ""
	if err := h.purses(1).Spend(t.Context(), 500); err != nil {
		t.Errorf("what is left: %v", err)
	}
	h.facts["bob budget "+imap+" shared"] = `{"octets":`
	h.budgets = limits.NewBudgets()
	if err := h.purses(1).Spend(t.Context(), 500); err != nil {
		t.Errorf("a fact that can't be read is none: %v", err)
	}
}

// TestWhoseLimit: a limit that is known of a provider is said to be its, and how to change it;
// plan.Unlimited is none.
func TestWhoseLimit(t *testing.T) {
	h := newHousehold(1000)
	h.config.Limits.Hosts[imap] = plan.HostLimits{BytesPerDay: 1000, KnownOf: "Example Mail"}
	alice := h.purses(0)
	if err := alice.Spend(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	err := alice.Spend(t.Context(), 1)
	if !strings.Contains(err.Error(), "Example Mail takes or gives about 1000 B a day") ||
		!strings.Contains(fault.HintOf(err), "bytes_per_day of limits.hosts."+imap) {
		t.Errorf("%v; %s", err, fault.HintOf(err))
	}
	h.config.Limits.Hosts[imap] = plan.HostLimits{BytesPerDay: plan.Unlimited}
	if err := h.purses(0).Spend(t.Context(), 1<<40); err != nil {
		t.Error(err)
	}
}
