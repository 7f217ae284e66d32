package journaltest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

func ledgerCases() []testCase {
	return []testCase{
		{"an unknown scope is empty", emptyScope},
		{"records come back as they were", roundTrip},
		{"replaced records come back as they were", replaced},
		{"many keys at once", manyKeys},
		{"of two with a key the later stays", laterStays},
		{"what a record no longer has goes away", detailsGo},
		{"a wrong record changes nothing", wrongRecord},
		{"a cancelled context changes nothing", cancelled},
		{"no records is no error", noRecords},
		{"scopes share nothing", separateScopes},
		{"facts", facts},
		{"several goroutines", concurrent},
	}
}

func emptyScope(f *fixture) {
	l := f.ledger(alice())
	got, err := l.Get(f.ctx, []string{"u:1"})
	f.must(err)
	if got == nil || len(got) != 0 {
		f.Fatalf("got %v, want an empty map", got)
	}
	if counts := f.counts(l); counts == nil || len(counts) != 0 {
		f.Fatalf("counts %v, want an empty map", counts)
	}
	f.same(f.keys(l, journal.Query{}), []string(nil))
	f.same(f.keys(l, journal.Query{States: []journal.State{journal.Intent}}), []string(nil))
	value, err := l.Fact(f.ctx, "baseline")
	f.must(err)
	f.same(value, "")
	all, err := f.Scopes(f.ctx)
	f.must(err)
	if len(all) != 0 {
		f.Fatalf("asking made the scopes %v", all)
	}
}

func roundTrip(f *fixture) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var rs []journal.Record
	want := make(map[string]journal.Record)
	keys := randomKeys(600)
	for _, key := range keys {
		r := randomRecord(rnd, key)
		rs, want[key] = append(rs, r), kept(r)
	}
	f.put(f.ledger(alice()), rs...)
	got := f.get(f.ledger(alice()), keys...)
	f.same(got, want)
	for _, r := range got {
		if zone := r.FirstSeen.Location().String(); zone != "UTC" {
			f.Fatalf("a time in the zone %s", zone)
		}
	}
	f.same(f.keys(f.ledger(alice()), journal.Query{}), keys)
	f.reopen()
	f.same(f.get(f.ledger(alice()), keys...), want)
}

// replaced puts every record over and over: nothing of an old one may stay, and
// the counts must follow.
func replaced(f *fixture) {
	rnd := rand.New(rand.NewPCG(3, 4))
	l := f.ledger(alice())
	keys := randomKeys(60)
	want := make(map[string]journal.Record)
	for range 40 {
		var rs []journal.Record
		for range 1 + rnd.IntN(60) {
			r := randomRecord(rnd, pick(rnd, keys))
			if old, ok := want[r.Key]; ok && rnd.IntN(2) == 0 {
				r.Sum = old.Sum // as usual: only the state changes
			}
			rs, want[r.Key] = append(rs, r), kept(r)
		}
		f.put(l, rs...)
		f.same(f.get(l, keys...), want)
		f.tallied(l)
	}
	f.reopen()
	f.same(f.get(f.ledger(alice()), keys...), want)
	f.tallied(f.ledger(alice()))
}

// tallied holds the counts against the records.
func (f *fixture) tallied(l journal.Ledger) {
	f.Helper()
	want := make(map[journal.State]int)
	f.must(l.Each(f.ctx, journal.Query{}, func(r journal.Record) error {
		want[r.State]++
		return nil
	}))
	f.same(f.counts(l), want)
}

func manyKeys(f *fixture) {
	l := f.ledger(alice())
	var rs []journal.Record
	var keys []string
	for i := range 3001 {
		key := fmt.Sprintf("u:%d", i)
		keys = append(keys, key, key, "u:none"+key)
		rs = append(rs, simple(key, journal.Delivered))
	}
	f.put(l, rs...)
	got := f.get(l, keys...)
	if len(got) != len(rs) {
		f.Fatalf("%d records, want %d", len(got), len(rs))
	}
	for _, r := range rs {
		f.same(got[r.Key], kept(r))
	}
}

func laterStays(f *fixture) {
	l := f.ledger(alice())
	first, second := simple("u:1", journal.Intent), simple("u:1", journal.Held)
	second.Reason, second.Attempts = "too large", 2
	f.put(l, first, second)
	f.same(f.get(l, "u:1"), map[string]journal.Record{"u:1": kept(second)})
	f.same(f.counts(l), map[journal.State]int{journal.Held: 1})
	f.put(l, second, first)
	f.same(f.get(l, "u:1"), map[string]journal.Record{"u:1": kept(first)})
	f.same(f.keys(l, journal.Query{}), []string{"u:1"})
}

func detailsGo(f *fixture) {
	l := f.ledger(alice())
	plain := simple("u:1", journal.Delivered)
	plain.UIDL = "1"
	rich := plain
	rich.UIDL, rich.Reason, rich.Attempts, rich.Ended = "other", "too large", 2, rich.FirstSeen
	for _, r := range []journal.Record{plain, rich, plain, rich} {
		f.put(l, r)
		f.same(f.get(l, "u:1"), map[string]journal.Record{"u:1": kept(r)})
	}
	f.must(l.Rekey(f.ctx, map[string]journal.Record{"u:1": plain}))
	f.same(f.get(l, "u:1"), map[string]journal.Record{"u:1": kept(plain)})
}

func wrongRecord(f *fixture) {
	l := f.ledger(alice())
	good := simple("u:good", journal.Delivered)
	f.fails(l.Put(f.ctx, []journal.Record{good, simple("", journal.Delivered)}), fault.Internal)
	f.fails(l.Put(f.ctx, []journal.Record{good, simple("u:1", "lost")}), fault.Internal)
	f.fails(l.Put(f.ctx, []journal.Record{good, simple("u:1", "")}), fault.Internal)
	f.same(f.keys(l, journal.Query{}), []string(nil))
	f.put(l, good)
	f.same(f.keys(l, journal.Query{}), []string{"u:good"})
}

func cancelled(f *fixture) {
	l, x := f.ledger(alice()), f.index(inbox())
	f.put(l, simple("u:1", journal.Intent))
	f.must(x.Reset(f.ctx, 7))
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	records := []journal.Record{simple("u:2", journal.Intent)}
	_, getErr := l.Get(ctx, []string{"u:1"})
	_, countErr := l.Counts(ctx)
	_, _, stateErr := x.State(ctx)
	for i, err := range []error{
		l.Put(ctx, records), getErr, countErr, stateErr,
		l.SetFact(ctx, "baseline", "x"),
		l.Rekey(ctx, map[string]journal.Record{"u:1": records[0]}),
		l.Each(ctx, journal.Query{}, func(journal.Record) error { return nil }),
		x.Reset(ctx, 8), x.Extend(ctx, 9, nil),
	} {
		if err == nil {
			f.Errorf("call %d went on", i)
		} else {
			f.fails(err, fault.Temporary)
		}
	}
	f.same(f.keys(l, journal.Query{}), []string{"u:1"})
	validity, next, err := x.State(f.ctx)
	f.must(err)
	f.same([]uint32{validity, next}, []uint32{7, 1})
}

func noRecords(f *fixture) {
	l := f.ledger(alice())
	f.must(l.Put(f.ctx, nil))
	f.must(l.Rekey(f.ctx, nil))
	f.same(f.get(l), map[string]journal.Record{})
}

func separateScopes(f *fixture) {
	scopes := []journal.Scope{alice()}
	for i := range 6 {
		s := alice()
		field := []*string{
			&s.Account, &s.SourceHost, &s.SourceUser, &s.DestHost, &s.DestUser, &s.Folder,
		}[i]
		*field = "other"
		scopes = append(scopes, s)
	}
	for i, s := range scopes {
		l := f.ledger(s)
		f.same(f.get(l, "u:1"), map[string]journal.Record{})
		r := simple("u:1", journal.Delivered)
		r.Attempts = i
		f.put(l, r)
		f.must(l.SetFact(f.ctx, "baseline", fmt.Sprint(i)))
	}
	for i, s := range scopes {
		l := f.ledger(s)
		f.same(f.get(l, "u:1")["u:1"].Attempts, i)
		f.same(f.keys(l, journal.Query{}), []string{"u:1"})
		f.same(f.counts(l), map[journal.State]int{journal.Delivered: 1})
		value, err := l.Fact(f.ctx, "baseline")
		f.must(err)
		f.same(value, fmt.Sprint(i))
	}
}

func facts(f *fixture) {
	l := f.ledger(alice())
	for _, value := range append(texts(), `{"exit":0}`) {
		f.must(l.SetFact(f.ctx, "transform", value))
		f.must(l.SetFact(f.ctx, "other\x00name", "other"))
		got, err := l.Fact(f.ctx, "transform")
		f.must(err)
		f.same(got, value)
	}
	f.reopen()
	got, err := f.ledger(alice()).Fact(f.ctx, "transform")
	f.must(err)
	f.same(got, `{"exit":0}`)
}

// concurrent has accounts at work beside each other, each with a ledger of its
// own and an index that they share.
func concurrent(f *fixture) {
	x := f.index(inbox())
	f.must(x.Reset(f.ctx, 7))
	var all sync.WaitGroup
	for account := range 4 {
		s := alice()
		s.Account = fmt.Sprint(account)
		l := f.ledger(s)
		all.Go(func() {
			for i := range 20 {
				uid := uint32(account*20 + i + 1)
				r := claim(fmt.Sprintf("u:%d", i), journal.Delivered, 7, uid)
				_, countErr := x.UnclaimedCount(f.ctx)
				for _, err := range []error{
					l.Put(f.ctx, []journal.Record{r}),
					x.Extend(f.ctx, uid+1, []journal.IndexEntry{{UID: uid, Size: 1}}), countErr,
				} {
					if err != nil {
						f.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	n, err := x.UnclaimedCount(f.ctx)
	f.must(err)
	f.same(n, 0)
	for account := range 4 {
		s := alice()
		s.Account = fmt.Sprint(account)
		f.same(f.counts(f.ledger(s)), map[journal.State]int{journal.Delivered: 20})
		if keys := f.keys(f.ledger(s), journal.Query{}); len(keys) != 20 || keys[19] != "u:19" {
			f.Fatalf("records %q", keys)
		}
	}
}
