package ferry_test

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

const day = 24 * time.Hour

// TestClockThatJumps (T10): a clock that is a year ahead for one run deletes
// nothing early, then or later; once two runs agree that the time is over, it is.
func TestClockThatJumps(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(5, 80)...)
	p.account().Keep = plan.Keep{Delete: true, For: 30 * day}
	p.o.ConfirmDelete = true
	p.run(0, 5)
	p.clock(365 * day) // the delivery and the first run are that long ago
	if plans, _ := ferry.Plans(t.Context(), p.o); plans[0].Totals().Delete.Messages != 0 {
		t.Errorf("the plan: %+v", plans[0].Totals())
	}
	r := p.run(0, 0)
	if notes := strings.Join(r.Accounts[0].Notes, "; "); !strings.Contains(notes, "5 messages to be deleted from POP3 by "+
		"the next run, if the clock is right: it has moved by 365 days") {
		t.Errorf("notes %q", notes)
	}
	p.kept(5)
	p.clock(-364 * day) // right again, a day after the delivery
	p.run(0, 0)
	p.kept(5)
	for range 2 {
		p.clock(14 * day)
		p.run(0, 0)
		p.kept(5) // 15 and 29 days after it
	}
	p.clock(day)
	p.run(0, 0)
	p.kept(5)
	p.clock(day)
	if r := p.run(0, 0); r.Totals.Deleted != 5 {
		t.Errorf("after 31 days, and 30 at the run before: %+v", r.Totals)
	}
	p.kept(0)
}

// TestClockThatIsSetAmidARun (T10): nobody waits ten years for an append that an earlier
// run left open, though the clock is right for a moment while it is looked for.
func TestClockThatIsSetAmidARun(t *testing.T) {
	for calls := int32(2); calls < 5; calls++ {
		cut := false
		p := newPair(t, popd.Options{}, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
			if e.Stage != imapd.AtStore || e.Command != "APPEND" || cut {
				return imapd.Action{}
			}
			cut = true
			return imapd.Action{Cut: imapd.RST}
		}}, ordinary(3, 82)...)
		p.o.NoWait, p.o.Config.Settle = true, time.Hour
		if r := runFerry(t, p.o); r.ExitCode != fault.Temporary {
			t.Fatalf("%+v", r)
		}
		p.o.NoWait, p.o.Config.Settle = false, time.Millisecond
		var asked atomic.Int32
		p.o.Clock = func() time.Time {
			if asked.Add(1) == calls {
				return time.Now().Round(0)
			}
			return time.Now().Round(0).Add(-3650 * day)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if r := ferry.Run(ctx, p.o); r.ExitCode != fault.OK {
			t.Errorf("right at call %d: %+v, %+v", calls, r, r.Accounts[0].Error)
		}
		cancel()
		p.has(3)
	}
}

// setClock gives the run a clock that is off by so much.
func (p *pair) setClock(by time.Duration) {
	p.o.Clock = func() time.Time { return time.Now().Round(0).Add(by) }
}

// TestClockThatWasBehind (T10): what was delivered while the clock was behind for a
// run stays as long as if it had been delivered when it was right again.
func TestClockThatWasBehind(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(5, 81)...)
	p.account().Keep = plan.Keep{Delete: true, For: 30 * day}
	p.o.ConfirmDelete = true
	p.run(0, 5)
	p.pop.Deliver(ordinary(3, 82)...)
	p.setClock(-40 * day)
	p.run(0, 3)
	p.setClock(day)
	if notes := strings.Join(p.run(0, 0).Accounts[0].Notes, "; "); !strings.Contains(notes, "the clock was behind") {
		t.Errorf("notes %q", notes)
	}
	for _, at := range []time.Duration{day, 2 * day, 29 * day, 30 * day} {
		p.setClock(at)
		p.run(0, 0)
		p.kept(8)
	}
	for _, at := range []time.Duration{31 * day, 32 * day} {
		p.setClock(at)
		p.run(0, 0)
	}
	p.kept(0)
}

// TestClockSetWhileSettling (T10, W3): how long an append is in doubt is told by a clock
// that nobody sets.
func TestClockSetWhileSettling(t *testing.T) {
	for name, by := range map[string]time.Duration{"forward": 365 * day, "back": -365 * day} {
		t.Run(name, func(t *testing.T) {
			mail := ordinary(10, 83)
			p := newPair(t, popd.Options{}, imapd.Options{Reply: firstAppend(imapd.AtStore, func() imapd.Action {
				return imapd.Action{StoreAfter: -1, Cut: imapd.RST}
			})}, mail...)
			var skew atomic.Int64
			p.account().Destination.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if p.imap.Counters().Commands["APPEND"] > 0 {
					skew.Store(int64(by)) // the answer was lost, and the run looks for the mail
				}
				return p.imap.Dial(ctx, network, address)
			}
			p.o.Clock = func() time.Time { return time.Now().Round(0).Add(time.Duration(skew.Load())) }
			p.o.NoWait, p.o.Config.Settle = true, time.Hour
			p.run(fault.Temporary, 0)
			p.imap.Commit()
			p.run(0, len(mail))
			p.arrived(mail...)
		})
	}
}

// clock puts the clock forward, as far as the journal of the account can tell: all
// that it remembers is that much longer ago.
func (p *pair) clock(by time.Duration) {
	p.t.Helper()
	p.age(by)
	ctx := p.t.Context()
	ledger := p.ledger()
	text, err := ledger.Fact(ctx, journal.LastRun)
	if err != nil {
		p.t.Fatal(err)
	}
	var last ferry.LastRun
	if err := json.Unmarshal([]byte(text), &last); err != nil {
		p.t.Fatal(err)
	}
	last.At = last.At.Add(-by)
	changed, err := json.Marshal(last)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := ledger.SetFact(ctx, journal.LastRun, string(changed)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pair) ledger() journal.Ledger {
	p.t.Helper()
	scopes, err := p.o.Journal.Scopes(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	ledger, err := p.o.Journal.Ledger(p.t.Context(), scopes[0].Scope)
	if err != nil {
		p.t.Fatal(err)
	}
	return ledger
}

// age makes all that was delivered look as if it had been so much earlier.
func (p *pair) age(by time.Duration) {
	p.t.Helper()
	ctx, ledger := p.t.Context(), p.ledger()
	var aged []journal.Record
	err := ledger.Each(ctx, journal.Query{}, func(r journal.Record) error {
		r.FirstSeen, r.DeliveredAt, r.Changed = r.FirstSeen.Add(-by), r.DeliveredAt.Add(-by), r.Changed.Add(-by)
		aged = append(aged, r)
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := ledger.Put(ctx, aged); err != nil {
		p.t.Fatal(err)
	}
}

// TestClockThatLeapsUnderABridge (T10): passes follow each other, and all read what a clock
// says that was set wrongly. It is believed once it has gone on for a day.
func TestClockThatLeapsUnderABridge(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{}, ordinary(5, 84)...)
	p.account().Keep = plan.Keep{Delete: true, For: 30 * day}
	p.o.ConfirmDelete = true
	var skew atomic.Int64
	p.o.Clock = func() time.Time { return time.Now().Round(0).Add(time.Duration(skew.Load())) }
	pass := p.passes()
	pass(0, 5)
	at := func(skewed time.Duration) {
		skew.Store(int64(skewed))
		pass(0, 0)
	}
	skew.Store(int64(100 * day))
	p.pop.Deliver(ordinary(1, 86)...)
	if notes := strings.Join(pass(0, 1).Notes, "; "); !strings.Contains(notes, "5 messages to be deleted from POP3 when it "+
		"has gone on for a day, if the clock is right: it has moved by 100 days") {
		t.Errorf("notes %q", notes)
	}
	for _, still := range []time.Duration{100 * day, 100*day + time.Hour, 101*day - time.Hour, time.Hour, 29 * day} {
		at(still)
	}
	p.kept(6)
	for hour := range 24 {
		at(31*day + time.Duration(hour)*time.Hour)
	}
	p.kept(6)
	at(32 * day)
	p.kept(1) // which the clock said to be of the future
}

// TestClockThatLeapsAmidAPass (T10) of a bridge.
func TestClockThatLeapsAmidAPass(t *testing.T) {
	var skew, leap atomic.Int64
	p := newPair(t, popd.Options{}, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
		if e.Stage == imapd.AtStore && e.Command == "APPEND" {
			skew.Store(leap.Load())
		}
		return imapd.Action{}
	}}, ordinary(5, 85)...)
	p.account().Keep = plan.Keep{Delete: true, For: 30 * day}
	p.o.ConfirmDelete = true
	p.o.Clock = func() time.Time { return time.Now().Round(0).Add(time.Duration(skew.Load())) }
	pass := p.passes()
	pass(0, 5)
	leap.Store(int64(100 * day))
	p.pop.Deliver(ordinary(1, 86)...)
	pass(0, 1)
	for range 3 {
		pass(0, 0)
	}
	p.kept(6)
}
