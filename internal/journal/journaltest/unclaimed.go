package journaltest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

func unclaimedCases() []testCase {
	return []testCase{
		{"the states that claim", claimStates},
		{"any account claims, other places do not", claimPlaces},
		{"a record that changes gives back", claimChanges},
		{"every match shows what fits", everyMatch},
		{"fn may call the journal", unclaimedCalls},
		{"fn ends it", unclaimedStops},
	}
}

func claimStates(f *fixture) {
	x, l := f.index(inbox()), f.ledger(alice())
	f.must(x.Reset(f.ctx, 7))
	var entries []journal.IndexEntry
	for i, state := range journal.States() {
		uid := uint32(i + 1)
		entries = append(entries, journal.IndexEntry{UID: uid})
		f.put(l, claim(fmt.Sprintf("u:%d", i), state, 7, uid))
	}
	f.must(x.Extend(f.ctx, 20, entries))
	var want []uint32
	for i, state := range journal.States() {
		switch state {
		case journal.Delivered, journal.DeleteSent, journal.Gone:
		default:
			want = append(want, uint32(i+1))
		}
	}
	f.same(f.uids(x, journal.Match{}), want)
	n, err := x.UnclaimedCount(f.ctx)
	f.must(err)
	f.same(n, len(want))
}

func claimPlaces(f *fixture) {
	x := f.index(inbox())
	f.must(x.Reset(f.ctx, 7))
	f.must(x.Extend(f.ctx, 20, []journal.IndexEntry{
		{UID: 1}, {UID: 2}, {UID: 3}, {UID: 4}, {UID: 5},
	}))
	bob := alice() // another account and route, the same destination
	bob.Account, bob.SourceHost, bob.SourceUser, bob.Folder = "bob", "b", "b", "Archive"
	f.put(f.ledger(bob), claim("u:1", journal.Delivered, 7, 1))
	host, user := alice(), alice()
	host.DestHost, user.DestUser = "other", "other"
	f.put(f.ledger(host), claim("u:1", journal.Delivered, 7, 2))
	f.put(f.ledger(user), claim("u:1", journal.Delivered, 7, 3))
	folder := claim("u:1", journal.Delivered, 7, 4)
	folder.Folder = "Archive"
	f.put(f.ledger(alice()), folder, claim("u:2", journal.Delivered, 6, 5),
		claim("u:3", journal.Delivered, 7, 0))
	f.same(f.uids(x, journal.Match{}), []uint32{2, 3, 4, 5})
}

func claimChanges(f *fixture) {
	x, l := f.index(inbox()), f.ledger(alice())
	f.must(x.Reset(f.ctx, 7))
	f.must(x.Extend(f.ctx, 20, []journal.IndexEntry{{UID: 1}, {UID: 2}}))
	f.put(l, claim("u:1", journal.Delivered, 7, 1), claim("u:2", journal.Gone, 7, 1))
	f.same(f.uids(x, journal.Match{}), []uint32{2})
	f.put(l, claim("u:1", journal.Delivered, 7, 2)) // the other still claims 1
	f.same(f.uids(x, journal.Match{}), []uint32(nil))
	f.put(l, claim("u:2", journal.Held, 7, 1))
	f.same(f.uids(x, journal.Match{}), []uint32{1})
	f.must(l.Rekey(f.ctx, map[string]journal.Record{"u:1": claim("u:9", journal.Delivered, 8, 2)}))
	f.same(f.uids(x, journal.Match{}), []uint32{1, 2})
}

// everyMatch compares random matches with what their definition says, over
// several pages of entries of which every third is claimed.
func everyMatch(f *fixture) {
	rnd := rand.New(rand.NewPCG(7, 8))
	x := f.index(inbox())
	f.must(x.Reset(f.ctx, 7))
	var entries []journal.IndexEntry
	var claims []journal.Record
	for i := range 3000 {
		e := journal.IndexEntry{UID: uint32(2*i + 1), Size: int64(rnd.IntN(300))}
		if rnd.IntN(5) > 0 {
			e.MessageID = fmt.Sprintf("<%d@example.org>", rnd.IntN(800))
		}
		if rnd.IntN(3) == 0 {
			e.Sum = &message.Summary{Content: digestOf("%d", rnd.IntN(500))}
		}
		if i%3 == 0 {
			claims = append(claims, claim(fmt.Sprintf("u:%d", i), journal.Delivered, 7, e.UID))
		} else {
			entries = append(entries, e)
		}
	}
	all := slices.Clone(entries)
	for _, r := range claims {
		all = append(all, journal.IndexEntry{UID: r.UID, Size: 5, MessageID: "<1@example.org>"})
	}
	f.must(x.Extend(f.ctx, 20_000, all))
	f.put(f.ledger(alice()), claims...)
	n, err := x.UnclaimedCount(f.ctx)
	f.must(err)
	f.same(n, len(entries))
	for range 25 {
		m := randomMatch(rnd)
		var want []journal.IndexEntry
		for _, e := range entries {
			if matches(m, &e) {
				want = append(want, e)
			}
		}
		f.same(f.entries(x, m), want)
	}
}

func randomMatch(rnd *rand.Rand) (m journal.Match) {
	for range max(0, rnd.IntN(700)-300) {
		m.MessageIDs = append(m.MessageIDs, fmt.Sprintf("<%d@example.org>", rnd.IntN(1200)))
	}
	for range max(0, rnd.IntN(400)-200) {
		m.Contents = append(m.Contents, digestOf("%d", rnd.IntN(1000)))
	}
	switch rnd.IntN(5) {
	case 0:
		m.MessageIDs = append(m.MessageIDs, "")
		m.Contents = append(m.Contents, message.Digest{})
	case 1:
		m.MinSize, m.MaxSize = int64(rnd.IntN(100)), int64(100+rnd.IntN(150))
	case 2:
		m.MinSize, m.MaxSize = 7, 7
	case 3:
		m.MinSize, m.MaxSize = 0, 300
	}
	return m
}

func matches(m journal.Match, e *journal.IndexEntry) bool {
	if len(m.MessageIDs) > 0 && (e.MessageID == "" || !slices.Contains(m.MessageIDs, e.MessageID)) {
		return false
	}
	if (m.MinSize != 0 || m.MaxSize != 0) && (e.Size < m.MinSize || e.Size > m.MaxSize) {
		return false
	}
	return len(m.Contents) == 0 || e.Sum != nil && slices.Contains(m.Contents, e.Sum.Content)
}

// unclaimedCalls claims every entry from within.
func unclaimedCalls(f *fixture) {
	x, l := f.index(inbox()), f.ledger(alice())
	f.must(x.Reset(f.ctx, 7))
	var entries []journal.IndexEntry
	for uid := uint32(1); uid <= 1200; uid++ {
		entries = append(entries, journal.IndexEntry{UID: uid, Size: int64(uid % 2)})
	}
	f.must(x.Extend(f.ctx, 1201, entries))
	shown := 0
	var claims []journal.Record
	odd := journal.Match{MinSize: 1, MaxSize: 1}
	f.must(x.Unclaimed(f.ctx, odd, func(e journal.IndexEntry) error {
		shown++
		r := claim(fmt.Sprintf("u:%d", e.UID), journal.Delivered, 7, e.UID)
		if claims = append(claims, r); shown%20 > 0 {
			return nil
		}
		return l.Put(f.ctx, claims[len(claims)-20:])
	}))
	f.same(shown, 600)
	f.must(x.Unclaimed(f.ctx, journal.Match{}, func(e journal.IndexEntry) error {
		if shown++; e.UID > 50 {
			return nil
		}
		sum := &message.Summary{Content: digestOf("%d", e.UID)}
		return x.PutDigests(f.ctx, []journal.IndexEntry{{UID: e.UID, Sum: sum}})
	}))
	f.same(shown, 1200)
	f.same(len(f.uids(x, journal.Match{Contents: []message.Digest{digestOf("2")}})), 1)
}

func unclaimedStops(f *fixture) {
	x := f.index(inbox())
	f.must(x.Reset(f.ctx, 7))
	f.must(x.Extend(f.ctx, 9, []journal.IndexEntry{{UID: 1, Size: 1}, {UID: 2, Size: 1}}))
	enough := errors.New("enough")
	for _, m := range []journal.Match{{}, {MaxSize: 1}} {
		calls := 0
		err := x.Unclaimed(f.ctx, m, func(journal.IndexEntry) error {
			calls++
			return enough
		})
		if err != enough || calls != 1 {
			f.Errorf("error %v after %d calls", err, calls)
		}
		ctx, cancel := context.WithCancel(f.ctx)
		err = x.Unclaimed(ctx, m, func(journal.IndexEntry) error {
			cancel()
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			f.Errorf("%v after the context was cancelled", err)
		}
	}
}
