package ferry

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// glimpse holds a listing against the journal alone, to find that nothing is to be done.
// Whatever it can't decide is left to the pass, which asks the destination as well.
type glimpse struct {
	t               *trip
	deletes, unsaid bool           // a person agreed to deletions, or has yet to
	held            map[int]string // places in the listing, and reasons
	leftAlone, due  int
}

// takes counts a message that the journal knows, if nothing is due for it.
func (g *glimpse) takes(at int, r journal.Record) bool {
	t, l := g.t, g.t.listing[at]
	switch {
	case r.State == journal.Held && r.Listed == l.Size && !t.heldToo && (!retriable(r, unasked) || awaitsFolder(r)):
		g.held[at] = r.Reason
	case r.State == journal.Delivered && r.Listed == l.Size && !(g.deletes && t.isDue(r)):
		if g.unsaid && t.isDue(r) {
			g.due++
		}
	case t.skips(l):
		g.leftAlone++
	default:
		return false
	}
	return true
}

// takesNamed looks at all that has a lasting name.
func (g *glimpse) takesNamed(ctx context.Context) (bool, error) {
	t, first := g.t, 0
	for part := range slices.Chunk(t.listing, deleteBatch) {
		known, err := t.ledger.Get(ctx, keysOf(part))
		if err != nil {
			return false, err
		}
		t.known = known
		for i, l := range part {
			if trusted(l) && !g.takes(first+i, known[l.Key]) {
				return false, nil
			}
		}
		first += len(part)
	}
	return true, nil
}

// takesNameless looks at all that has none, and that only its header can name (TOP): each
// has a record of its look then, as matchHeaders demands it.
func (g *glimpse) takesNameless(ctx context.Context) (bool, error) {
	if !g.t.nameless {
		return true, nil
	}
	if enough, err := g.enough(ctx); err != nil || !enough {
		return false, err
	}
	looks, err := g.looks(ctx)
	if err != nil || looks == nil {
		return false, err
	}
	records, certain, err := g.recordsOf(ctx, looks)
	if err != nil || !certain {
		return false, err
	}
	for k, places := range looks {
		if len(records[k]) != len(places) {
			return false, nil
		}
		for i, at := range places {
			if !g.takes(at, records[k][i]) {
				return false, nil
			}
		}
	}
	return true, nil
}

// enough reports whether there are as many records as messages. Else some are new, and TOP
// would only cost the session in which they can be read; see sessionForReading.
func (g *glimpse) enough(ctx context.Context) (bool, error) {
	counts, err := g.t.ledger.Counts(ctx)
	return counts[journal.Delivered]+counts[journal.Held]+g.leftAlone >= len(g.t.listing), err
}

// looks are the places in the listing of what has no lasting name, by look; nil if they can't
// tell. Where TOP breaks the session, the pass goes on in another one, as with any it loses.
func (g *glimpse) looks(ctx context.Context) (map[look][]int, error) {
	t := g.t
	headers, err := t.topHeaders(ctx, slices.DeleteFunc(slices.Clone(t.listing), trusted))
	switch {
	case errors.Is(err, pop.ErrNoTop):
		t.session.noTop = true
		return nil, nil
	case err != nil:
		t.hangUp()
		t.lost = true
		return nil, ctx.Err()
	}
	t.session.tops = headers
	looks := map[look][]int{}
	for at, l := range t.listing {
		s := headers[l.Key]
		switch {
		case trusted(l):
		case s.Header.IsZero(), isPlain(s):
			return nil, nil
		default:
			looks[look{s.Header, l.Size}] = append(looks[look{s.Header, l.Size}], at)
		}
	}
	return looks, nil
}

// recordsOf are the records that may speak for messages of those looks. They are not certain
// if mail of one header has several sizes, or if one of it is still to be brought.
func (g *glimpse) recordsOf(ctx context.Context, looks map[look][]int) (map[look][]journal.Record, bool, error) {
	v, headers := vague{}, map[message.Digest]bool{}
	for k := range looks {
		v.see(k)
		headers[k.header] = true
	}
	records, open := map[look][]journal.Record{}, false
	q := journal.Query{Headers: slices.Collect(maps.Keys(headers))}
	err := g.t.ledger.Each(ctx, q, func(r journal.Record) error {
		switch {
		case named(r.Key) && !g.t.repeats[r.UIDL], r.State == journal.Gone:
			return nil
		case r.State != journal.Delivered && r.State != journal.Held:
			open = true
		}
		v.see(lookOf(r))
		records[lookOf(r)] = append(records[lookOf(r)], r)
		return nil
	})
	for _, known := range v {
		open = open || known.is()
	}
	return records, !open, err
}

// report counts what was seen.
func (g *glimpse) report() {
	t := g.t
	t.report.Listed, t.report.Known, t.report.LeftAlone = len(t.listing), len(t.listing)-len(g.held), g.leftAlone
	t.report.Left = new(int)
	for _, at := range slices.Sorted(maps.Keys(g.held)) {
		t.countHeld(t.listing[at], g.held[at])
	}
	if g.due > 0 {
		_ = t.awaitsWord(g.due) // the pass goes well without it
	}
}

// headersOf are the headers of messages, of which the glance may have asked for some in this
// session.
func (t *trip) headersOf(ctx context.Context, want []plan.Listed) (map[string]message.Summary, error) {
	seen := t.session.tops
	if t.session.noTop {
		return nil, pop.ErrNoTop
	}
	if len(seen) == 0 {
		return t.topHeaders(ctx, want)
	}
	headers := map[string]message.Summary{}
	var unseen []plan.Listed
	for _, l := range want {
		if s, ok := seen[l.Key]; ok {
			headers[l.Key] = s
		} else {
			unseen = append(unseen, l)
		}
	}
	if len(unseen) == 0 {
		return headers, nil
	}
	more, err := t.topHeaders(ctx, unseen)
	maps.Copy(headers, more)
	return headers, err
}

// isPlain reports a header that has nothing of its own.
func isPlain(s message.Summary) bool { return s.MessageID == "" && s.DateFrom == "" }
