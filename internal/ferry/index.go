package ferry

import (
	"context"
	"slices"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// extendIndex brings the cached index of the destination folder up to date: it
// asks only for UIDs that were not seen before, and for everything anew when
// UIDVALIDITY changed (RFC 9051 §2.3.1.1).
func (t *trip) extendIndex(ctx context.Context) error {
	_, box := t.dest.get()
	validity, next, err := t.index.State(ctx)
	if err != nil {
		return err
	}
	if validity != box.UIDValidity {
		if err := t.unlocate(ctx); err != nil {
			return err
		}
		if err := t.index.Reset(ctx, box.UIDValidity); err != nil {
			return err
		}
		next = 1
	}
	if box.Messages == 0 || box.UIDNext != 0 && next >= box.UIDNext {
		return t.index.Extend(ctx, max(next, box.UIDNext), nil)
	}
	entries, top, err := t.fetchIndex(ctx, next)
	if err != nil {
		return err
	}
	return t.index.Extend(ctx, max(top+1, box.UIDNext), entries)
}

func (t *trip) fetchIndex(ctx context.Context, from uint32) (entries []journal.IndexEntry, top uint32, err error) {
	err = t.dest.do(ctx, func(c *imapdst.Conn, f imapdst.Folder) error {
		entries, top = nil, from-1
		return c.Index(ctx, f, from, func(e imapdst.Entry) error {
			entries = append(entries, journal.IndexEntry{UID: e.UID, Size: e.Size, MessageID: e.MessageID})
			top = max(top, e.UID)
			return nil
		})
	})
	return entries, top, err
}

// advanceIndex moves the index past the UIDs that this trip appended itself, as
// far as they follow one another without a gap: the journal claims them, so that
// nobody needs to read them back to know what they are.
func (t *trip) advanceIndex(ctx context.Context) error {
	validity, next, err := t.index.State(ctx)
	if err != nil {
		return err
	}
	_, box := t.dest.get()
	if validity != box.UIDValidity || next == 0 {
		return nil // never read: the first need of it starts from the beginning
	}
	slices.Sort(t.copied)
	after := next
	for _, uid := range t.copied {
		if uid == after {
			after++
		}
	}
	if after == next {
		return nil
	}
	return t.index.Extend(ctx, after, nil)
}

// readBack digests messages in the destination.
func (t *trip) readBack(ctx context.Context, uids []uint32) (map[uint32]message.Summary, error) {
	return ask(ctx, t, uids, (*imapdst.Conn).Digests)
}

// readHeaders digests only the headers of messages in the destination.
func (t *trip) readHeaders(ctx context.Context, uids []uint32) (map[uint32]message.Summary, error) {
	return ask(ctx, t, uids, (*imapdst.Conn).Headers)
}

// query asks the destination something about each of some messages.
type query[T any] func(*imapdst.Conn, context.Context, imapdst.Folder, []uint32, func(uint32, T) error) error

func ask[T any](ctx context.Context, t *trip, uids []uint32, q query[T]) (map[uint32]T, error) {
	answers := make(map[uint32]T, len(uids))
	if len(uids) == 0 {
		return answers, nil
	}
	slices.Sort(uids)
	err := t.dest.do(ctx, func(c *imapdst.Conn, f imapdst.Folder) error {
		return q(c, ctx, f, uids, func(uid uint32, answer T) error {
			answers[uid] = answer
			return nil
		})
	})
	return answers, err
}
