package journal

import (
	"context"
	"database/sql"
	"math"
	"slices"

	"github.com/popferry/popferry/internal/message"
)

// entryColumns are what entryRow reads; the last tells whether a record claims
// the entry, and wants the id of the folder's place as its argument. The words
// of its conditions are those of the index message_claim, which it needs.
const entryColumns = `e.uid, e.size, e.message_id, e.content, e.header, e.body,
	EXISTS (SELECT 1 FROM message m WHERE m.place = ? AND m.uid = e.uid
		AND m.uid IS NOT NULL AND m.state NOT IN (2, 3, 5))`

type entryRow struct {
	uid                   uint32
	size                  int64
	messageID             sql.NullString
	content, header, body sql.RawBytes
	claimed               bool
}

func (w *entryRow) dest() []any {
	return []any{&w.uid, &w.size, &w.messageID, &w.content, &w.header, &w.body, &w.claimed}
}

func (w *entryRow) entry() IndexEntry {
	e := IndexEntry{UID: w.uid, Size: w.size, MessageID: expandID(w.messageID)}
	if w.content != nil || w.header != nil || w.body != nil {
		e.Sum = &message.Summary{
			Content: digest(w.content), Header: digest(w.header), Body: digest(w.body),
		}
	}
	return e
}

// Unclaimed implements Index. With a condition it collects the UIDs that may
// fit from an index, four bytes each, and then reads those entries in pages;
// without one it reads all entries in pages.
func (x *index) Unclaimed(ctx context.Context, m Match, fn func(IndexEntry) error) error {
	want := newMatcher(m)
	shown := func(e IndexEntry) error {
		if !want.fits(&e) {
			return nil
		}
		return fn(e)
	}
	if want.all() {
		return x.everyUnclaimed(ctx, shown)
	}
	uids, err := x.candidates(ctx, want)
	if err != nil {
		return err
	}
	slices.Sort(uids)
	for piece := range slices.Chunk(slices.Compact(uids), lookups) {
		list, args := inList(anys(piece))
		_, err := x.showPage(ctx, shown, "e.uid IN "+list+" ORDER BY e.uid", args...)
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *index) everyUnclaimed(ctx context.Context, fn func(IndexEntry) error) error {
	for after := uint32(0); ; {
		last, err := x.showPage(ctx, fn, "e.uid > ? ORDER BY e.uid LIMIT ?", after, page)
		if err != nil || last == 0 {
			return err
		}
		after = last
	}
}

// showPage reads the folder's entries that meet a condition, lets go of the
// database and calls fn with those that nothing claims. It returns the last UID
// that was read, claimed or not; 0: none.
func (x *index) showPage(
	ctx context.Context, fn func(IndexEntry) error, condition string, args ...any,
) (last uint32, err error) {
	var entries []IndexEntry
	err = x.read(ctx, func(q query) error {
		f, err := x.current(q)
		if err != nil {
			return err
		}
		place, err := q.findPlace(f)
		if err != nil {
			return err
		}
		var w entryRow
		const text = "SELECT " + entryColumns + " FROM entry e WHERE e.folder = ? AND "
		return q.each(text+condition, append([]any{place, f.id}, args...), w.dest(), func() error {
			last = w.uid
			if !w.claimed {
				entries = append(entries, w.entry())
			}
			return nil
		})
	})
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := fn(e); err != nil {
			return 0, err
		}
	}
	return last, nil
}

// findPlace returns the id under which records claim the folder's messages, or
// 0 if none does.
func (q query) findPlace(f folder) (id int64, err error) {
	_, err = q.one("SELECT id FROM place WHERE folder = ? AND uidvalidity = ?",
		[]any{f.id, f.validity}, &id)
	return id, err
}

// UnclaimedCount implements Index.
func (x *index) UnclaimedCount(ctx context.Context) (n int, err error) {
	err = x.everyUnclaimed(ctx, func(IndexEntry) error {
		n++
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// matcher is a Match to hold many entries against. A nil set is no condition.
type matcher struct {
	ids      map[string]bool
	contents map[message.Digest]bool
	sized    bool
	min, max int64
}

func newMatcher(m Match) matcher {
	return matcher{
		ids: setOf(m.MessageIDs), contents: setOf(m.Contents),
		sized: m.MinSize != 0 || m.MaxSize != 0, min: m.MinSize, max: m.MaxSize,
	}
}

func (m *matcher) all() bool { return m.ids == nil && m.contents == nil && !m.sized }

func (m *matcher) fits(e *IndexEntry) bool {
	switch {
	case m.ids != nil && (e.MessageID == "" || !m.ids[e.MessageID]):
		return false
	case m.sized && (e.Size < m.min || e.Size > m.max):
		return false
	case m.contents == nil:
		return true
	}
	return e.Sum != nil && fitsDigest(m.contents, e.Sum.Content)
}

// candidates collects UIDs by the condition that is likely to leave the fewest.
func (x *index) candidates(ctx context.Context, m matcher) ([]uint32, error) {
	var values []any
	switch {
	case m.contents != nil:
		for d := range m.contents {
			values = append(values, d[:prefixSize])
		}
		return x.findUIDs(ctx, "content IS NOT NULL AND substr(content, 1, 4) IN ", values)
	case m.ids != nil:
		for id := range m.ids {
			values = append(values, query{store: x.store}.idHash(id))
		}
		return x.findUIDs(ctx, "hash IS NOT NULL AND hash IN ", values)
	}
	return x.findSizes(ctx, m.min, m.max)
}

// findUIDs collects the UIDs whose entries meet a condition on a list of values.
func (x *index) findUIDs(
	ctx context.Context, condition string, values []any,
) (uids []uint32, err error) {
	for piece := range slices.Chunk(values, lookups) {
		err := x.read(ctx, func(q query) error {
			f, err := x.current(q)
			if err != nil {
				return err
			}
			list, args := inList(piece)
			text := "SELECT uid FROM entry WHERE " + condition + list + " AND folder = ?"
			var uid uint32
			return q.each(text, append(args, f.id), []any{&uid}, func() error {
				uids = append(uids, uid)
				return nil
			})
		})
		if err != nil {
			return nil, err
		}
	}
	return uids, nil
}

// findSizes collects the UIDs of entries of some sizes, in pages by size and UID.
func (x *index) findSizes(ctx context.Context, low, high int64) (uids []uint32, err error) {
	const text = `SELECT size, uid FROM entry WHERE folder = ? AND (size, uid) > (?, ?)
		AND size <= ? ORDER BY size, uid LIMIT ?`
	size, uid := low, int64(math.MinInt64)
	for {
		before := len(uids)
		err := x.read(ctx, func(q query) error {
			f, err := x.current(q)
			if err != nil {
				return err
			}
			args := []any{f.id, size, uid, high, 8 * page}
			return q.each(text, args, []any{&size, &uid}, func() error {
				uids = append(uids, uint32(uid))
				return nil
			})
		})
		if err != nil || len(uids) == before {
			return uids, err
		}
	}
}
