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
	marked  []journal.Record // of messages that their copies can't prove, which those did not tell
	others  int              // retrieved, and not to be deleted
	unlike  int              // not given, or with another header than was delivered
	anew    int              // of these what is to be delivered anew: its copy was another mail's
	broke   bool             // a message ended the session
	spoils  []plan.Listed    // not asked for, since they did so before
}

// stray is a message that was read, and that no record has the content of.
type stray struct {
	entry pop.Entry
	sum   message.Summary
}

// appearance is what two copies of a mail share where servers added fields.
type appearance struct{ header, body message.Digest }

// appearanceOf is zero where it would prove nothing.
func appearanceOf(s message.Summary) appearance {
	if s.Header.IsZero() || s.Body.IsZero() {
		return appearance{}
	}
	return appearance{s.Header, s.Body}
}

func (a appearance) isZero() bool { return a == appearance{} }

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
	if err := c.byReading(ctx, whole); err != nil || c.broke {
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
	noted := c.t.progress()
	headers, err := c.t.topHeaders(ctx, nameless)
	if errors.Is(err, pop.ErrNoTop) {
		return nameless, nil
	}
	c.broke = err != nil && c.t.progress() > noted
	c.without(c.t.garbled, nameless)
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
	if c.t.badTops >= maxDeadEnds {
		return pop.ErrNoTop
	}
	named = c.without(c.t.garbled, named)
	entries := entriesOf(named)
	now := time.Now()
	noTop, done := false, 0
	err := c.t.source.Top(ctx, entries, 0, func(e pop.Entry, body io.Reader, refused error) error {
		if refused != nil {
			noTop = noTop || errors.Is(refused, pop.ErrNoTop)
			c.unlike++
			done++
			return nil // it stays
		}
		s, err := message.SummarizeHeader(body, now)
		if err != nil {
			return err
		}
		if r := c.byKey[c.t.numbered(e.Number).Key]; s.Header == r.Sum.Header {
			c.accept(e, r)
		} else {
			c.unlike++
		}
		done++
		return nil
	})
	if err == nil && noTop {
		c.unlike, c.spoils = 0, nil
		return pop.ErrNoTop
	}
	if c.brokeAt(ctx, named[done:], c.t.garbled, err) {
		c.t.badTops++
	}
	return err
}

// brokeAt notes the first message that is not done with when it ended the session: the next one
// does without it, so that it does not keep the others from being deleted (I7). Which one it was
// of several that are asked for at once is seen when they are asked for one at a time.
func (c *recheck) brokeAt(ctx context.Context, rest []plan.Listed, noted map[string]bool, err error) bool {
	code := fault.CodeOf(err)
	if len(rest) == 0 || code != fault.Temporary && code != fault.Protocol || errors.Is(err, pop.ErrOutOfStep) ||
		ctx.Err() != nil || c.t.seat.isEnded() {
		return false
	}
	c.broke = true
	if !c.t.oneByOne && !errors.Is(err, pop.ErrTopTooLong) {
		c.t.oneByOne = true
		return false
	}
	noted[rest[0].Key] = true
	return true
}

// without leaves out what ended a session before.
func (c *recheck) without(noted map[string]bool, all []plan.Listed) (rest []plan.Listed) {
	for _, l := range all {
		if noted[l.Key] {
			c.spoils = append(c.spoils, l)
		} else {
			rest = append(rest, l)
		}
	}
	return rest
}

// mayNotQuit leaves a message to a session that does without it. It was read and may be nowhere
// else, and there are servers that remove at QUIT what they gave, without saying so (I2).
func (c *recheck) mayNotQuit(l plan.Listed) {
	c.t.doubtful[l.Key], c.broke = true, true
}

// unlessHeld leaves out what is not to be read in a session that ends in QUIT.
func (c *recheck) unlessHeld(all []plan.Listed) (rest []plan.Listed) {
	for _, l := range all {
		if !c.t.doubtful[l.Key] && !c.t.isHeld(l.Key) {
			rest = append(rest, l)
		}
	}
	return rest
}

// byReading retrieves messages whole. One that is not delivered after all ends
// the pass: the session must then be dropped without QUIT, and with it go the
// deletions.
func (c *recheck) byReading(ctx context.Context, likely []plan.Listed) error {
	likely = c.unlessHeld(c.without(c.t.unreadable, likely))
	if len(likely) == 0 {
		return nil
	}
	strays, err := c.retrieve(ctx, likely)
	if err == nil && len(strays) > 0 {
		strays, err = c.readAgain(ctx, strays)
	}
	if err != nil {
		return err
	}
	changed := c.changed(strays)
	if err := c.t.ledger.Put(ctx, slices.Concat(changed, c.marked)); err != nil {
		return err
	}
	c.others, c.anew = c.others+len(strays)+len(c.marked), c.anew+len(changed)
	strangers, err := c.strangers(ctx, strays)
	if err != nil {
		return err
	}
	for range len(strays) - strangers {
		c.t.resolved(c.t.session)
	}
	if strangers > 0 {
		if err := c.dismiss(ctx); err != nil {
			return err
		}
		return fault.New(fault.Held, "deletions from POP3 were put off: %s changed since delivery", count(strangers, "message")).
			WithHint("run again: what is new is delivered first")
	}
	return nil
}

// retrieve reads messages, and returns those that no record has the content of.
func (c *recheck) retrieve(ctx context.Context, likely []plan.Listed) (strays []stray, err error) {
	now, done := time.Now(), 0
	err = c.t.source.Retrieve(ctx, entriesOf(likely), func(e pop.Entry, body io.Reader, refused error) error {
		if refused != nil {
			c.unlike++
			done++
			return nil
		}
		l := c.t.numbered(e.Number)
		c.t.retrieved(c.t.session, l.Key)
		body, err := c.t.readAgain(ctx, l, body)
		if err != nil {
			return err
		}
		s, err := message.Summarize(body, now)
		if fault.CodeOf(err) == fault.Held {
			c.mayNotQuit(l) // nobody can tell what it is (M13)
			done++
			return nil
		}
		if err != nil {
			return err
		}
		done++
		c.seen[l.Key] = s
		if r, ok := c.recordOf(l.Key, s); ok {
			c.found(e, r, s)
		} else {
			strays = append(strays, stray{e, s})
		}
		return nil
	})
	if err != nil {
		c.brokeAt(ctx, likely[done:], c.t.unreadable, err)
		return nil, err
	}
	return c.likewise(strays), nil
}

// readAgain reads those once more that no record is about, and returns the ones that come as they
// did: what a server gave wrong once is no other mail, nor is what it gives differently each time.
// Where no name says that such a message was delivered, no QUIT may follow (I2).
func (c *recheck) readAgain(ctx context.Context, first []stray) (same []stray, err error) {
	before, unlike := map[int]message.Digest{}, c.unlike
	var strays []plan.Listed
	for _, s := range first {
		before[s.entry.Number] = s.sum.Content
		strays = append(strays, c.t.numbered(s.entry.Number))
		c.t.resolved(c.t.session) // the second reading tells
	}
	again, err := c.retrieve(ctx, strays)
	if err != nil {
		return nil, err
	}
	unsteady, unknown := 0, c.unlike-unlike // not given again
	for _, s := range again {
		_, named := c.byKey[c.t.numbered(s.entry.Number).Key]
		switch {
		case s.sum.Content == before[s.entry.Number]:
			same = append(same, s)
		case named:
			unsteady++
			c.mayNotQuit(c.t.numbered(s.entry.Number))
		default:
			unknown++
		}
	}
	if unknown > 0 {
		return nil, fault.New(fault.Held, "deletions from POP3 were put off: %s given differently each time, or once only",
			count(unknown, "message")).WithHint("run again; if it stays so, ask the POP3 server's operator")
	}
	if unsteady > 0 {
		c.t.note("%s kept on POP3: the server gives other octets each time, so that nothing tells what was delivered",
			count(unsteady, "message"))
	}
	return same, nil
}

// changed are the records of messages that are other mail by now, under a header that is known:
// the next run delivers them.
func (c *recheck) changed(strays []stray) (changed []journal.Record) {
	for _, s := range strays {
		if r, ok := c.byKey[c.t.numbered(s.entry.Number).Key]; ok {
			r.State, r.Changed = journal.Listed, time.Now()
			changed = append(changed, r)
		}
	}
	return changed
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

// strangers counts messages of which no record says that they are delivered or held: no QUIT
// may follow their RETR (I2).
func (c *recheck) strangers(ctx context.Context, unmatched []stray) (n int, err error) {
	safe, held := map[any]bool{}, map[any]bool{} // by content and by look
	know := func(r journal.Record) error {
		switch {
		case delivered(r):
			safe[r.Sum.Content], safe[appearanceOf(r.Sum)] = true, true
		case r.State == journal.Held:
			held[r.Sum.Content], held[appearanceOf(r.Sum)] = true, true
		}
		return nil
	}
	for part := range slices.Chunk(unmatched, deleteBatch) {
		for _, q := range queriesFor(part) {
			if err := c.t.ledger.Each(ctx, q, know); err != nil {
				return 0, err
			}
		}
	}
	delete(safe, appearance{})
	delete(held, appearance{})
	for _, s := range unmatched {
		switch content, look := s.sum.Content, appearanceOf(s.sum); {
		case safe[content] || safe[look]:
		case held[content] || held[look]:
			c.mayNotQuit(c.t.numbered(s.entry.Number))
		default:
			n++
		}
	}
	return n, nil
}

// queriesFor are those for records that may be about the same mail.
func queriesFor(strays []stray) []journal.Query {
	var byContent, byHeader journal.Query
	for _, s := range strays {
		byContent.Contents = append(byContent.Contents, s.sum.Content)
		byHeader.Headers = append(byHeader.Headers, s.sum.Header)
	}
	return []journal.Query{byContent, byHeader}
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

// likewise accepts those messages that a record is about but for fields which servers add or
// change, as when they write into a mail that it was read, and returns the others. It comes
// last, since the same content has the better claim.
func (c *recheck) likewise(strays []stray) (others []stray) {
	byLook := map[appearance][]journal.Record{}
	for _, records := range c.byContent {
		for _, r := range records {
			look := appearanceOf(r.Sum)
			byLook[look] = append(byLook[look], r)
		}
	}
	for _, s := range strays {
		look := appearanceOf(s.sum)
		records := byLook[look]
		if look.isZero() || len(records) == 0 || c.byKey[c.t.numbered(s.entry.Number).Key].Key != "" {
			others = append(others, s)
			continue
		}
		byLook[look] = records[1:]
		c.take(records[0])
		c.found(s.entry, records[0], s.sum)
	}
	return others
}

// take takes a record from those that speak for no message yet.
func (c *recheck) take(r journal.Record) {
	content := r.Sum.Content
	c.byContent[content] = slices.DeleteFunc(slices.Clone(c.byContent[content]),
		func(o journal.Record) bool { return o.Key == r.Key })
}

// found deals with a message that a record is about.
func (c *recheck) found(e pop.Entry, r journal.Record, s message.Summary) {
	switch {
	case s.HasNUL:
		r.Origin = markNUL(r.Origin, s)
		c.marked = append(c.marked, r)
	case onlyByHeader(r) && s.Has8BitHeader && s.Size == r.Sum.Size && s.Content != r.Sum.Content:
		r.Origin, r.Sum.Content = originAltered, s.Content // see isIntact
		c.marked = append(c.marked, r)
	default:
		c.accept(e, r)
	}
	c.t.resolved(c.t.session)
}

func (c *recheck) accept(e pop.Entry, r journal.Record) {
	c.sure, c.records = append(c.sure, e), append(c.records, r)
}
