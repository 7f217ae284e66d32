package ferry

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// recheck compares identity before a deletion. A message with a lasting name
// must still have its size and its header (TOP); one without, and any on a
// server without TOP, must still have its content (RETR).
type recheck struct {
	t         *trip
	byKey     map[string]journal.Record
	byContent map[message.Digest][]journal.Record
	read      map[string]bool // keys whose message must be read whole

	seen    map[string]message.Summary // listed messages that were read, or have another header
	sure    []pop.Entry                // to be deleted
	records []journal.Record
	others  int // retrieved, and not to be deleted
	unlike  int // not given, or with another header than was delivered
	anew    int // of these what is to be delivered anew: its copy was another mail's
}

func newRecheck(t *trip, proven []journal.Record, read map[string]bool) *recheck {
	c := &recheck{t: t, byKey: map[string]journal.Record{},
		byContent: map[message.Digest][]journal.Record{}, read: read, seen: map[string]message.Summary{}}
	for _, r := range proven {
		c.byKey[r.Key] = r
		if !named(r.Key) || t.unnamed { // else one with a name speaks for what is called so only
			c.byContent[r.Sum.Content] = append(c.byContent[r.Sum.Content], r)
		}
	}
	return c
}

func (c *recheck) run(ctx context.Context) error {
	named, whole, nameless := c.split()
	if len(nameless) > 0 {
		likely, err := c.likely(ctx, nameless)
		if err != nil {
			return err
		}
		if err := c.t.renewSource(ctx); err != nil {
			return err
		}
		whole = append(whole, likely...)
	}
	if err := c.byReading(ctx, whole); err != nil {
		return err
	}
	err := c.byHeader(ctx, named)
	if errors.Is(err, pop.ErrNoTop) {
		return c.byReading(ctx, named)
	}
	return err
}

// split separates the listed messages that a record names from those that only
// their content can name; whole are named ones of which only the header is known.
func (c *recheck) split() (named, whole, nameless []plan.Listed) {
	for _, l := range c.t.listing {
		r, known := c.byKey[l.Key]
		switch {
		case !trusted(l):
			nameless = append(nameless, l)
		case known && r.Listed == l.Size && c.read[l.Key]:
			whole = append(whole, l)
		case known && r.Listed == l.Size:
			named = append(named, l)
		}
	}
	return named, whole, nameless
}

// likely narrows nameless messages to those whose header a record has: what is
// retrieved here must be delivered, or the session may not end in QUIT (I2).
func (c *recheck) likely(ctx context.Context, nameless []plan.Listed) ([]plan.Listed, error) {
	headers, err := c.t.topHeaders(ctx, nameless)
	if errors.Is(err, pop.ErrNoTop) {
		return nameless, nil
	}
	known := map[message.Digest]bool{}
	for _, r := range c.byKey {
		known[r.Sum.Header] = true
	}
	var out []plan.Listed
	for _, l := range nameless {
		switch h, ok := headers[l.Key]; {
		case ok && known[h.Header]:
			out = append(out, l)
		case ok:
			c.seen[l.Key] = h
		}
	}
	return out, err
}

// byHeader accepts what has its header still. What has another is not read instead: where
// RETR gives one message for another, each time, TOP is all that tells them apart.
func (c *recheck) byHeader(ctx context.Context, named []plan.Listed) error {
	entries := entriesOf(named)
	now := time.Now()
	noTop := false
	err := c.t.source.Top(ctx, entries, 0, func(e pop.Entry, body io.Reader, refused error) error {
		if refused != nil {
			noTop = noTop || errors.Is(refused, pop.ErrNoTop)
			c.unlike++
			return nil // it stays
		}
		s, err := message.SummarizeHeader(body, now)
		if r := c.byKey[c.t.numbered(e.Number).Key]; err == nil && s.Header == r.Sum.Header {
			c.accept(e, r)
		} else {
			c.unlike++
		}
		return err
	})
	if err == nil && noTop {
		c.unlike = 0
		return pop.ErrNoTop
	}
	return err
}

// byReading retrieves messages whole. One that is not delivered after all ends
// the pass: the session must then be dropped without QUIT, and with it go the
// deletions.
func (c *recheck) byReading(ctx context.Context, likely []plan.Listed) error {
	if len(likely) == 0 {
		return nil
	}
	entries := entriesOf(likely)
	now := time.Now()
	var unmatched []message.Digest
	var changed, marked []journal.Record
	err := c.t.source.Retrieve(ctx, entries, func(e pop.Entry, body io.Reader, refused error) error {
		if refused != nil {
			c.unlike++
			return nil
		}
		c.t.retrieved(c.t.session)
		body, err := c.t.readAgain(ctx, c.t.numbered(e.Number), body)
		if err != nil {
			return err
		}
		s, err := message.Summarize(body, now)
		if fault.CodeOf(err) == fault.Held {
			c.others++ // nobody can tell what it is, and so it is held (M13)
			c.t.resolved(c.t.session)
			return nil
		}
		if err != nil {
			return err
		}
		key := c.t.numbered(e.Number).Key
		c.seen[key] = s
		r, ok := c.recordOf(key, s)
		switch {
		case ok && s.HasNUL: // which its copy did not tell
			r.Origin = markNUL(r.Origin, s)
			marked = append(marked, r)
			c.t.resolved(c.t.session)
		case ok:
			c.accept(e, r)
			c.t.resolved(c.t.session)
		case r.Key != "":
			// Another mail under a header that is known: the next run delivers it.
			r.State, r.Changed = journal.Listed, now
			changed = append(changed, r)
			unmatched = append(unmatched, s.Content)
		default:
			unmatched = append(unmatched, s.Content)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.t.ledger.Put(ctx, slices.Concat(changed, marked)); err != nil {
		return err
	}
	c.others, c.anew = c.others+len(unmatched)+len(marked), c.anew+len(changed)
	strangers, err := c.strangers(ctx, unmatched)
	if err != nil {
		return err
	}
	for range len(unmatched) - strangers {
		c.t.resolved(c.t.session)
	}
	if strangers > 0 {
		if err := c.dismiss(ctx); err != nil {
			return err
		}
		return fault.New(fault.Held, "nothing was deleted from POP3: %s changed since delivery", count(strangers, "message")).
			WithHint("run again: what is new is delivered first")
	}
	return nil
}

// undelivered is the error for messages that proved not to be delivered, though others
// of the same content are.
func (c *recheck) undelivered() error {
	if c.anew == 0 {
		return nil
	}
	return fault.New(fault.Held, "%s kept on POP3: delivered was another mail that looks the same", count(c.anew, "message")).
		WithHint("run again: what is new is delivered first")
}

// dismiss says of nameless records whose content no listed message has that theirs
// are gone: their headers must not speak for the strangers again. One that may be
// about a message which the server did not give stays.
func (c *recheck) dismiss(ctx context.Context) error {
	unseen := c.t.unseen(c.seen)
	var gone []journal.Record
	for _, records := range c.byContent {
		for _, r := range records {
			if !named(r.Key) && !unseen[r.Listed] {
				r.State, r.Changed = journal.Gone, time.Now()
				gone = append(gone, r)
			}
		}
	}
	return c.t.ledger.Put(ctx, gone)
}

// strangers counts contents of which no record says that they are delivered or held:
// no QUIT may follow their RETR (I2).
func (c *recheck) strangers(ctx context.Context, contents []message.Digest) (int, error) {
	if len(contents) == 0 {
		return 0, nil
	}
	known := map[message.Digest]bool{}
	err := c.t.ledger.Each(ctx, journal.Query{Contents: contents}, func(r journal.Record) error {
		known[r.Sum.Content] = known[r.Sum.Content] || delivered(r) || r.State == journal.Held
		return nil
	})
	n := 0
	for _, content := range contents {
		if !known[content] {
			n++
		}
	}
	return n, err
}

// recordOf finds the record of a message that was read: the one of its name, or
// one of its content that speaks for no other message yet.
func (c *recheck) recordOf(key string, s message.Summary) (journal.Record, bool) {
	if r, ok := c.byKey[key]; ok {
		_, same := r.Sum.Same(s)
		return r, same
	}
	records := c.byContent[s.Content]
	if len(records) == 0 {
		return journal.Record{}, false
	}
	c.byContent[s.Content] = records[1:]
	return records[0], true
}

func (c *recheck) accept(e pop.Entry, r journal.Record) {
	c.sure, c.records = append(c.sure, e), append(c.records, r)
}
