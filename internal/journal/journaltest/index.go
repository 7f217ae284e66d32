package journaltest

import (
	"fmt"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

func indexCases() []testCase {
	return []testCase{
		{"a new folder", newFolder},
		{"extend", extend},
		{"entries come back as they were", entryRoundTrip},
		{"wrong entries change nothing", wrongEntries},
		{"reset forgets", reset},
		{"digests are added and kept", digests},
		{"folders share nothing", separateFolders},
		{"a UIDVALIDITY that changes behind the back", staleIndex},
	}
}

// stands makes sure of an index's state.
func (f *fixture) stands(x journal.Index, uidValidity, next uint32) {
	f.Helper()
	gotValidity, gotNext, err := x.State(f.ctx)
	f.must(err)
	f.same([]uint32{gotValidity, gotNext}, []uint32{uidValidity, next})
}

func (f *fixture) entries(x journal.Index, m journal.Match) (entries []journal.IndexEntry) {
	f.Helper()
	f.must(x.Unclaimed(f.ctx, m, func(e journal.IndexEntry) error {
		entries = append(entries, e)
		return nil
	}))
	return entries
}

func (f *fixture) uids(x journal.Index, m journal.Match) (uids []uint32) {
	f.Helper()
	for _, e := range f.entries(x, m) {
		uids = append(uids, e.UID)
	}
	return uids
}

func newFolder(f *fixture) {
	x := f.index(inbox())
	f.stands(x, 0, 1)
	f.same(f.uids(x, journal.Match{}), []uint32(nil))
	f.same(f.uids(x, journal.Match{MessageIDs: []string{"<a@b>"}}), []uint32(nil))
	n, err := x.UnclaimedCount(f.ctx)
	f.must(err)
	f.same(n, 0)
	f.fails(x.Reset(f.ctx, 0), fault.Internal)
	f.fails(x.Extend(f.ctx, 2, []journal.IndexEntry{{UID: 1}}), fault.Internal)
	f.stands(x, 0, 1)
}

func extend(f *fixture) {
	x := f.index(inbox())
	f.must(x.Reset(f.ctx, 7))
	f.stands(x, 7, 1)
	f.must(x.Extend(f.ctx, 1, nil))
	f.must(x.Extend(f.ctx, 10, []journal.IndexEntry{{UID: 3, Size: 30}, {UID: 9, Size: 90}}))
	f.stands(x, 7, 10)
	f.must(x.Extend(f.ctx, 8, []journal.IndexEntry{{UID: 3, Size: 31}}))
	f.stands(x, 7, 10)
	f.same(f.entries(x, journal.Match{}),
		[]journal.IndexEntry{{UID: 3, Size: 31}, {UID: 9, Size: 90}})
	f.reopen()
	x = f.index(inbox())
	f.stands(x, 7, 10)
	f.same(f.uids(x, journal.Match{}), []uint32{3, 9})
}

func entryRoundTrip(f *fixture) {
	x := f.index(inbox())
	f.must(x.Reset(f.ctx, 1<<32-1))
	var want []journal.IndexEntry
	for i, text := range texts() {
		e := journal.IndexEntry{UID: uint32(i + 1), Size: int64(i) << 30, MessageID: text}
		if i%2 == 0 {
			e.Sum = &message.Summary{Content: digestOf("%d", i), Body: digestOf("body")}
		}
		if i%3 == 0 {
			e.Sum = &message.Summary{Header: digestOf("%d", i)}
		}
		want = append(want, e)
	}
	want = append(want, journal.IndexEntry{UID: 1<<32 - 2})
	f.must(x.Extend(f.ctx, 1<<32-1, want))
	f.same(f.entries(x, journal.Match{}), want)
	f.stands(x, 1<<32-1, 1<<32-1)
}

func wrongEntries(f *fixture) {
	x := f.index(inbox())
	f.must(x.Reset(f.ctx, 7))
	good := journal.IndexEntry{UID: 1}
	f.fails(x.Extend(f.ctx, 5, []journal.IndexEntry{good, {UID: 0}}), fault.Internal)
	f.fails(x.Extend(f.ctx, 5, []journal.IndexEntry{good, {UID: 5}}), fault.Internal)
	f.stands(x, 7, 1)
	f.same(f.uids(x, journal.Match{}), []uint32(nil))
}

func reset(f *fixture) {
	x := f.index(inbox())
	f.must(x.Reset(f.ctx, 7))
	f.must(x.Extend(f.ctx, 3, []journal.IndexEntry{{UID: 1}, {UID: 2}}))
	f.put(f.ledger(alice()), claim("u:1", journal.Delivered, 7, 1))
	f.must(x.Reset(f.ctx, 7))
	f.stands(x, 7, 1)
	f.same(f.uids(x, journal.Match{}), []uint32(nil))
	f.must(x.Extend(f.ctx, 3, []journal.IndexEntry{{UID: 1}, {UID: 2}}))
	f.same(f.uids(x, journal.Match{}), []uint32{2}) // claims are not the index's to forget
	f.must(x.Reset(f.ctx, 8))
	f.must(x.Extend(f.ctx, 3, []journal.IndexEntry{{UID: 1}, {UID: 2}}))
	f.same(f.uids(x, journal.Match{}), []uint32{1, 2})
	f.reopen()
	f.stands(f.index(inbox()), 8, 3)
}

func digests(f *fixture) {
	x := f.index(inbox())
	f.must(x.Reset(f.ctx, 7))
	f.must(x.Extend(f.ctx, 9, []journal.IndexEntry{{UID: 1}, {UID: 2}}))
	header := &message.Summary{Header: digestOf("h")}
	whole := &message.Summary{Content: digestOf("c"), Body: digestOf("b"), Loose: digestOf("l")}
	f.must(x.PutDigests(f.ctx, []journal.IndexEntry{
		{UID: 1, Sum: header}, {UID: 2}, {UID: 5, Sum: header},
	}))
	f.must(x.PutDigests(f.ctx, []journal.IndexEntry{{UID: 1, Sum: whole, Size: 99}}))
	f.must(x.Extend(f.ctx, 9, []journal.IndexEntry{{UID: 1, MessageID: "<a@b>"}}))
	f.reopen()
	f.same(f.entries(f.index(inbox()), journal.Match{}), []journal.IndexEntry{
		{UID: 1, MessageID: "<a@b>", Sum: &message.Summary{
			Content: digestOf("c"), Header: digestOf("h"), Body: digestOf("b"),
		}}, {UID: 2},
	})
}

func separateFolders(f *fixture) {
	keys := []journal.FolderKey{inbox(), inbox(), inbox(), inbox()}
	keys[1].Host, keys[2].User, keys[3].Folder = "other", "other", "other"
	for i, k := range keys {
		x := f.index(k)
		f.stands(x, 0, 1)
		f.must(x.Reset(f.ctx, uint32(i+1)))
		f.must(x.Extend(f.ctx, 20, []journal.IndexEntry{{UID: uint32(i + 10)}}))
	}
	f.must(f.index(keys[3]).Reset(f.ctx, 50))
	for i, k := range keys[:3] {
		f.stands(f.index(k), uint32(i+1), 20)
		f.same(f.uids(f.index(k), journal.Match{}), []uint32{uint32(i + 10)})
	}
}

// staleIndex has two accounts at work in one folder that is made anew.
func staleIndex(f *fixture) {
	mine, theirs := f.index(inbox()), f.index(inbox())
	f.must(mine.Reset(f.ctx, 7))
	f.must(mine.Extend(f.ctx, 3, []journal.IndexEntry{{UID: 1}, {UID: 2}}))
	f.stands(theirs, 7, 3)
	f.must(theirs.Reset(f.ctx, 8))
	f.must(theirs.Extend(f.ctx, 2, []journal.IndexEntry{{UID: 1, Size: 5}}))

	sum := &message.Summary{Content: digestOf("of another message")}
	_, countErr := mine.UnclaimedCount(f.ctx)
	for _, err := range []error{
		mine.Extend(f.ctx, 4, []journal.IndexEntry{{UID: 3}}),
		mine.PutDigests(f.ctx, []journal.IndexEntry{{UID: 1, Sum: sum}}),
		mine.Unclaimed(f.ctx, journal.Match{}, func(journal.IndexEntry) error {
			return fmt.Errorf("an entry of another UIDVALIDITY")
		}),
		countErr,
	} {
		f.fails(err, fault.Temporary)
	}
	f.same(f.entries(theirs, journal.Match{}), []journal.IndexEntry{{UID: 1, Size: 5}})
	f.stands(mine, 8, 2)
	f.must(mine.Extend(f.ctx, 4, []journal.IndexEntry{{UID: 3}}))
}
