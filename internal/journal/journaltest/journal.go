package journaltest

import (
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

func journalCases() []testCase {
	return []testCase{
		{"scopes", scopes},
		{"a new journal has nothing to tell", silent},
		{"a closed journal", closed},
	}
}

func scopes(f *fixture) {
	bob := alice()
	bob.Account = "bob"
	empty := alice()
	empty.Account = "never written"
	f.must(f.ledger(bob).SetFact(f.ctx, journal.LastRun, `{"exit":0}`))
	f.put(f.ledger(alice()), simple("u:1", journal.Delivered), simple("u:2", journal.Held))
	_ = f.ledger(empty)
	want := []journal.Status{
		{Scope: bob, Counts: map[journal.State]int{}, LastRun: `{"exit":0}`},
		{Scope: alice(), Counts: map[journal.State]int{journal.Delivered: 1, journal.Held: 1}},
	}
	for range 2 {
		got, err := f.Scopes(f.ctx)
		f.must(err)
		f.same(got, want)
		f.reopen()
	}
}

func silent(f *fixture) {
	for range 2 {
		if f.Rebuilt() || len(f.Notes()) > 0 {
			f.Fatalf("rebuilt %v, notes %q", f.Rebuilt(), f.Notes())
		}
		f.reopen()
	}
}

func closed(f *fixture) {
	l, x := f.ledger(alice()), f.index(inbox())
	f.must(f.Journal.Close())
	f.must(f.Journal.Close())
	_, getErr := l.Get(f.ctx, []string{"u:1"})
	_, _, stateErr := x.State(f.ctx)
	_, scopesErr := f.Scopes(f.ctx)
	_, ledgerErr := f.Journal.Ledger(f.ctx, alice())
	historyErr := f.EachPass(f.ctx, time.Time{}, func(journal.Pass) error { return nil })
	for _, err := range []error{
		getErr, stateErr, scopesErr, ledgerErr, historyErr,
		l.Put(f.ctx, []journal.Record{simple("u:1", journal.Intent)}), x.Reset(f.ctx, 7),
	} {
		f.fails(err, fault.Internal)
	}
}
