package ferry_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// TestConnectionEndsOverOne: a destination that ends the connection over a message, as soon as
// it hears of it or when all of it is there, gets all others, and that one is held by name. Later
// runs end with 65, too, and soon leave it alone.
func TestConnectionEndsOverOne(t *testing.T) {
	for name, o := range map[string]imapd.Options{
		"pushed": {NoMultiAppend: true}, "asked for": {NoMultiAppend: true, Literals: imapd.LiteralSync},
		"many pushed": {}, "many asked for": {Literals: imapd.LiteralSync},
	} {
		t.Run(name+", behind it", func(t *testing.T) { endsOverOne(t, imapd.AtLiteral, o) })
		if o.NoMultiAppend { // else only the first of many is announced to the test
			t.Run(name+", at its announcement", func(t *testing.T) { endsOverOne(t, imapd.AtCommand, o) })
		}
	}
}

func endsOverOne(t *testing.T, stage imapd.Stage, o imapd.Options) {
	t.Parallel()
	attempts := 0
	o.Reply = func(e imapd.Event) imapd.Action {
		if e.Stage != stage || e.Command != "APPEND" || !strings.HasSuffix(strings.TrimRight(e.Line, "\x00 "), `13-Jun-2020 10:00:00 +0000"`) {
			return imapd.Action{}
		}
		attempts++
		return imapd.Action{Bye: "message too large"}
	}
	p := newPair(t, popd.Options{}, o, dated(21, 12)...)
	if r := p.run(fault.Held, 20); r.Totals.Held != 1 || !strings.Contains(r.Accounts[0].Messages[0].Reason, "never answered") {
		t.Errorf("%+v", r.Accounts[0])
	}
	for range 5 {
		p.run(fault.Held, 0)
	}
	before := attempts
	p.pop.Deliver(dated(22, 12)[21])
	p.run(fault.Held, 1)
	if attempts != before || before > 2*3 {
		t.Errorf("tried %d times, and then %d times", before, attempts-before)
	}
	for name, by := range map[string]time.Duration{"a day later": day, "after a clock that was ahead": -100 * day} {
		before = attempts
		p.age(by)
		p.run(fault.Held, 0)
		if attempts == before {
			t.Errorf("it was not tried %s", name)
		}
		before = attempts
		p.run(fault.Held, 0)
		if attempts > before {
			t.Errorf("it was tried at once, again, %s", name)
		}
	}
}

// TestOutageIsNoMessages: where each APPEND ends the connection for a while, that is hardly the
// messages: few are held for it, and none of them once the server is well.
func TestOutageIsNoMessages(t *testing.T) {
	t.Parallel()
	var appends atomic.Int64
	var well atomic.Bool
	p := newPair(t, popd.Options{}, imapd.Options{NoMultiAppend: true, Reply: func(e imapd.Event) imapd.Action {
		if e.Stage != imapd.AtStore || appends.Add(1) <= 20 || well.Load() {
			return imapd.Action{}
		}
		return imapd.Action{Bye: "Server shutting down"}
	}}, ordinary(60, 5)...)
	p.overTCP()
	if r := p.run(fault.Temporary, 20); r.Totals.Held > 3 {
		t.Errorf("%+v", r.Totals)
	}
	well.Store(true)
	p.run(fault.OK, 40)
}

// dated is mail of one day in June each, from the 1st on, and of May behind that day.
func dated(n, last int) (mail [][]byte) {
	for i := range n {
		day := fmt.Sprintf("%d Jun", i+1)
		if i > last {
			day = fmt.Sprintf("%d May", i+1)
		}
		mail = append(mail, fmt.Appendf(nil, "Date: %s 2020 10:00:00 +0000\r\nMessage-ID: <%d@example.org>\r\n\r\n%d\r\n", day, i, i))
	}
	return mail
}

// TestConnectionEndsOverMany: a destination that ends each connection after some appends, whatever
// they are, gets all mail, and none is held for it.
func TestConnectionEndsOverMany(t *testing.T) {
	for name, o := range map[string]imapd.Options{
		"pushed": {NoMultiAppend: true}, "asked for": {NoMultiAppend: true, Literals: imapd.LiteralSync}, "many": {},
	} {
		for _, stage := range []imapd.Stage{imapd.AtCommand, imapd.AtLiteral, imapd.AtStore} {
			for _, most := range []int{1, 7} {
				t.Run(fmt.Sprint(name, " ", stage, " ", most), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { endsOverMany(t, o, stage, most) })
				})
			}
		}
	}
}

func endsOverMany(t *testing.T, o imapd.Options, stage imapd.Stage, most int) {
	var mu sync.Mutex
	seen := map[int]int{}
	o.Reply = func(e imapd.Event) imapd.Action {
		if e.Stage != stage || e.Command != "APPEND" {
			return imapd.Action{}
		}
		mu.Lock()
		defer mu.Unlock()
		if seen[e.Conn]++; seen[e.Conn] <= most {
			return imapd.Action{}
		}
		return imapd.Action{Cut: imapd.FIN}
	}
	p := newPair(t, popd.Options{}, o, dated(30, 30)...)
	for range 2 {
		r := runFerry(t, p.o)
		if r.Totals.Held != 0 {
			t.Errorf("%+v", r.Accounts[0])
		}
	}
	p.arrived(dated(30, 30)...)
}

// TestConnectionEndsOverManyAndOne: the message over which it always ends is found among them.
func TestConnectionEndsOverManyAndOne(t *testing.T) {
	for _, stage := range []imapd.Stage{imapd.AtLiteral, imapd.AtStore} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			seen := map[int]int{}
			p := newPair(t, popd.Options{}, imapd.Options{NoMultiAppend: true, Reply: func(e imapd.Event) imapd.Action {
				if e.Stage != stage || e.Command != "APPEND" {
					return imapd.Action{}
				}
				mu.Lock()
				defer mu.Unlock()
				if seen[e.Conn]++; seen[e.Conn] <= 3 && !bytes.Contains(e.Messages[0], []byte("<12@")) {
					return imapd.Action{}
				}
				return imapd.Action{Cut: imapd.FIN}
			}}, dated(30, 30)...)
			p.run(fault.Held, 29)
		})
	}
}

// TestEachMessageOnce: after a lost answer the report has each message once, as it is by now.
func TestEachMessageOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Bool
		p := newPair(t, popd.Options{}, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
			if e.Stage == imapd.AtStore && !lost.Swap(true) {
				return imapd.Action{Cut: imapd.RST}
			}
			return imapd.Action{}
		}}, ordinary(4, 1)...)
		p.o.EveryMessage, p.o.Config.Settle = true, 10*time.Second
		messages := p.run(0, 4).Accounts[0].Messages
		for i, m := range messages {
			if m.Number != i+1 || m.State != "delivered" || len(messages) != 4 {
				t.Errorf("%+v of %d", m, len(messages))
			}
		}
	})
}

// slowJournal takes a moment for what it keeps.
type slowJournal struct{ journal.Journal }

func (j slowJournal) Ledger(ctx context.Context, s journal.Scope) (journal.Ledger, error) {
	l, err := j.Journal.Ledger(ctx, s)
	return slowLedger{l}, err
}

type slowLedger struct{ journal.Ledger }

func (l slowLedger) Put(ctx context.Context, rs []journal.Record) error {
	time.Sleep(time.Millisecond)
	return l.Ledger.Put(ctx, rs)
}

// TestConnectionEndsAndTheNext: of a destination that ends each connection after some appends, and
// for a moment each new one, no message is held that was the first of such a one. Which one that
// is, is up to the scheduler: hence several times.
func TestConnectionEndsAndTheNext(t *testing.T) {
	for range 5 {
		synctest.Test(t, connectionsEndInPairs)
	}
}

func connectionsEndInPairs(t *testing.T) {
	var mu sync.Mutex
	var ended time.Time
	seen := map[int]int{}
	p := newPair(t, popd.Options{}, imapd.Options{NoMultiAppend: true, Reply: func(e imapd.Event) imapd.Action {
		if e.Stage != imapd.AtStore || e.Command != "APPEND" {
			return imapd.Action{}
		}
		mu.Lock()
		defer mu.Unlock()
		if seen[e.Conn]++; seen[e.Conn] == 1 && time.Since(ended) > 100*time.Millisecond {
			return imapd.Action{}
		}
		ended = time.Now()
		return imapd.Action{Cut: imapd.FIN}
	}}, dated(30, 30)...)
	p.o.Journal = slowJournal{p.o.Journal}
	for range 3 {
		if r := runFerry(t, p.o); r.Totals.Held != 0 {
			t.Errorf("%+v", r.Accounts[0])
		}
	}
	p.arrived(dated(30, 30)...)
}
