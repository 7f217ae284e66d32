package ferry

import (
	"context"
	"slices"
	"time"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// factUnlocated says that records exist whose UID no server told.
const factUnlocated = "unlocated"

// locate gives UIDs to delivered mail of a server without UIDPLUS (RFC 4315), for
// every account that delivers to this destination: what one of them appended
// must not look like foreign mail to another.
//
// It goes by Message-ID, size and order of arrival, and reads nothing back: it
// only has to keep each record's claim on one message, so that a second copy of
// the same mail is not mistaken for the first. What is deleted from POP3 is read
// back before, whatever is claimed here.
func (t *trip) locate(ctx context.Context) error {
	scopes, err := t.engine.Journal.Scopes(ctx)
	if err != nil {
		return err
	}
	d := t.account.Destination
	for _, s := range scopes {
		if s.Scope.DestHost != d.Host || s.Scope.DestUser != d.Username {
			continue
		}
		ledger, err := t.engine.Journal.Ledger(ctx, s.Scope)
		if err != nil {
			return err
		}
		if err := t.locateIn(ctx, ledger); err != nil {
			return err
		}
	}
	return nil
}

// locateOwn does so for what this trip appended, before another account's turn.
func (t *trip) locateOwn(ctx context.Context) error {
	if !t.unlocatedNoted {
		return nil
	}
	if err := t.dest.refresh(ctx); err != nil {
		return err
	}
	if err := t.dest.refresh(ctx); err != nil {
		return err
	}
	return t.match.prepare(ctx)
}

func (t *trip) locateIn(ctx context.Context, ledger journal.Ledger) error {
	pending, err := ledger.Fact(ctx, factUnlocated)
	if err != nil || pending == "" {
		return err
	}
	_, box := t.dest.get()
	records, err := unlocated(ctx, ledger, folderOf(box))
	if err != nil {
		return err
	}
	var found []journal.Record
	err = t.index.Unclaimed(ctx, journal.Match{}, func(e journal.IndexEntry) error {
		if r, ok := records.take(e, box.UIDValidity); ok {
			r.UIDValidity, r.UID, r.Changed = box.UIDValidity, e.UID, time.Now()
			found = append(found, r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := ledger.Put(ctx, found); err != nil {
		return err
	}
	if records.left() > 0 {
		return nil // not there yet, or not any more
	}
	t.mu.Lock()
	t.unlocatedNoted = false
	t.mu.Unlock()
	return ledger.SetFact(ctx, factUnlocated, "")
}

// byID holds records without a UID by Message-ID, in the order of delivery.
type byID map[string][]journal.Record

func unlocated(ctx context.Context, ledger journal.Ledger, folder string) (byID, error) {
	records := byID{}
	q := journal.Query{States: []journal.State{journal.Delivered}}
	err := ledger.Each(ctx, q, func(r journal.Record) error {
		if r.UID == 0 && r.Folder == folder {
			records[r.Sum.MessageID] = append(records[r.Sum.MessageID], r)
		}
		return nil
	})
	return records, err
}

func (b byID) left() (n int) {
	for _, records := range b {
		n += len(records)
	}
	return n
}

// take finds the first record that the entry may be the copy of.
func (b byID) take(e journal.IndexEntry, validity uint32) (journal.Record, bool) {
	waiting := b[e.MessageID]
	for i, r := range waiting {
		low, high := sizeWindow(r.Sum.Size)
		old := r.UIDValidity == validity && e.UID < r.NextUID
		if old || e.Size < low || e.Size > high {
			continue
		}
		b[e.MessageID] = slices.Delete(waiting, i, i+1)
		return r, true
	}
	return journal.Record{}, false
}

// relocate looks by content for mail that is not where the journal has it.
func (t *trip) relocate(ctx context.Context, due []journal.Record) error {
	lost := map[string]message.Summary{}
	at := map[string]int{}
	for i, r := range due {
		if !r.Sum.Content.IsZero() {
			lost[r.Key], at[r.Key] = r.Sum, i
		}
	}
	if len(lost) == 0 {
		return nil
	}
	if err := t.match.prepare(ctx); err != nil {
		return err
	}
	found, err := t.match.inDestination(ctx, lost, 0)
	for key, f := range found {
		r := &due[at[key]]
		r.UIDValidity, r.UID = f.UIDValidity, f.UID
	}
	return err
}
