package ferry

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

// extendIndex brings the cached index of a folder up to date: it asks only for UIDs
// that were not seen before, and for everything anew when UIDVALIDITY changed (RFC
// 9051 §2.3.1.1). It asks whatever UIDNEXT says: some servers tell it too low, and what
// lies behind would be sent again.
func (t *trip) extendIndex(ctx context.Context, f *folder) error {
	if err := t.doubtIndex(ctx, f); err != nil {
		return err
	}
	box := f.now()
	if err := Countable(t.dest.address(), box); err != nil {
		return err
	}
	validity, next, err := f.known().State(ctx)
	if err != nil {
		return err
	}
	if validity != box.UIDValidity {
		if err := t.unlocate(ctx, box.Mailbox); err != nil {
			return err
		}
		if err := f.known().Reset(ctx, box.UIDValidity); err != nil {
			return err
		}
		next = 1
	}
	if next, err = t.oldestDoubt(ctx, f, next); err != nil {
		return err
	}
	if box.Messages > 0 {
		if next, err = t.readIndex(ctx, f, next); err != nil {
			return err
		}
	}
	f.indexed(box, next)
	return nil
}

// oldestDoubt is where to go on where all below next was read: not behind the first UID that
// an append of unknown outcome may have. A server may give it that UID at once and show it only
// when others were appended and seen (W3).
func (t *trip) oldestDoubt(ctx context.Context, f *folder, next uint32) (uint32, error) {
	box := f.now()
	open := journal.Query{States: []journal.State{journal.Intent}}
	err := t.ledger.Each(ctx, open, func(r journal.Record) error {
		if r.Folder == box.Mailbox && r.UIDValidity == box.UIDValidity {
			next = min(next, max(1, r.NextUID))
		}
		return nil
	})
	return next, err
}

// readIndex takes in what a folder has from a UID on, and returns the UID behind the last
// message. For messages that the server leaves out it is asked twice; one that gives none of
// all that it counts is never believed. Where UIDNEXT promises nothing new, no answer is one.
func (t *trip) readIndex(ctx context.Context, f *folder, next uint32) (uint32, error) {
	first, code := next, fault.Temporary // what somebody removed a moment ago is no gap to a new session
	box, path, leftOut := f.now(), &imapdst.Path{}, false
	promised := !tellsNext(box) || next < box.UIDNext
	left := func(g imapdst.Gap) error {
		if !promised && g == (imapdst.Gap{}) || slices.ContainsFunc(path.Without, g.Has) {
			return nil
		}
		if again := code == fault.Protocol; again && (g != (imapdst.Gap{}) || first > 1) {
			// What the server can't give shall not keep all mail from arriving (I7).
			t.sayLeftOut(f)
			return nil
		}
		err := fault.New(code, "IMAP server %s leaves out messages that folder %s has, as it says",
			t.dest.address(), fault.Escape(f.name)).
			WithHint("run again; if it stays like this, the server's operator can tell what is wrong with the folder")
		code, leftOut = fault.Protocol, true
		return err
	}
	var nameless []journal.IndexEntry
	read := func(c *imapdst.Conn, box imapdst.Folder) error {
		leftOut = false
		return c.IndexParts(ctx, box, next, path, func(part []imapdst.Entry, upTo uint32) error {
			entries := make([]journal.IndexEntry, len(part))
			for i, e := range part {
				entries[i] = journal.IndexEntry{UID: e.UID, Size: e.Size, MessageID: e.MessageID}
				if e.MessageID == "" {
					nameless = append(nameless, entries[i])
				}
			}
			next = upTo
			t.gave(len(part))
			return f.known().Extend(ctx, upTo, entries)
		}, left)
	}
	err := t.dest.do(ctx, f, read)
	for err != nil && !leftOut && t.mayGoAround(ctx, err) {
		if err = t.goAround(ctx, f, path, err); err != nil {
			break
		}
		err = t.dest.do(ctx, f, read)
	}
	if err == nil {
		t.sayDamaged()
		err = t.readNames(ctx, f, nameless, next)
	} else if len(path.Without) == 0 {
		return next, err
	}
	if err != nil {
		return next, t.restartIndex(ctx, f, err)
	}
	return next, nil
}

// narrower is how much smaller the ranges of an index get where one of them ends the session.
const narrower = 100

// goAround has an index that the server did not let end go on: with smaller ranges where it ended,
// and at last without the one message that was asked for there. It returns the error if it can't.
func (t *trip) goAround(ctx context.Context, f *folder, path *imapdst.Path, err error) error {
	if path.Reached == 0 {
		return err
	}
	width := path.Widest
	if path.Reached < path.Below {
		width = path.Width
	}
	if width > 1 {
		path.Width, path.Below = max(1, width/narrower), path.Reached+min(width, math.MaxUint32-path.Reached)
		return nil
	}
	if err := t.indexDamaged(ctx, spot{f, path.Reached}, err); err != nil {
		return err
	}
	path.Without = append(path.Without, path.Reached)
	return nil
}

// namesAtOnce bounds how many headers are kept at once.
const namesAtOnce = 1000

// readNames looks for a Message-ID in the whole header of what has none as the server says:
// some give no field when they are asked for that one alone, and such mail would not be
// recognised again. Only mail that is new to the index is asked for, and most has one.
func (t *trip) readNames(ctx context.Context, f *folder, nameless []journal.IndexEntry, next uint32) error {
	for part := range slices.Chunk(nameless, namesAtOnce) {
		spots := make([]spot, len(part))
		for i, e := range part {
			spots[i] = spot{f, e.UID}
		}
		headers, err := askApart(ctx, t, spots, (*imapdst.Conn).Headers)
		if err != nil && !isRefusal(err) { // what is not given keeps nothing from arriving (I7)
			return err
		}
		for i, s := range spots {
			if part[i].MessageID = headers[s].MessageID; t.isDamaged(s) {
				part[i].MessageID = damagedName
			}
		}
		if err := f.known().Extend(ctx, next, part); err != nil {
			return err
		}
	}
	return nil
}

func (t *trip) sayLeftOut(f *folder) {
	t.noteOnce(fmt.Sprintf("the IMAP server leaves out messages of folder %s, each time it is asked: nothing can be "+
		"compared with them; the server's operator can tell what is wrong with the folder", fault.Escape(f.name)))
}

// doubtIndex starts an index anew that goes on where the folder never was, as a UID that
// was told wrongly leaves it: all mail below would stay unseen. UIDNEXT does not sink (RFC
// 9051 §2.3.1.1); but some tell it too low, and there the last message speaks for the index.
func (t *trip) doubtIndex(ctx context.Context, f *folder) error {
	ahead, err := f.isAhead(ctx)
	if err != nil || !ahead {
		return err
	}
	f.age() // it may have grown since it was opened
	if err := t.freshen(ctx, f); err != nil {
		return err
	}
	if ahead, err = f.isAhead(ctx); err != nil || !ahead {
		return err
	}
	box := f.now()
	if there, err := t.hasLast(ctx, f); err != nil || there {
		return err
	}
	return f.known().Reset(ctx, box.UIDValidity)
}

// isAhead reports an index that has seen more than the folder's UIDNEXT allows.
func (f *folder) isAhead(ctx context.Context) (bool, error) {
	validity, next, err := f.known().State(ctx)
	box := f.now()
	return tellsNext(box) && validity == box.UIDValidity && next > box.UIDNext, err
}

// tellsNext reports whether UIDNEXT can be right: each message has a UID below it, of its own.
func tellsNext(box imapdst.Folder) bool { return box.UIDNext > box.Messages }

// hasLast reports whether the last message that the index knows is there.
func (t *trip) hasLast(ctx context.Context, f *folder) (there bool, err error) {
	_, next, err := f.known().State(ctx)
	if err != nil || f.now().Messages == 0 {
		return false, err
	}
	err = t.dest.do(ctx, f, func(c *imapdst.Conn, box imapdst.Folder) error {
		return c.Headers(ctx, box, []uint32{next - 1}, func(uint32, imapdst.Copy) error {
			there = true
			return nil
		})
	})
	return there, err
}

// mostMessages is more than any folder has, and few enough to be asked for.
const mostMessages = 50_000_000

// Countable is the error for a folder that claims more messages than anybody can go through,
// or whose UIDs mean nothing, for which servers have to tell UIDVALIDITY (RFC 9051 §2.3.1.1).
func Countable(server string, box imapdst.Folder) error {
	switch {
	case box.Messages > mostMessages:
		return fault.New(fault.Protocol, "IMAP server %s counts %d messages in folder %s, more than can be compared with",
			server, box.Messages, fault.Escape(box.Name)).
			WithHint("if they are there, deliver to another folder; else the server's operator can tell what is wrong with this one")
	case !box.Exists || box.UIDValidity != 0:
		return nil
	}
	return fault.New(fault.Protocol, "IMAP server %s tells no UIDVALIDITY of folder %s, so that its messages can't be told apart",
		server, fault.Escape(box.Name)).WithHint("ask the server's operator; every IMAP server has to tell it")
}

// advanceIndex moves the indices past the UIDs that this trip appended itself, as
// far as they follow one another without a gap: the journal claims them, so that
// nobody needs to read them back to know what they are. A gap is none where UIDNEXT
// told of it and an append then got that UID; alone it proves nothing.
func (t *trip) advanceIndex(ctx context.Context) error {
	for _, f := range t.folders {
		if err := f.advance(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) advance(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.copied) == 0 {
		return nil
	}
	validity, next, err := f.index.State(ctx)
	if err != nil {
		return err
	}
	if validity != f.box.UIDValidity || next == 0 {
		return nil // never read: the first need of it starts from the beginning
	}
	slices.Sort(f.copied)
	after := next
	for _, uid := range f.copied {
		if uid == after || uid == f.end {
			after = uid + 1
		}
	}
	if after == next {
		return nil
	}
	return f.index.Extend(ctx, after, nil)
}

// readBack digests messages in the destination.
func (t *trip) readBack(ctx context.Context, spots []spot) (map[spot]imapdst.Copy, error) {
	return ask(ctx, t, spots, (*imapdst.Conn).Digests)
}

// readHeaders digests only the headers of messages in the destination.
func (t *trip) readHeaders(ctx context.Context, spots []spot) (map[spot]imapdst.Copy, error) {
	return ask(ctx, t, spots, (*imapdst.Conn).Headers)
}

// query asks the destination something about each of some messages.
type query[T any] func(*imapdst.Conn, context.Context, imapdst.Folder, []uint32, func(uint32, T) error) error

// ask puts a query to one folder after the other.
func ask[T any](ctx context.Context, t *trip, spots []spot, q query[T]) (map[spot]T, error) {
	answers := make(map[spot]T, len(spots))
	uids := map[*folder][]uint32{}
	for _, s := range spots {
		uids[s.in] = append(uids[s.in], s.uid)
	}
	for _, in := range slices.SortedFunc(maps.Keys(uids), byMailbox) {
		slices.Sort(uids[in])
		err := t.dest.do(ctx, in, func(c *imapdst.Conn, f imapdst.Folder) error {
			return q(c, ctx, f, uids[in], func(uid uint32, answer T) error {
				answers[spot{in, uid}] = answer
				return nil
			})
		})
		if err != nil {
			return answers, err
		}
	}
	return answers, nil
}

func byMailbox(a, b *folder) int { return strings.Compare(a.now().Mailbox, b.now().Mailbox) }
