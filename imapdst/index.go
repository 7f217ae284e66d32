package imapdst

import (
	"cmp"
	"context"
	"io"
	"iter"
	"math"
	"slices"
	"sync/atomic"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/message"
)

// indexChunk is about how many messages one FETCH of an index asks for.
const indexChunk = 10_000

// Entry is one message of an index.
type Entry struct {
	UID uint32
	// Size is RFC822.SIZE, in octets; some servers only estimate it.
	Size int64
	// MessageID is in the form of [message.Summary], or empty.
	MessageID string
}

// Index lists the messages with UIDs of at least from, in ascending order as far
// as the server keeps to it. After an error of fn, the answers still to come are
// thrown away.
func (c *Conn) Index(ctx context.Context, f Folder, from uint32, fn func(Entry) error) error {
	all := func(part []Entry, _ uint32) error {
		for _, e := range part {
			if err := fn(e); err != nil {
				return err
			}
		}
		return nil
	}
	return c.IndexParts(ctx, f, from, &Path{}, all, func(Gap) error { return nil })
}

// Gap is where an index lacks messages that the server counts: between two UIDs, of which
// the first is 0 at the beginning of the folder, and the last at its end.
type Gap struct{ After, Before uint32 }

// Has reports whether a UID is in the gap.
func (g Gap) Has(uid uint32) bool { return g.After < uid && (uid < g.Before || g.Before == 0) }

// Path is how an index goes through a folder: the zero Path as fast as it can. It tells how far it
// came, so that one that ended early can be gone on with more carefully.
type Path struct {
	// Width is how many UIDs are asked for at once at most, as long as they are less than Below;
	// 0: as many as suit, and some ahead.
	Width, Below uint32
	// Without are UIDs that are not asked for: those of messages over which the session ends.
	Without []uint32

	// Reached: all below was answered, and what comes next was not; 0: nothing was asked for.
	Reached uint32
	// Widest is the most UIDs that were asked for at once.
	Widest uint32
}

// IndexParts is Index with some thousand messages at a time: each part has all that
// there is below next, and was not in one before. Next is behind the last message that
// was seen, whatever UIDNEXT says: what that leaves out would never be asked for again.
// Gaps are told before the part that they are in, which does not come if left fails.
//
// The message before from comes too, for its number: those that follow have the next ones
// (RFC 3501 §2.3.1.2). "n:*" includes the last message even if its UID is less than n
// (§6.4.8); go-imap drops answers with UIDs outside the set.
func (c *Conn) IndexParts(
	ctx context.Context, f Folder, from uint32, path *Path, fn func(part []Entry, next uint32) error, left func(Gap) error,
) error {
	path.Reached = 0
	if err := c.wire.Broken(); err != nil {
		return err
	}
	from = max(from, 1)
	low := max(from-1, 1)
	if slices.Contains(path.Without, low) {
		low = from
	}
	p := &indexParts{conn: c, fn: fn, from: from, next: low, seen: from,
		read: at(message.SummarizeHeader), numbers: numbers{tally: c.guard.tallied, left: left, known: low == 1}}
	defer func() { path.Reached = p.next }()
	return c.fetch(ctx, f, fetchPlan{
		sets: func(yield func(imap.UIDSet) bool) {
			p.numbers.before = c.guard.tallied() // now that the folder is open
			c.indexSets(f, low, path, &p.thin)(yield)
		},
		section: &imap.FetchItemBodySection{
			Specifier: imap.PartSpecifierHeader, Peek: true, HeaderFields: []string{"MESSAGE-ID"},
		},
		largest: maxHeader, make: anyOf(p.read), each: p.take, done: p.done, singly: path.Width > 0,
		ask: func(set imap.UIDSet) imap.UIDSet { return spare(set, path.Without, max(f.UIDNext, 1)-1) },
	})
}

// indexParts puts the answers to several FETCHes that are on their way back into the
// order of their sets.
type indexParts struct {
	conn    *Conn
	fn      func([]Entry, uint32) error
	read    func(io.Reader) (message.Summary, error)
	from    uint32 // the first UID that is wanted
	next    uint32 // all below was handed over
	seen    uint32 // and of that the last was below
	numbers numbers
	waiting []indexPart
	octets  int          // that wait, about
	thin    atomic.Int32 // the answers in a row that brought few
}

const (
	// maxIndexed bounds what is kept of an index until it is handed over.
	maxIndexed = 128 << 20
	// entryOctets is about what an entry takes beside its Message-ID.
	entryOctets = 64
)

// indexPart is what came of one set.
type indexPart struct {
	set      imap.UIDSet
	entries  []numbered
	complete bool
}

// numbered is an entry with its message sequence number.
type numbered struct {
	Entry
	number uint32
}

func (p *indexParts) take(set imap.UIDSet, m *imapclient.FetchMessageData) error {
	r, err := readMessage(p.conn, m, p.read)
	if err != nil {
		return err
	}
	entry := Entry{UID: r.uid, Size: r.size}
	if r.made != nil {
		entry.MessageID = r.made.MessageID
	}
	if p.octets += entryOctets + len(entry.MessageID); p.octets > maxIndexed {
		return fault.New(fault.Protocol, "%s lists more than %d MiB of messages where some thousand were asked for",
			p.conn.wire.Address(), maxIndexed>>20).WithHint("%s", brokenHint)
	}
	part := p.of(set)
	part.entries = append(part.entries, numbered{entry, m.SeqNum})
	return nil
}

// of finds the part of a set, or makes it.
func (p *indexParts) of(set imap.UIDSet) *indexPart {
	at, found := slices.BinarySearchFunc(p.waiting, set, func(p indexPart, set imap.UIDSet) int {
		return cmp.Compare(p.set[0].Start, set[0].Start)
	})
	if !found {
		p.waiting = slices.Insert(p.waiting, at, indexPart{set: set})
	}
	return &p.waiting[at]
}

// done hands over the parts that have nothing before them any more.
func (p *indexParts) done(set imap.UIDSet) error {
	answered := p.of(set)
	answered.complete = true
	p.widen(len(answered.entries) < indexChunk/16)
	for len(p.waiting) > 0 && p.waiting[0].complete && uint32(p.waiting[0].set[0].Start) == p.next {
		part := p.waiting[0]
		p.waiting = slices.Delete(p.waiting, 0, 1)
		p.octets -= part.octets()
		p.next = uint32(part.set[0].Stop) + 1 // 1 behind "*"
		if err := p.handOver(part.entries, p.next == 1); err != nil {
			return err
		}
	}
	return nil
}

// widen notes whether an answer brought few messages.
func (p *indexParts) widen(few bool) {
	if few {
		p.thin.Add(1)
	} else {
		p.thin.Store(0)
	}
}

// spare takes UIDs out of a set of one range, which "*" makes end at the last one that is known.
func spare(set imap.UIDSet, uids []uint32, last uint32) (rest imap.UIDSet) {
	if len(uids) == 0 {
		return set
	}
	low, high := uint64(set[0].Start), uint64(set[0].Stop)
	if high == 0 {
		high = max(low, uint64(last))
	}
	for _, uid := range slices.Sorted(slices.Values(uids)) {
		if at := uint64(uid); low <= at && at <= high {
			if low < at {
				rest.AddRange(imap.UID(low), imap.UID(at-1))
			}
			low = at + 1
		}
	}
	if low <= high {
		rest.AddRange(imap.UID(low), imap.UID(high))
	}
	return rest
}

// handOver gives on what is wanted of a part, once its numbers were looked at.
func (p *indexParts) handOver(entries []numbered, last bool) error {
	slices.SortStableFunc(entries, func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
	if err := p.numbers.check(entries, last); err != nil {
		return err
	}
	var wanted []Entry
	for _, e := range entries {
		if e.UID >= p.from {
			wanted = append(wanted, e.Entry)
			p.seen = max(p.seen, e.UID+1)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	return p.fn(wanted, p.seen)
}

func (p *indexPart) octets() (n int) {
	for _, e := range p.entries {
		n += entryOctets + len(e.MessageID)
	}
	return n
}

const (
	// mostParts bounds how many commands an index takes, where UIDs are far apart and few
	// messages are given at once.
	mostParts = 1_000_000
	// mostThin bounds how many of them bring few, where a server counts more than it gives.
	mostThin = 256
	// widest bounds how many messages lie where few were expected, by [maxIndexed].
	widest = 1 << 19
)

// atOnce is how many messages a command may be about (RFC 9738 §3), however few that are:
// what goes beyond is left out of the answer.
func (c *Conn) atOnce() uint64 {
	if limit := c.Capabilities().number("MESSAGELIMIT="); limit > 0 {
		return min(limit, math.MaxUint32)
	}
	return math.MaxUint32
}

// indexSets cuts from:* into ranges of UIDs that hold about indexChunk messages
// each, and never more than the server gives at once. Behind answers that brought few, each
// range is twice as wide as the one before.
func (c *Conn) indexSets(f Folder, from uint32, path *Path, thin *atomic.Int32) iter.Seq[imap.UIDSet] {
	step, next := uint64(indexChunk), uint64(f.UIDNext)
	if f.Messages > 0 {
		step *= max(1, next/uint64(f.Messages))
	}
	step = max(min(step, c.atOnce()), next/mostParts)
	most := min(next/mostThin, widest, c.atOnce())
	return func(yield func(imap.UIDSet) bool) {
		low := uint64(from)
		for {
			width := max(step, min(step<<min(thin.Load(), 16), most))
			if path.Width > 0 && low < uint64(path.Below) {
				width = min(width, uint64(path.Width))
			}
			path.Widest = uint32(min(max(width, uint64(path.Widest)), math.MaxUint32))
			if low+width >= next {
				break
			}
			if !yield(imap.UIDSet{{Start: imap.UID(low), Stop: imap.UID(low + width - 1)}}) {
				return
			}
			low += width
		}
		yield(imap.UIDSet{{Start: imap.UID(low)}}) // to "*"
	}
}
