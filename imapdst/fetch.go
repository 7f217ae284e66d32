package imapdst

import (
	"cmp"
	"context"
	"io"
	"iter"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"golang.org/x/sync/semaphore"

	"github.com/popferry/popferry/internal/message"
)

const (
	// maxHeader is the largest header literal that is read.
	maxHeader = 32 << 20
	// maxBody is the largest message literal that is read; it is hashed as it
	// comes and never held.
	maxBody = 1<<30 + slack
	// MaxText is the largest message that is read to be kept in memory.
	MaxText = 16 << 20
	// maxSet bounds the UID set of one command, in octets (RFC 2683 §3.2.1.5).
	maxSet = 900
	// fetchAhead is how many FETCH commands are under way at most.
	fetchAhead = 4
)

// Copy is a message in a folder, as far as it was read.
type Copy struct {
	message.Summary
	// Deleted: it is marked as \Deleted, and whoever expunges the folder next removes it
	// (RFC 3501 §2.3.2).
	Deleted bool
}

// Headers reads the headers of messages and gives each to fn, its summary with no more
// than Header, Loose, MessageID and Date. A message that is gone is left out. After an
// error of fn, the answers still to come are thrown away and the connection can
// be used again.
func (c *Conn) Headers(
	ctx context.Context, f Folder, uids []uint32, fn func(uint32, Copy) error,
) error {
	section := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, Peek: true}
	return readEach(ctx, c, f, uids, section, maxHeader, at(message.SummarizeHeader), copies(fn))
}

// Digests reads messages in full and gives each to fn, like Headers.
func (c *Conn) Digests(
	ctx context.Context, f Folder, uids []uint32, fn func(uint32, Copy) error,
) error {
	return readEach(ctx, c, f, uids, wholeMessage(), maxBody, at(message.Summarize), copies(fn))
}

func copies(fn func(uint32, Copy) error) func(reading[message.Summary]) error {
	return func(r reading[message.Summary]) error { return fn(r.uid, Copy{*r.made, r.deleted}) }
}

// Texts reads messages in full, of [MaxText] octets at most, and gives them to fn, like
// Headers.
func (c *Conn) Texts(ctx context.Context, f Folder, uids []uint32, fn func(uint32, []byte) error) error {
	return readEach(ctx, c, f, uids, wholeMessage(), MaxText, io.ReadAll,
		func(r reading[[]byte]) error { return fn(r.uid, *r.made) })
}

// Likenesses reads messages in full and gives the likeness of each to fn, like
// Headers.
func (c *Conn) Likenesses(
	ctx context.Context, f Folder, uids []uint32, fn func(uint32, message.Likeness) error,
) error {
	return readEach(ctx, c, f, uids, wholeMessage(), maxBody, message.ReadLikeness,
		func(r reading[message.Likeness]) error { return fn(r.uid, *r.made) })
}

// Sizes gives the RFC822.SIZE of messages, in octets, to fn, like Headers; servers can tell it of
// messages that they can't read.
func (c *Conn) Sizes(ctx context.Context, f Folder, uids []uint32, fn func(uint32, int64) error) error {
	return c.fetch(ctx, f, fetchPlan{
		sets: slices.Values(uidSets(uids, c.atOnce())), make: anyOf(skip),
		each: func(_ imap.UIDSet, m *imapclient.FetchMessageData) error {
			r, err := readMessage(c, m, skip)
			if err != nil {
				return err
			}
			return fn(r.uid, r.size)
		},
	})
}

func skip(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }

func wholeMessage() *imap.FetchItemBodySection { return &imap.FetchItemBodySection{Peek: true} }

// at gives a reading that judges dates by the present time.
func at(read func(io.Reader, time.Time) (message.Summary, error)) func(io.Reader) (message.Summary, error) {
	now := time.Now()
	return func(r io.Reader) (message.Summary, error) { return read(r, now) }
}

// readEach gives what read makes of a section of each message to fn. What did not come is
// asked for once more: only twice unanswered it is gone.
func readEach[T any](
	ctx context.Context, c *Conn, f Folder, uids []uint32, section *imap.FetchItemBodySection,
	largest int64, read func(io.Reader) (T, error), fn func(reading[T]) error,
) error {
	came := map[uint32]bool{}
	for range 2 {
		uids = slices.DeleteFunc(slices.Clone(uids), func(uid uint32) bool { return came[uid] })
		if len(uids) == 0 {
			return nil
		}
		err := c.fetch(ctx, f, fetchPlan{
			sets: slices.Values(uidSets(uids, c.atOnce())), section: section, largest: largest, make: anyOf(read), flags: true,
			each: func(_ imap.UIDSet, m *imapclient.FetchMessageData) error {
				r, err := readMessage(c, m, read)
				if err != nil || r.made == nil {
					return err
				}
				came[r.uid] = true
				return fn(r)
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// fetchPlan is a series of UID FETCH commands (RFC 3501 §6.4.8).
type fetchPlan struct {
	sets    iter.Seq[imap.UIDSet]
	section *imap.FetchItemBodySection // nil: none
	largest int64
	make    func(io.Reader) (any, error) // what each makes of the section, see [asides]
	flags   bool                         // ask for them, too
	each    func(imap.UIDSet, *imapclient.FetchMessageData) error
	// done, unless nil, is told of each set that was answered in full.
	done func(imap.UIDSet) error
	// ask, unless nil, is what is asked for of a set; it may be nothing.
	ask func(imap.UIDSet) imap.UIDSet
	// singly sends nothing ahead: where a server ends the session, its last answers may be lost.
	singly bool
}

// ahead is how many commands are sent before one of them is answered in full.
func (p fetchPlan) ahead() int64 {
	if p.singly {
		return 1
	}
	return fetchAhead
}

// fetch carries out a plan, with some commands sent ahead.
func (c *Conn) fetch(ctx context.Context, f Folder, plan fetchPlan) error {
	end, err := c.begin(ctx, quietLimit)
	if err != nil {
		return err
	}
	defer end()
	c.mailbox.Lock()
	defer c.mailbox.Unlock()
	if err := c.ensureSelected(f); err != nil {
		return err
	}
	c.guard.largest.Store(plan.largest)
	c.guard.asides.begin(plan.make)
	t := &taking{plan: plan}
	var takers sync.WaitGroup
	ahead := semaphore.NewWeighted(plan.ahead())
	for set := range plan.sets {
		if ahead.Acquire(ctx, 1) != nil || t.failed() != nil {
			break
		}
		asked := set
		if plan.ask != nil {
			asked = plan.ask(set)
		}
		if len(asked) == 0 {
			t.end(set, nil)
			ahead.Release(1)
			continue
		}
		cmd := c.sendFetch(plan, asked)
		takers.Go(func() {
			defer ahead.Release(1)
			t.end(set, c.drain(cmd, set, t))
		})
	}
	takers.Wait()
	return cmp.Or(t.failed(), ctx.Err())
}

func (c *Conn) sendFetch(plan fetchPlan, set imap.UIDSet) (cmd *imapclient.FetchCommand) {
	c.send(func() {
		options := &imap.FetchOptions{UID: true, RFC822Size: true, Flags: plan.flags}
		if plan.section != nil {
			options.BodySection = []*imap.FetchItemBodySection{plan.section}
		}
		cmd = c.client.Fetch(set, options)
	})
	return cmd
}

// drain takes all answers to one FETCH. Each command that was sent has somebody who
// does so: a server may answer several at once in any order (RFC 3501 §5.5), as
// Dovecot does, and go-imap's reader stands still while nobody takes what it has.
func (c *Conn) drain(cmd *imapclient.FetchCommand, set imap.UIDSet, t *taking) error {
	for m := cmd.Next(); m != nil; m = cmd.Next() {
		t.take(set, m)
	}
	if err := cmd.Close(); err != nil {
		return c.commandError("fetch messages", err)
	}
	return nil
}

// taking gives the answers to several FETCHes to one function, one by one, until it
// fails.
type taking struct {
	mu   sync.Mutex
	plan fetchPlan
	err  error // the first
}

func (t *taking) take(set imap.UIDSet, m *imapclient.FetchMessageData) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = t.plan.each(set, m)
	}
}

// end notes how one of the FETCHes ended.
func (t *taking) end(set imap.UIDSet, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = cmp.Or(t.err, err)
	if t.err == nil && t.plan.done != nil {
		t.err = t.plan.done(set)
	}
}

func (t *taking) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// reading is what one FETCH response says.
type reading[T any] struct {
	uid     uint32
	size    int64
	deleted bool
	made    *T // of the body section; nil where the server gave none
}

// readMessage takes one FETCH response.
func readMessage[T any](
	c *Conn, m *imapclient.FetchMessageData, read func(io.Reader) (T, error),
) (r reading[T], err error) {
	for item := m.Next(); item != nil; item = m.Next() {
		switch item := item.(type) {
		case imapclient.FetchItemDataUID:
			r.uid = uint32(item.UID)
		case imapclient.FetchItemDataRFC822Size:
			r.size = item.Size
		case imapclient.FetchItemDataFlags:
			r.deleted = slices.Contains(item.Flags, imap.FlagDeleted)
		case imapclient.FetchItemDataBodySection:
			if item.Literal == nil || r.made != nil || err != nil {
				continue
			}
			var v T
			if v, err = readSection(c, item.Literal, read); err == nil {
				r.made = &v
			}
		}
	}
	return r, err
}

// literal tells its length, so that a short one is read into a short buffer.
type literal struct {
	imap.LiteralReader
	ended <-chan struct{} // go-imap's reader has
}

// Read returns, when the connection failed, only after go-imap's reader has ended: a failure sets
// that going again, and it looks into the buffer from which, next, the rest of the literal
// is skipped. That reader waits for nobody then: with a literal open it takes nothing more.
func (l literal) Read(p []byte) (int, error) {
	n, err := l.LiteralReader.Read(p)
	if err != nil && err != io.EOF {
		<-l.ended
	}
	return n, err
}

func (l literal) Len() int { return int(min(l.Size(), math.MaxInt32)) }

// uidSets packs UIDs into sets that fit a command line, of so many messages at most.
func uidSets(uids []uint32, most uint64) []imap.UIDSet {
	rest := slices.Compact(slices.Sorted(slices.Values(uids)))
	if len(rest) > 0 && rest[0] == 0 { // not a UID, and "*" to go-imap
		rest = rest[1:]
	}
	var sets []imap.UIDSet
	var set imap.UIDSet
	length, count := 0, uint64(0)
	for len(rest) > 0 {
		n := run(rest, most)
		low, high := rest[0], rest[n-1]
		rest = rest[n:]
		text := strconv.Itoa(int(low)) + ":" + strconv.Itoa(int(high)) + ","
		length, count = length+len(text), count+uint64(n)
		if length > maxSet || count > most {
			sets, set, length, count = append(sets, set), nil, len(text), uint64(n)
		}
		set.AddRange(imap.UID(low), imap.UID(high))
	}
	if len(set) > 0 {
		sets = append(sets, set)
	}
	return sets
}

// run is how many of the first UIDs, and so many at most, follow one another.
func run(uids []uint32, most uint64) int {
	n := 1
	for n < len(uids) && uint64(n) < most && uids[n] == uids[n-1]+1 {
		n++
	}
	return n
}
