package journaltest

import (
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

func journalCases() []testCase {
	return []testCase{
		{"scopes", scopes},
		{"a renamed scope", renamed},
		{"a scope that is not renamed", notRenamed},
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

// renamed gives one of two scopes that share a folder another destination. What it has there
// claims the messages of the other folder, under each UIDVALIDITY that it knew.
func renamed(f *fixture) {
	bob, there := alice(), alice()
	bob.Account = "bob"
	there.SourceHost, there.DestHost = "pop.example.org:1110", "imap.example.net:1143"
	f.put(f.ledger(alice()), claim("u:1", journal.Delivered, 7, 1))
	f.put(f.ledger(bob), claim("u:1", journal.Delivered, 7, 2))
	f.put(f.ledger(alice()), claim("u:2", journal.Gone, 6, 3), simple("u:3", journal.Held))
	f.must(f.ledger(alice()).SetFact(f.ctx, journal.LastRun, "{}"))
	records := f.get(f.ledger(alice()), "u:1", "u:2", "u:3")

	f.must(f.Rename(f.ctx, map[journal.Scope]journal.Scope{alice(): there, bob: bob}))
	f.reopen()
	all, err := f.Scopes(f.ctx)
	f.must(err)
	f.same(all, []journal.Status{
		{Scope: there, LastRun: "{}", Counts: map[journal.State]int{journal.Delivered: 1, journal.Gone: 1, journal.Held: 1}},
		{Scope: bob, Counts: map[journal.State]int{journal.Delivered: 1}},
	})
	f.same(f.get(f.ledger(there), "u:1", "u:2", "u:3"), records)
	f.same(f.keys(f.ledger(there), journal.Query{}), []string{"u:1", "u:2", "u:3"})
	entries := []journal.IndexEntry{{UID: 1}, {UID: 2}, {UID: 3}}
	for _, c := range []struct {
		in       journal.Scope
		validity uint32
		free     []uint32
	}{{there, 7, []uint32{2, 3}}, {there, 6, []uint32{1, 2}}, {bob, 7, []uint32{1, 3}}, {bob, 6, []uint32{1, 2, 3}}} {
		x := f.index(c.in.In("INBOX"))
		f.must(x.Reset(f.ctx, c.validity))
		f.must(x.Extend(f.ctx, 4, entries))
		f.same(f.uids(x, journal.Match{}), c.free)
	}
}

// notRenamed has a name that is taken, and one under which there is nothing.
func notRenamed(f *fixture) {
	bob, carol := alice(), alice()
	bob.Account, carol.Account = "bob", "carol"
	f.put(f.ledger(alice()), simple("u:1", journal.Delivered))
	f.put(f.ledger(bob), simple("u:2", journal.Delivered))
	f.must(f.Rename(f.ctx, nil))
	f.must(f.Rename(f.ctx, map[journal.Scope]journal.Scope{alice(): bob, carol: alice()}))
	f.same(f.keys(f.ledger(alice()), journal.Query{}), []string{"u:1"})
	f.same(f.keys(f.ledger(bob), journal.Query{}), []string{"u:2"})
	portless, err := f.Portless(f.ctx)
	f.must(err)
	f.same(len(portless), 0)
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
