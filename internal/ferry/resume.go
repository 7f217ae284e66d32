package ferry

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/journal"
)

// resumeUndo finds out what became of the mail that an undo was taking back when it ended:
// what is still there counts as delivered, and what is gone as new. With act set, what is
// there loses the mark by which the next EXPUNGE of a mail program would remove it.
func (t *trip) resumeUndo(ctx context.Context, act bool) error {
	begun, err := t.ledger.Fact(ctx, factUndo)
	if err != nil || begun == "" {
		return err
	}
	var seen resumed
	q := journal.Query{States: []journal.State{journal.Delivered}}
	err = inBatches(ctx, t.ledger, q, verifyBatch, func(records []journal.Record) error {
		records = slices.DeleteFunc(records, func(r journal.Record) bool { return r.Reason != takingBack })
		return t.resumeBatch(ctx, records, act, &seen)
	})
	if err != nil {
		return err
	}
	t.noteResumed(seen)
	if seen.doubted > 0 {
		return nil // the next pass looks again
	}
	return t.ledger.SetFact(ctx, factUndo, "")
}

// resumed counts messages that an undo was taking back.
type resumed struct {
	there, gone int
	doubted     int // still marked as deleted, or in a folder that can't be looked at
}

func (t *trip) resumeBatch(ctx context.Context, records []journal.Record, act bool, seen *resumed) error {
	if err := t.findDisplaced(ctx, records); err != nil {
		return err
	}
	places, known, err := t.placesOf(ctx, records)
	if err != nil {
		return err
	}
	look := (*imapdst.Conn).Headers
	if act {
		look = unmarked
	}
	copies, err := ask(ctx, t, known, look)
	if err != nil {
		return err
	}
	var changed []journal.Record
	for i, r := range records {
		c, there := copies[places[i]]
		switch {
		case c.Deleted || places[i].in.isHidden():
			seen.doubted++
			continue
		case there:
			r.Reason, r.Changed = "", time.Now()
			seen.there++
		default:
			r = takenBack(r)
			seen.gone++
		}
		changed = append(changed, r)
	}
	return t.ledger.Put(ctx, changed)
}

// findDisplaced looks for mail of which nobody knows the place any more, since the folder has
// another UIDVALIDITY (RFC 9051 §2.3.1.1): by that alone nothing is gone. What is found by
// anything less than its content may be another mail.
func (t *trip) findDisplaced(ctx context.Context, records []journal.Record) error {
	displaced, err := t.displaced(ctx, records)
	if err != nil || len(displaced) == 0 {
		return err
	}
	if t.match == nil {
		t.match = newMatcher(t)
	}
	located := slices.Clone(displaced)
	if err := t.locateDue(ctx, located); err != nil {
		return err
	}
	places, copies, err := t.readRecords(ctx, located)
	if err != nil {
		return err
	}
	now := map[string]journal.Record{}
	var lost []journal.Record
	for i, r := range located {
		if c, there := copies[places[i]]; there && sameMail(r, c.Summary) {
			now[r.Key] = r
		} else {
			lost = append(lost, displaced[i])
		}
	}
	err = t.relocate(ctx, lost, 1)
	for _, r := range lost {
		now[r.Key] = r
	}
	for i, r := range records {
		if r, ok := now[r.Key]; ok {
			records[i] = r
		}
	}
	return err
}

// displaced picks the records of mail in folders that are there and have another UIDVALIDITY.
func (t *trip) displaced(ctx context.Context, records []journal.Record) (displaced []journal.Record, err error) {
	for _, r := range records {
		at, ok, err := t.spotOf(ctx, r)
		if err != nil {
			return nil, err
		}
		if !ok && at.in.now().Exists && !at.in.isHidden() {
			displaced = append(displaced, r)
		}
	}
	return displaced, nil
}

// unmarked takes marks away first, and reads then: an EXPUNGE that was still under way
// finds nothing any more, or came before. Where that is refused the mark shows.
func unmarked(c *imapdst.Conn, ctx context.Context, f imapdst.Folder, uids []uint32,
	fn func(uint32, imapdst.Copy) error) error {
	if err := c.Unmark(ctx, f, uids); err != nil && !isRefusal(err) {
		return err
	}
	// To read only: mailutils 3.15 writes a selected mailbox back over what is appended.
	if _, err := c.Refresh(ctx, f); err != nil {
		return err
	}
	return c.Headers(ctx, f, uids, fn)
}

func (t *trip) noteResumed(seen resumed) {
	if seen.there+seen.gone > 0 {
		t.note("an undo ended too early: of what it was taking back, %s still there, which counts as delivered, "+
			"and %s gone, which counts as new", count(seen.there, "message"), count(seen.gone, "message"))
	}
	if seen.doubted > 0 {
		t.noteOnce(fmt.Sprintf("%s still to be taken back since an undo ended too early: marked as deleted, "+
			"or in a folder that can't be opened; popferry undo %s goes on with it", count(seen.doubted, "message"), t.account.Name))
	}
}
