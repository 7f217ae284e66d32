package journaltest

import (
	"fmt"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

func rekeyCases() []testCase {
	return []testCase{
		{"many get new keys", rekeyMany},
		{"keys are exchanged", rekeyExchange},
		{"what can't be done changes nothing", rekeyRefused},
	}
}

func rekeyMany(f *fixture) {
	l := f.ledger(alice())
	var rs []journal.Record
	moves := make(map[string]journal.Record)
	want := make(map[string]journal.Record)
	var order []string
	for i := range 700 {
		r := simple(fmt.Sprintf("u:old%d", i), journal.Delivered)
		r.Reason = "goes away"
		rs = append(rs, r)
		renamed := simple(fmt.Sprintf("u:new%d", i), journal.DeleteSent)
		moves[r.Key], want[renamed.Key] = renamed, kept(renamed)
		order = append(order, renamed.Key)
	}
	f.put(l, rs...)
	f.must(l.Rekey(f.ctx, moves))
	f.same(f.get(l, order...), want)
	f.same(f.keys(l, journal.Query{}), order)
	f.same(f.get(l, rs[0].Key, rs[699].Key), map[string]journal.Record{})
	f.same(f.counts(l), map[journal.State]int{journal.DeleteSent: 700})
	f.reopen()
	f.same(f.get(f.ledger(alice()), order...), want)
}

func rekeyExchange(f *fixture) {
	l := f.ledger(alice())
	one, two := simple("u:1", journal.Delivered), simple("u:2", journal.Held)
	f.put(l, one, two)
	newOne, newTwo := one, two
	newOne.Key, newTwo.Key = "u:2", "u:1"
	f.must(l.Rekey(f.ctx, map[string]journal.Record{"u:1": newOne, "u:2": newTwo}))
	want := map[string]journal.Record{"u:1": kept(newTwo), "u:2": kept(newOne)}
	f.same(f.get(l, "u:1", "u:2"), want)
	f.same(f.keys(l, journal.Query{}), []string{"u:2", "u:1"})
	same := newOne
	same.State = journal.Gone
	f.must(l.Rekey(f.ctx, map[string]journal.Record{"u:2": same})) // to its own key
	f.same(f.get(l, "u:2")["u:2"].State, journal.Gone)
}

func rekeyRefused(f *fixture) {
	l := f.ledger(alice())
	rs := []journal.Record{
		simple("u:1", journal.Delivered), simple("u:2", journal.Delivered),
		simple("u:3", journal.Delivered),
	}
	f.put(l, rs...)
	other := alice()
	other.Account = "bob"
	f.put(f.ledger(other), simple("u:other", journal.Delivered))
	free := simple("u:free", journal.Held)
	for name, moves := range map[string]map[string]journal.Record{
		"absent":    {"u:1": free, "u:none": simple("u:x", journal.Held)},
		"elsewhere": {"u:1": free, "u:other": simple("u:x", journal.Held)},
		"taken":     {"u:1": free, "u:2": simple("u:3", journal.Held)},
		"twice":     {"u:1": free, "u:2": free},
		"no key":    {"u:1": free, "u:2": simple("", journal.Held)},
		"no state":  {"u:1": free, "u:2": simple("u:x", "")},
	} {
		f.Log(name)
		f.fails(l.Rekey(f.ctx, moves), fault.Internal)
		f.same(f.keys(l, journal.Query{}), []string{"u:1", "u:2", "u:3"})
		f.same(f.counts(l), map[journal.State]int{journal.Delivered: 3})
	}
	f.put(l, free) // still usable
}
