package journaltest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

func eachCases() []testCase {
	return []testCase{
		{"in the order of the first put", eachOrder},
		{"every query shows what fits", eachQuery},
		{"digests that begin alike", alike},
		{"fn may call the ledger", eachCalls},
		{"fn ends it", eachStops},
		{"an unknown state", eachUnknown},
	}
}

// eachOrder writes two scopes in turn, in batches of all sizes, and then some
// records again.
func eachOrder(f *fixture) {
	other := alice()
	other.Account = "bob"
	ledgers := []journal.Ledger{f.ledger(alice()), f.ledger(other)}
	want := make([][]string, 2)
	for i, size := range []int{1, 100, 7, 600, 1, 1, 1300, 1, 3, 40} {
		who := i % 2
		if i == 5 {
			who = 0 // twice the same in a row
		}
		var rs []journal.Record
		for range size {
			key := fmt.Sprintf("u:%04d", 9999-len(want[who]))
			want[who] = append(want[who], key)
			rs = append(rs, simple(key, journal.Delivered))
		}
		f.put(ledgers[who], rs...)
	}
	again := simple(want[0][10], journal.Held)
	again.Sum.Content = digestOf("changed")
	f.put(ledgers[0], again)
	for who, l := range ledgers {
		f.same(f.keys(l, journal.Query{}), want[who])
		f.same(f.keys(l, journal.Query{States: journal.States()}), want[who])
	}
	f.reopen()
	f.same(f.keys(f.ledger(alice()), journal.Query{}), want[0])
}

// eachQuery compares random queries with what their definition says. Few
// different digests make sure that conditions meet.
func eachQuery(f *fixture) {
	rnd := rand.New(rand.NewPCG(5, 6))
	l := f.ledger(alice())
	var rs []journal.Record
	for i := range 1500 {
		r := simple(fmt.Sprintf("u:%d", i), pick(rnd, journal.States()))
		r.Sum.Content, r.Sum.Header = digestOf("%d", i%300), digestOf("%d", rnd.IntN(20))
		if i%50 == 0 {
			r.Sum.Content, r.Sum.Header = message.Digest{}, message.Digest{}
		}
		rs = append(rs, r)
	}
	f.put(l, rs...)
	bystander := alice()
	bystander.DestHost = "other"
	f.put(f.ledger(bystander), rs...)
	for range 60 {
		q := randomQuery(rnd)
		var want []string
		for i := range rs {
			if fits(q, &rs[i]) {
				want = append(want, rs[i].Key)
			}
		}
		f.same(f.keys(l, q), want)
	}
}

func randomQuery(rnd *rand.Rand) (q journal.Query) {
	for range rnd.IntN(3) {
		q.States = append(q.States, pick(rnd, journal.States()))
	}
	for range max(0, rnd.IntN(400)-150) {
		q.Contents = append(q.Contents, digestOf("%d", rnd.IntN(600)))
	}
	for range max(0, rnd.IntN(8)-4) {
		q.Headers = append(q.Headers, digestOf("%d", rnd.IntN(40)))
	}
	if rnd.IntN(4) == 0 {
		q.Contents = append(q.Contents, message.Digest{})
	}
	return q
}

func fits(q journal.Query, r *journal.Record) bool {
	has := func(list []message.Digest, d message.Digest) bool {
		return len(list) == 0 || !d.IsZero() && slices.Contains(list, d)
	}
	return (len(q.States) == 0 || slices.Contains(q.States, r.State)) &&
		has(q.Contents, r.Sum.Content) && has(q.Headers, r.Sum.Header)
}

// alike has digests that differ in their last octet only, as somebody may send
// who knows how they are looked up.
func alike(f *fixture) {
	l, x := f.ledger(alice()), f.index(inbox())
	f.must(x.Reset(f.ctx, 7))
	digests := make([]message.Digest, 3)
	for i := range digests {
		digests[i] = digestOf("same")
		digests[i][31] = byte(i)
		r := simple(fmt.Sprintf("u:%d", i), journal.Intent)
		r.Sum.Content, r.Sum.Header = digests[i], digests[i]
		f.put(l, r)
		uid := uint32(i + 1)
		sum := &message.Summary{Content: digests[i]}
		f.must(x.Extend(f.ctx, uid+1, []journal.IndexEntry{{UID: uid, Sum: sum}}))
	}
	two := []message.Digest{digests[2], digests[0]}
	f.same(f.keys(l, journal.Query{Contents: two}), []string{"u:0", "u:2"})
	f.same(f.keys(l, journal.Query{Headers: two}), []string{"u:0", "u:2"})
	f.same(f.uids(x, journal.Match{Contents: two}), []uint32{1, 3})
}

// eachCalls changes every record from within, and adds others. Each must come to
// an end and show every old record once.
func eachCalls(f *fixture) {
	for _, q := range []journal.Query{
		{}, {States: []journal.State{journal.Intent, journal.Held}},
	} {
		s := alice()
		s.Folder = fmt.Sprint(len(q.States))
		l := f.ledger(s)
		var rs []journal.Record
		for i := range 1200 {
			rs = append(rs, simple(fmt.Sprintf("u:%d", i), journal.Intent))
		}
		f.put(l, rs...)
		shown := make(map[string]int)
		var changed []journal.Record
		f.must(l.Each(f.ctx, q, func(r journal.Record) error {
			shown[r.Key]++
			if len(r.Key) > 10 {
				return nil // one that was added below
			}
			f.same(f.get(l, r.Key)[r.Key].Key, r.Key)
			r.State = journal.Delivered
			changed = append(changed, r, simple("u:added "+r.Key, journal.Delivered))
			if len(changed) < 40 {
				return nil
			}
			defer func() { changed = nil }()
			return l.Put(f.ctx, changed)
		}))
		for _, r := range rs {
			if shown[r.Key] != 1 {
				f.Fatalf("%s was shown %d times", r.Key, shown[r.Key])
			}
		}
		f.same(f.counts(l), map[journal.State]int{journal.Delivered: 2400})
	}
}

func eachStops(f *fixture) {
	l := f.ledger(alice())
	f.put(l, simple("u:1", journal.Intent), simple("u:2", journal.Intent))
	enough := errors.New("enough")
	for _, q := range []journal.Query{
		{}, {States: []journal.State{journal.Intent}},
		{Contents: []message.Digest{digestOf("content u:1"), digestOf("content u:2")}},
	} {
		calls := 0
		err := l.Each(f.ctx, q, func(journal.Record) error {
			calls++
			return enough
		})
		if err != enough || calls != 1 {
			f.Errorf("error %v after %d calls", err, calls)
		}
		ctx, cancel := context.WithCancel(f.ctx)
		err = l.Each(ctx, q, func(journal.Record) error {
			cancel()
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			f.Errorf("%v after the context was cancelled", err)
		}
	}
}

func eachUnknown(f *fixture) {
	never := func(journal.Record) error { return errors.New("called") }
	err := f.ledger(alice()).Each(f.ctx, journal.Query{States: []journal.State{"lost"}}, never)
	f.fails(err, fault.Internal)
}
