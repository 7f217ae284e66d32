package ferry

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// Gmail lists some 250 messages, the oldest, and others only once those were retrieved in a
// session that ended with QUIT. A page may have mail that is delivered already: POP was turned
// on anew there, another program brought it, or the journal is lost. It is read again then, for
// nothing but to turn the page, and compared with what was delivered.

// factPageStays is when that was in vain.
const factPageStays = "page-stays"

// pageState is what a trip knows of pages.
type pageState struct {
	turned bool // the next listing may be another page of the maildrop
	// reread is what was read to turn pages, by listing key: true, or false where that is other
	// mail than was delivered, or was not given.
	reread map[string]bool
}

// hidesGiven reports a provider that shows no more what was retrieved in a session that ended
// with QUIT: all that are known to list pages do.
func (t *trip) hidesGiven() bool { return t.account.Source.Ways.Page > 0 }

// isPage reports whether the listing is a part of the maildrop, by what is known of the
// provider. With "recent:" Gmail shows the mail of 30 days, whatever was retrieved.
func (t *trip) isPage() bool {
	ways, n := t.account.Source.Ways, len(t.listing)
	return ways.FullPage(n) && 10*n <= 12*ways.Page && !t.account.Source.Recent()
}

// mayTurn reports whether reading may show another page.
func (t *trip) mayTurn(ctx context.Context) (bool, error) {
	if !t.isPage() || mayExpireAtOnce(t.source) {
		return false, nil
	}
	if deletes, _, err := t.mayDelete(ctx); deletes || err != nil { // that turns it, too
		return false, err
	}
	text, err := t.ledger.Fact(ctx, factPageStays)
	if err != nil {
		return false, err
	}
	last, err := time.Parse(time.RFC3339, text)
	since := t.now().Sub(last) // less than 0 by a clock that was ahead
	return err != nil || since < 0 || since >= provedEvery, nil
}

// sawPage notes a page that is there still though it was read, at the beginning of a round.
func (t *trip) sawPage(ctx context.Context) error {
	there := slices.ContainsFunc(t.listing, func(l plan.Listed) bool { return t.reread[l.Key] })
	if !there || !t.quit.Load() {
		return nil
	}
	return t.pageStays(ctx)
}

// turnPage reads what is delivered of a page, in the session in which the rest of it was read,
// unless that can't end in QUIT, or is over.
func (t *trip) turnPage(ctx context.Context) error {
	if t.source == nil || !t.mayQuit(t.source) {
		return nil
	}
	if may, err := t.mayTurn(ctx); err != nil || !may {
		return err
	}
	records, err := t.onPage(ctx)
	if err != nil || len(records) == 0 {
		return err
	}
	if t.session.topped && t.session.retrieved == 0 {
		if err := t.renewSource(ctx); err != nil {
			return err
		}
	}
	t.mayCede()
	var known []plan.Listed
	for _, l := range t.listing {
		if _, ok := records[l.Key]; ok {
			known = append(known, l)
			t.reread[l.Key] = false
		}
	}
	err = t.source.Retrieve(ctx, entriesOf(known), func(e pop.Entry, body io.Reader, refused error) error {
		if refused != nil {
			return nil
		}
		l := t.numbered(e.Number)
		t.retrieved(t.session, l.Key)
		return t.readToTurn(ctx, l, records[l.Key], body)
	})
	if err != nil {
		return err
	}
	return t.judgePage(ctx, known)
}

// readToTurn reads a message. One that is other mail than was delivered under its name keeps
// the session from ending in QUIT (I2).
func (t *trip) readToTurn(ctx context.Context, l plan.Listed, r journal.Record, body io.Reader) error {
	body, err := t.readAgain(ctx, l, body)
	if err != nil {
		return err
	}
	s, err := message.Summarize(body, time.Now())
	if fault.CodeOf(err) == fault.Held {
		return nil
	}
	if err != nil {
		return err
	}
	if _, same := s.Same(r.Sum); same {
		t.resolved(t.session)
		t.reread[l.Key] = true
	}
	return nil
}

// judgePage has the page read once more without what is other mail, unless that is all.
func (t *trip) judgePage(ctx context.Context, read []plan.Listed) error {
	same := slices.DeleteFunc(read, func(l plan.Listed) bool { return !t.reread[l.Key] })
	switch {
	case len(same) == 0:
		return t.pageStays(ctx)
	case !t.mayQuit(t.source):
		for _, l := range same {
			delete(t.reread, l.Key)
		}
	}
	return nil
}

func (t *trip) pageStays(ctx context.Context) error {
	return t.ledger.SetFact(ctx, factPageStays, t.now().UTC().Format(time.RFC3339))
}

// onPage are the records of what is delivered, and was not read in this session, with their
// contents.
func (t *trip) onPage(ctx context.Context) (map[string]journal.Record, error) {
	byKey := map[string]plan.Listed{}
	var keys []string
	for _, l := range t.listing {
		if _, read := t.reread[l.Key]; !read && trusted(l) && !t.skips(l) && !t.isHeld(l.Key) && !t.session.given[l.Key] {
			byKey[l.Key] = l
			keys = append(keys, l.Key)
		}
	}
	records, err := t.ledger.Get(ctx, keys)
	if err != nil {
		return nil, err
	}
	var bare []journal.Record
	for key, r := range records {
		if !delivered(r) || !sameListing(r, byKey[key]) {
			delete(records, key)
		} else if r.Sum.Content.IsZero() {
			bare = append(bare, r)
			delete(records, key)
		}
	}
	full, err := t.withContents(ctx, bare)
	for _, r := range full {
		records[r.Key] = r
	}
	return records, err
}
