package bridge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
)

// room is a newsroom with a memory that can outlive it.
type room struct {
	*bridge.Newsroom
	memory map[string]string
	saves  int
	now    time.Time
}

func newRoom() *room {
	r := &room{memory: map[string]string{}, now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
	r.restart()
	return r
}

func (r *room) restart() {
	r.Newsroom = &bridge.Newsroom{
		After: func(string) time.Duration { return time.Hour },
		Load:  func(account string) string { return r.memory[account] },
		Save:  func(account, text string) { r.memory[account] = text; r.saves++ },
		Forget: func(but []string) {
			maps.DeleteFunc(r.memory, func(account, _ string) bool { return !slices.Contains(but, account) })
		},
	}
}

// pass takes in a pass some minutes later and lists the kinds of its news.
func (r *room) pass(minutes int, a ferry.AccountReport) (kinds []bridge.Kind, news []bridge.News) {
	r.now = r.now.Add(time.Duration(minutes) * time.Minute)
	a.Name = "alice"
	news = r.From(bridge.Pass{Started: r.now, Report: a})
	for _, n := range news {
		kinds = append(kinds, n.Kind)
	}
	return kinds, news
}

func (r *room) want(t *testing.T, minutes int, a ferry.AccountReport, want ...bridge.Kind) []bridge.News {
	t.Helper()
	kinds, news := r.pass(minutes, a)
	if !slices.Equal(kinds, want) {
		t.Errorf("%v, want %v", kinds, want)
	}
	return news
}

var away = ferry.AccountReport{ExitCode: fault.Temporary, Error: &ferry.ErrorReport{Code: fault.Temporary,
	Message: "cannot connect to POP3 server pop.example:995", Hint: "check host and port"}}

// TestFailingIsToldOnce, after the time that it may fail, and its recovery too; both
// across a restart.
func TestFailingIsToldOnce(t *testing.T) {
	r := newRoom()
	ok := ferry.AccountReport{}
	r.want(t, 0, ok)
	r.want(t, 5, away)
	r.want(t, 30, away)
	r.restart()
	news := r.want(t, 31, away, bridge.Fails)
	if n := news[0]; n.Account != "alice" || n.Check != "check host and port" || !n.Since.Equal(r.now.Add(-61*time.Minute)) ||
		n.Text != "has failed since "+n.Since.Local().Format("2006-01-02 15:04")+": "+away.Error.Message || n.Version != 1 {
		t.Errorf("%+v", n)
	}
	r.want(t, 5, away)
	r.restart()
	r.want(t, 60, away)
	if news := r.want(t, 5, ok, bridge.Recovered); !strings.Contains(news[0].Text, "after 2h11m") {
		t.Errorf("%+v", news)
	}
	r.want(t, 5, ok)
	r.want(t, 5, away)
	r.want(t, 5, ok) // short, and nobody was told
}

// TestShortFailure: where it is told at once, it may be over in seconds.
func TestShortFailure(t *testing.T) {
	r := newRoom()
	r.After = func(string) time.Duration { return 0 }
	r.want(t, 0, away, bridge.Fails)
	r.now = r.now.Add(4 * time.Second)
	if news := r.want(t, 0, ferry.AccountReport{}, bridge.Recovered); news[0].Text != "works again, after less than a minute" {
		t.Errorf("%+v", news)
	}
}

// TestAccountThatLeft is new when it comes back, also if it left while no bridge was at work;
// what all share stays told.
func TestAccountThatLeft(t *testing.T) {
	soon := ferry.AccountReport{Expiries: []ferry.Expiry{{What: "the certificate of POP3 server x", Accounts: 2,
		At: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)}}}
	for _, restarts := range []bool{false, true} {
		r := newRoom()
		r.want(t, 0, soon, bridge.Expires)
		r.want(t, 0, away)
		r.want(t, 61, away, bridge.Fails)
		if restarts {
			r.restart()
		}
		r.Keep([]string{"alice", "bob"})
		r.want(t, 5, away)
		if restarts {
			r.restart()
		}
		r.Keep([]string{"bob"})
		r.want(t, 5, away)
		r.want(t, 61, away, bridge.Fails)
		r.want(t, 5, soon, bridge.Recovered)
	}
}

// TestToldIsWhatWasPublished: a crash in between must not lose it.
func TestToldIsWhatWasPublished(t *testing.T) {
	r := newRoom()
	r.want(t, 0, away)
	published := 0
	r.Publish = func(news []bridge.News) {
		published += len(news)
		if strings.Contains(r.memory["alice"], `"failing":true`) {
			t.Error("it counts as told already")
		}
	}
	r.want(t, 61, away, bridge.Fails)
	if published != 1 || !strings.Contains(r.memory["alice"], `"failing":true`) {
		t.Errorf("%d, %s", published, r.memory["alice"])
	}
}

// TestRestingIsNoFailure: an account outside of its hours is not failing.
func TestRestingIsNoFailure(t *testing.T) {
	r := newRoom()
	resting := away
	resting.Resting = true
	for range 100 {
		r.want(t, 30, resting)
	}
}

// TestRestingIsNoSuccess either: the account may not even have asked a server. One that
// brought something works.
func TestRestingIsNoSuccess(t *testing.T) {
	r := newRoom()
	resting := away
	resting.Resting = true
	r.want(t, 0, away)
	r.want(t, 61, away, bridge.Fails)
	r.want(t, 16*60, resting)
	r.want(t, 8*60, away)
	resting.Delivered = 1
	r.want(t, 60, resting, bridge.Recovered)
}

// TestGaveWayIsNoNews: a pass that gave way did not come to all that is held, or needs a word.
func TestGaveWayIsNoNews(t *testing.T) {
	r := newRoom()
	whole := ferry.AccountReport{Name: "alice", ExitCode: fault.Held, Totals: ferry.Totals{Held: 1},
		Awaits:   &ferry.ErrorReport{Message: "the first deletion needs your word"},
		Messages: []ferry.MessageReport{{UIDL: "x", Size: 5, State: "held", Reason: "too large"}}}
	gave := ferry.AccountReport{Name: "alice", GaveWay: true, Totals: ferry.Totals{Delivered: 9}}
	r.want(t, 0, whole, bridge.Holds, bridge.Awaits)
	for range 3 {
		r.want(t, 5, gave)
		r.want(t, 5, whole)
	}
	synctest.Test(t, func(t *testing.T) {
		b := runs(t, 15*minute, 0, nil, &played{answer: func(n int) ferry.AccountReport {
			if n > 1 {
				return gave
			}
			return whole
		}})
		if a := b.Snapshot().Accounts[0]; a.Held != 1 || len(a.Messages) != 1 {
			t.Errorf("%d held: %+v", a.Held, a.Messages)
		}
	})
}

// TestRestingInTheState: what failed still does, and what never worked never did.
func TestRestingInTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resting := failing(fault.Temporary, 9)(1)
		resting.Resting = true
		p := &played{answer: func(n int) ferry.AccountReport {
			if n == 2 {
				return failing(fault.Temporary, 9)(n)
			}
			return resting
		}}
		b := runs(t, minute, 0, nil, p)
		if a := b.Snapshot().Accounts[0]; a.Phase != bridge.Waiting || !a.Success.IsZero() || a.Works || !a.Resting {
			t.Errorf("%+v", a)
		}
		began := time.Now()
		p.at = nil
		b = runs(t, 16*minute, 0, nil, p)
		if a := b.Snapshot().Accounts[0]; len(p.at) < 3 || a.Phase != bridge.Failing || !a.Success.IsZero() ||
			!a.Since.Equal(began.Add(5*minute)) || a.Error == nil {
			t.Errorf("%+v", a)
		}
	})
}

// watched keeps an account for a while, with what was kept of it, and lists when its news came.
func watched(how time.Duration, kept string, p *played) (told []time.Duration) {
	r := newRoom()
	r.After = func(string) time.Duration { return 30 * minute }
	p.began = time.Now()
	r.Publish = func(news []bridge.News) {
		for range news {
			told = append(told, time.Since(p.began))
		}
	}
	b := bridge.New(bridge.Options{Random: func() float64 { return 0.5 }, Finished: func(p bridge.Pass) {
		p.Report.Name = "a"
		r.From(p)
	}, Load: func(string) string { return kept }, Save: func(string, string) {}})
	ctx, cancel := context.WithCancel(context.Background())
	b.Start(ctx, []bridge.Account{p.account("a")})
	var watch sync.WaitGroup
	watch.Go(func() { r.Watch(ctx, b) })
	time.Sleep(how)
	cancel()
	b.Wait()
	watch.Wait()
	return told
}

// TestFailingIsToldInTime, however long the account waits for its next pass.
func TestFailingIsToldInTime(t *testing.T) {
	for _, code := range []fault.Code{fault.Credentials, fault.Config, fault.Temporary} {
		synctest.Test(t, func(t *testing.T) {
			told := watched(3*time.Hour, "", &played{answer: failing(code, 99)})
			if len(told) != 1 || told[0] < 30*minute || told[0] > 31*minute {
				t.Errorf("%v was told at %v", code, told)
			}
		})
	}
}

// TestParkedIsToldAfterARestart: also of an account that is not even tried, since it was
// refused before.
func TestParkedIsToldAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := func(ago time.Duration) string { return time.Now().Add(-ago).UTC().Format(time.RFC3339Nano) }
		p := &played{}
		told := watched(40*minute, fmt.Sprintf(`{"held":%q,"refused":[%q,%q,%q]}`, at(0), at(10*minute), at(5*minute), at(0)), p)
		if len(told) != 1 || told[0] < 20*minute || told[0] > 21*minute || len(p.at) != 0 {
			t.Errorf("told at %v, passed at %v", told, p.at)
		}
	})
}

func TestHeldIsToldOnce(t *testing.T) {
	held := func(names ...string) ferry.AccountReport {
		a := ferry.AccountReport{ExitCode: fault.Held}
		for _, name := range names {
			a.Messages = append(a.Messages, ferry.MessageReport{UIDL: name, Size: 5, State: "held", Reason: "too large: " + name})
		}
		return a
	}
	r := newRoom()
	news := r.want(t, 0, held("a"), bridge.Holds)
	if !strings.Contains(news[0].Text, "1 message can't be delivered and stays on POP3: too large: a") {
		t.Errorf("%+v", news)
	}
	r.want(t, 5, held("a"))
	r.restart()
	r.want(t, 5, away)
	news = r.want(t, 5, held("a", "b", "c"), bridge.Holds)
	if len(news[0].Messages) != 2 || news[0].Messages[0].UIDL != "b" {
		t.Errorf("%+v", news)
	}
	r.want(t, 5, held("c"))
	r.want(t, 5, held("c", "a"), bridge.Holds) // it is back
}

// TestHeldIsToldOnceUnderOtherUIDLs: a provider that renumbers, or a server whose UIDLs are
// others in each session, makes no news of the same messages.
func TestHeldIsToldOnceUnderOtherUIDLs(t *testing.T) {
	session := 0
	held := func(sizes ...int64) ferry.AccountReport {
		session++
		a := ferry.AccountReport{ExitCode: fault.Held}
		for n, size := range sizes {
			a.Messages = append(a.Messages, ferry.MessageReport{UIDL: fmt.Sprintf("%d of %d", n, session), Size: size, State: "held"})
		}
		return a
	}
	r := newRoom()
	r.want(t, 0, held(5, 5, 7), bridge.Holds)
	for range 3 {
		r.want(t, 5, held(7, 5, 5))
		r.restart()
	}
	news := r.want(t, 5, held(5, 5, 7, 5, 8), bridge.Holds)
	if m := news[0].Messages; len(m) != 2 || m[0].Size != 5 || m[1].Size != 8 {
		t.Errorf("%+v", m)
	}
	r.want(t, 5, held(7))
	r.want(t, 5, held(7, 5), bridge.Holds)
}

// TestAwaitedWordIsToldOnce, though passes that find nothing new know of it as well; and it is
// seen until it is given.
func TestAwaitedWordIsToldOnce(t *testing.T) {
	asks := ferry.AccountReport{ExitCode: fault.Held, Awaits: &ferry.ErrorReport{Code: fault.Held,
		Message: "3 messages could be deleted from POP3", Hint: "run once with --confirm-delete"}}
	asks.Error = asks.Awaits
	idle := asks
	idle.Error, idle.ExitCode = nil, fault.OK
	resting := away
	resting.Resting = true
	r := newRoom()
	news := r.want(t, 0, asks, bridge.Awaits)
	if n := news[0]; n.Text != asks.Awaits.Message || n.Check != "stop the bridge, and run once with --confirm-delete" {
		t.Errorf("%+v", n)
	}
	r.want(t, 5, idle)
	r.restart()
	r.want(t, 5, away)
	r.want(t, 5, resting)
	r.want(t, 5, asks)
	r.want(t, 5, ferry.AccountReport{})
	r.want(t, 5, idle, bridge.Awaits)

	synctest.Test(t, func(t *testing.T) {
		answers := []ferry.AccountReport{asks, idle, away, resting, {}}
		p := &played{answer: func(n int) ferry.AccountReport { return answers[min(n, len(answers))-1] }}
		b := bridge.New(bridge.Options{Random: func() float64 { return 0.5 }})
		ctx, cancel := context.WithCancel(context.Background())
		b.Start(ctx, []bridge.Account{p.account("a")})
		for passes := 0; passes < len(answers); time.Sleep(minute) {
			a := b.Snapshot().Accounts[0]
			if passes = a.Passes; (a.Awaits != nil) != (0 < passes && passes < len(answers)) {
				t.Errorf("after %d passes: %+v", passes, a.Awaits)
			}
		}
		cancel()
		b.Wait()
	})
}

// TestHeartBeatsWhileAllRest, which may be for most of a day; but not before all are known
// to work, and not while one is stuck in a pass.
func TestHeartBeatsWhileAllRest(t *testing.T) {
	rests := func(int) ferry.AccountReport {
		return ferry.AccountReport{Resting: true, ExitCode: fault.Temporary, NotBefore: time.Now().Add(16 * time.Hour)}
	}
	worksThenRests := func(n int) ferry.AccountReport {
		if n == 1 {
			return ferry.AccountReport{}
		}
		return rests(n)
	}
	stuck := func(int) ferry.AccountReport {
		time.Sleep(10 * time.Hour)
		return ferry.AccountReport{}
	}
	for name, c := range map[string]struct {
		second func(int) ferry.AccountReport
		want   bool
	}{"works": {worksThenRests, true}, "never worked": {rests, false}, "is stuck": {stuck, false}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRoom()
			beats := 0
			r.Beat = func(works bool) {
				if works {
					beats++
				}
			}
			b := bridge.New(bridge.Options{Random: func() float64 { return 0.5 }, Finished: func(p bridge.Pass) { r.From(p) }})
			ctx, cancel := context.WithCancel(context.Background())
			first, second := &played{answer: worksThenRests}, &played{answer: c.second}
			one, two := first.account("a"), second.account("b")
			b.Start(ctx, []bridge.Account{named(one), named(two)})
			var watch sync.WaitGroup
			watch.Go(func() { r.Watch(ctx, b) })
			time.Sleep(4 * time.Hour)
			cancel()
			b.Wait()
			watch.Wait()
			if c.want && beats < 3*60 || !c.want && beats > 0 {
				t.Errorf("%s: %d beats", name, beats)
			}
		})
	}
}

// named has the reports of an account bear its name.
func named(a bridge.Account) bridge.Account {
	pass := a.Pass
	a.Pass = func(ctx context.Context, held bool) ferry.AccountReport {
		r := pass(ctx, held)
		r.Name = a.Name
		return r
	}
	return a
}

func TestExpiryIsToldOnce(t *testing.T) {
	r := newRoom()
	ends := func(days int) ferry.AccountReport {
		return ferry.AccountReport{Expiries: []ferry.Expiry{{What: "the certificate of POP3 server x", Check: "renew it",
			At: time.Date(2026, 11, 26+days, 12, 0, 0, 0, time.UTC)}}}
	}
	r.want(t, 0, ends(15))
	r.want(t, 24*60+5, ends(15), bridge.Expires)
	r.restart()
	r.want(t, 5, ends(15))
	r.want(t, 5, ends(100)) // renewed
	r.want(t, 90*24*60, ends(100), bridge.Expires)
}

// TestExpiryIsToldInItsTime: 14 days before the end, or a third of the life of what lives
// shorter; what is renewed in time is no news.
func TestExpiryIsToldInItsTime(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct{ life, left time.Duration }{{0, 14 * day}, {365 * day, 14 * day}, {6 * day, 2 * day}, {day, 8 * time.Hour}} {
		r := newRoom()
		at := func(left time.Duration) ferry.AccountReport {
			return ferry.AccountReport{Expiries: []ferry.Expiry{{What: "the certificate of POP3 server x", At: r.now.Add(left), Life: c.life}}}
		}
		r.want(t, 0, at(c.left+time.Second))
		r.want(t, 0, at(c.left), bridge.Expires)
	}
	r := newRoom()
	for hour := range 60 * 24 {
		since := time.Duration(hour%72) * time.Hour
		r.want(t, 60, ferry.AccountReport{Expiries: []ferry.Expiry{{What: "the certificate of POP3 server x",
			At: r.now.Add(6*day - since), Life: 6 * day}}})
	}
}

// TestExpiryThatFlips between machines of a server, or by a second, is one news; so is one
// certificate that many accounts need. An end that comes much earlier is another.
func TestExpiryThatFlips(t *testing.T) {
	const day = 24 * time.Hour
	r := newRoom()
	end := r.now.Add(7 * day)
	pass := func(account string, at time.Time, want int) []bridge.News {
		t.Helper()
		news := r.From(bridge.Pass{Started: r.now, Report: ferry.AccountReport{Name: account, Expiries: []ferry.Expiry{
			{What: "the certificate of POP3 server x", At: at, Accounts: 3}}}})
		if len(news) != want {
			t.Errorf("%+v, want %d", news, want)
		}
		return news
	}
	if news := pass("alice", end, 1); !strings.HasSuffix(news[0].Text, "; 3 accounts need it") || news[0].Account != "alice" {
		t.Errorf("%+v", news)
	}
	for n := range 20 {
		pass("bob", end.Add(time.Duration(n%2)*time.Second), 0)
		pass("carol", end.Add(time.Duration(n%3)*3*day), 0)
	}
	r.restart()
	pass("bob", end.Add(-time.Hour), 0)
	pass("bob", end.Add(-2*day), 1)
	r.now = end // what was told is over
	pass("bob", end.Add(2*day), 1)
}

// removing is a report from a POP3 server that removes mail after some days.
func removing(days int, a ferry.AccountReport) ferry.AccountReport {
	a.Retention.Days = days
	return a
}

func holding(names ...string) (a ferry.AccountReport) {
	a.ExitCode = fault.Held
	for _, name := range names {
		a.Messages = append(a.Messages, ferry.MessageReport{UIDL: name, State: "held"})
	}
	return a
}

// TestWorks: only what was tried does, and not what failed then; a restart changes nothing,
// and neither does a pass that asked nobody.
func TestWorks(t *testing.T) {
	r := newRoom()
	all := bridge.Snapshot{Accounts: []bridge.AccountState{{Name: "alice"}, {Name: "bob"}}}
	resting := away
	resting.Resting = true
	for n, step := range []struct {
		account string
		ferry.AccountReport
		want bool
	}{{"alice", ferry.AccountReport{}, false}, {"bob", resting, false}, {"bob", ferry.AccountReport{ExitCode: fault.Held}, true},
		{"bob", away, false}, {"alice", ferry.AccountReport{}, false}, {"bob", resting, false},
		{"bob", ferry.AccountReport{}, true}, {"bob", resting, true}} {
		step.Name = step.account
		r.From(bridge.Pass{Started: r.now, Report: step.AccountReport})
		for range 2 {
			if got := r.Works(all); got != step.want {
				t.Errorf("step %d: %v", n+1, got)
			}
			r.restart()
		}
	}
}

// TestHeldMailVanishes: at once when it is newly held, and again after a week.
func TestHeldMailVanishes(t *testing.T) {
	r := newRoom()
	r.want(t, 0, removing(30, ferry.AccountReport{}))
	news := r.want(t, 5, removing(30, holding("a")), bridge.Holds, bridge.Vanishes)
	if n := news[1]; n.Text != "mail that is held will be lost: the POP3 server removes mail after 30 days by itself (EXPIRE 30)" ||
		!strings.HasPrefix(n.Check, "stop the bridge, and") || !strings.Contains(news[0].Check, "stop the bridge, and") {
		t.Errorf("%+v", news)
	}
	r.want(t, 5, removing(30, holding("a")))
	r.want(t, 5, removing(30, holding("a", "b")), bridge.Holds, bridge.Vanishes)
	r.restart()
	r.want(t, 5, removing(30, holding("a", "b")))
	r.want(t, 7*24*60, removing(30, holding("a", "b")), bridge.Vanishes)
	r.want(t, 5, removing(3, away))
	r.want(t, 61, removing(3, away), bridge.Fails, bridge.Vanishes) // what is new as well
	r.want(t, 5, removing(30, ferry.AccountReport{}), bridge.Recovered)
	r.want(t, 7*24*60, removing(30, ferry.AccountReport{}))
}

// TestMailVanishesWhileTheAccountFails: together with that news, or when the time comes;
// also where the server itself can't be asked any more.
func TestMailVanishesWhileTheAccountFails(t *testing.T) {
	r := newRoom()
	r.want(t, 0, ferry.AccountReport{})
	r.want(t, 0, removing(3, away))
	news := r.want(t, 61, away, bridge.Fails, bridge.Vanishes)
	if want := "mail that came since " + news[0].Since.Local().Format("2006-01-02 15:04") +
		" will be lost: the POP3 server removes mail after 3 days by itself (EXPIRE 3)"; news[1].Text != want {
		t.Errorf("%q, want %q", news[1].Text, want)
	}
	r.want(t, 5, removing(3, away))
	r.want(t, 5, ferry.AccountReport{}, bridge.Recovered)
	r.want(t, 5, removing(30, away))
	r.want(t, 61, removing(30, away), bridge.Fails)
	r.want(t, 15*24*60, removing(30, away))
	r.want(t, 24*60, removing(30, away), bridge.Vanishes)
	r.want(t, 0, removing(0, away))
}

// TestMailVanishesBeforeItFirstWorked: what is on POP3 may be as old as it can be.
func TestMailVanishesBeforeItFirstWorked(t *testing.T) {
	r := newRoom()
	r.want(t, 0, removing(60, away))
	news := r.want(t, 61, removing(60, away), bridge.Fails, bridge.Vanishes)
	if !strings.HasPrefix(news[1].Text, "mail that is still on POP3 will be lost: the POP3") {
		t.Errorf("%+v", news)
	}
}

// TestMailVanishesBetweenPasses that are too far apart, though all is well.
func TestMailVanishesBetweenPasses(t *testing.T) {
	r := newRoom()
	rare := ferry.AccountReport{Retention: ferry.Retention{Days: 1, Interval: "2d"}}
	news := r.want(t, 0, rare, bridge.Vanishes)
	if !strings.HasPrefix(news[0].Text, "mail may be lost between two passes, interval: 2d: the POP3") {
		t.Errorf("%+v", news)
	}
	r.want(t, 2*24*60, rare)
	r.want(t, 5*24*60, rare, bridge.Vanishes)
}

// TestMailStaysTooShort for what keep says: who set that is told once.
func TestMailStaysTooShort(t *testing.T) {
	r := newRoom()
	short := ferry.AccountReport{Retention: ferry.Retention{Days: 7, Keep: "30d"}}
	news := r.want(t, 0, short, bridge.Vanishes)
	if !strings.HasPrefix(news[0].Text, "mail does not stay as long as keep: 30d says: the POP3") {
		t.Errorf("%+v", news)
	}
	r.restart()
	r.want(t, 30*24*60, short)
	r.want(t, 0, removing(7, ferry.AccountReport{}))
}

// TestNothingNewIsNotSaved: a quiet bridge writes nothing.
func TestNothingNewIsNotSaved(t *testing.T) {
	r := newRoom()
	for range 100 {
		r.want(t, 5, ferry.AccountReport{})
	}
	if r.saves != 1 { // that it works
		t.Errorf("saved %d times", r.saves)
	}
	r.memory["alice"] = "{nonsense"
	r.restart()
	r.want(t, 5, ferry.AccountReport{})
}

// TestNewsAsJSON is a contract.
func TestNewsAsJSON(t *testing.T) {
	r := newRoom()
	r.want(t, 0, away)
	_, news := r.pass(60, away)
	text, err := json.Marshal(news[0])
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil || fmt.Sprint(fields["version"]) != "1" || fields["kind"] != "failing" ||
		fields["account"] != "alice" || fields["time"] != "2026-11-26T13:00:00Z" || fields["error"] == nil || fields["check"] == nil {
		t.Errorf("%s, %v", text, err)
	}
}

func TestMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "news.json")
	var failed error
	open := func() *bridge.Memory {
		return &bridge.Memory{Path: path, Failed: func(err error) { failed = err },
			Write: func(path string, data []byte) error { return os.WriteFile(path, data, 0o600) }}
	}
	if got := open().Load("alice"); got != "" {
		t.Errorf("%q", got)
	}
	open().Save("alice", "a")
	open().Save("bob", "b")
	if m := open(); m.Load("alice") != "a" || m.Load("bob") != "b" || failed != nil {
		t.Errorf("%q, %q, %v", m.Load("alice"), m.Load("bob"), failed)
	}
	open().Forget([]string{"bob"})
	if m := open(); m.Load("alice") != "" || m.Load("bob") != "b" || failed != nil {
		t.Errorf("%q, %q, %v", m.Load("alice"), m.Load("bob"), failed)
	}
	full := errors.New("full")
	m := open()
	for _, text := range []string{"null", "[]", `{"alice":`, "", "nonsense"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		m = open()
		if m.Load("alice") != "" {
			t.Errorf("made something of %q", text)
		}
		m.Save("alice", "a")
		if open().Load("alice") != "a" || failed != nil {
			t.Errorf("after %q: %v", text, failed)
		}
	}
	m.Write = func(string, []byte) error { return full }
	if m.Save("alice", "x"); !errors.Is(failed, full) || m.Load("alice") != "x" {
		t.Errorf("%v", failed)
	}
}

// TestMemoryOfAFullDisk is written once there is room, though there is nothing new.
func TestMemoryOfAFullDisk(t *testing.T) {
	full, written, fails := errors.New("full"), "", 0
	disk := func(_ string, data []byte) error {
		written = string(data)
		return full
	}
	m := &bridge.Memory{Path: filepath.Join(t.TempDir(), "news.json"), Write: disk, Failed: func(error) { fails++ }}
	m.Flush()
	if written != "" {
		t.Errorf("wrote %s", written)
	}
	m.Save("alice", "a")
	m.Flush()
	full, written = nil, ""
	m.Flush()
	if written != `{"alice":"a"}` || fails != 2 {
		t.Errorf("%d failures, wrote %q", fails, written)
	}
	written = ""
	if m.Flush(); written != "" {
		t.Errorf("wrote %s again", written)
	}
}

// TestNewsWhenTheClockIsSet: no alert is silenced by a clock that is set back.
func TestNewsWhenTheClockIsSet(t *testing.T) {
	t.Run("back, over a restart", func(t *testing.T) {
		r := newRoom()
		r.want(t, 0, away)
		r.restart()
		r.now = r.now.AddDate(-1, 0, 0)
		r.want(t, 0, away)
		r.want(t, 61, away, bridge.Fails)
	})
	t.Run("back", func(t *testing.T) {
		r := newRoom()
		held := removing(5, holding("a"))
		r.want(t, 0, held, bridge.Holds, bridge.Vanishes)
		r.want(t, 5, held)
		r.now = r.now.AddDate(-1, 0, 0)
		r.want(t, 0, held, bridge.Vanishes)
		r.want(t, 5, held)
	})
	t.Run("moments of two processes", func(t *testing.T) {
		r := newRoom()
		now := time.Now()
		r.memory["alice"] = fmt.Sprintf(`{"since":%q}`, now.Add(-time.Minute).UTC().Format(time.RFC3339Nano))
		pass := func(at time.Time) []bridge.News {
			a := away
			a.Name = "alice"
			return r.From(bridge.Pass{Started: at, Report: a})
		}
		if news := pass(now); len(news) != 0 {
			t.Errorf("%+v", news)
		}
		if news := pass(now.Add(58 * time.Minute)); len(news) != 0 {
			t.Errorf("%+v", news)
		}
		if news := pass(now.Add(60 * time.Minute)); len(news) != 1 {
			t.Errorf("%+v", news)
		}
	})
}

// TestStoppedIsNoNews: a pass that was told to stop amid its work tells nothing of the account,
// though it brought something.
func TestStoppedIsNoNews(t *testing.T) {
	r := newRoom()
	fails := ferry.AccountReport{ExitCode: fault.Temporary, Error: &ferry.ErrorReport{Code: fault.Temporary, Message: "away"}}
	r.want(t, 0, fails)
	r.want(t, 90, fails, bridge.Fails)
	stopped := ferry.AccountReport{Name: "alice", Totals: ferry.Totals{Delivered: 1}, Resting: true}
	if news := r.From(bridge.Pass{Started: r.now, Report: stopped, Stopped: true}); len(news) > 0 {
		t.Errorf("%+v", news)
	}
	r.want(t, 5, fails)
	r.want(t, 5, ferry.AccountReport{}, bridge.Recovered)
}

// TestExpiryToldByAClockThatWasAhead is news again in its time.
func TestExpiryToldByAClockThatWasAhead(t *testing.T) {
	const day = 24 * time.Hour
	r := newRoom()
	ends := ferry.AccountReport{Expiries: []ferry.Expiry{{What: "the certificate of POP3 server x", At: r.now.Add(90 * day)}}}
	r.now = r.now.Add(80 * day)
	r.want(t, 0, ends, bridge.Expires)
	r.restart()
	r.now = r.now.Add(-80 * day)
	r.want(t, 0, ends)
	r.want(t, 77*24*60, ends, bridge.Expires)
	r.want(t, 60, ends)
}
