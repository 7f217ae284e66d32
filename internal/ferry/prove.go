package ferry

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// proveAnywhere proves copies where the journal has them, and looks by content for
// those that are not there: their place was a guess (no UIDPLUS), or UIDVALIDITY
// changed.
func (t *trip) proveAnywhere(ctx context.Context, due []journal.Record) ([]journal.Record, error) {
	proven, err := t.prove(ctx, due)
	if err != nil || len(proven) == len(due) {
		return proven, err
	}
	done := map[string]bool{}
	for _, r := range proven {
		done[r.Key] = true
	}
	rest := slices.DeleteFunc(t.butUnproven(due), func(r journal.Record) bool { return done[r.Key] })
	if err := t.relocate(ctx, rest, 0); err != nil {
		return nil, err
	}
	more, err := t.prove(ctx, rest)
	return append(proven, more...), err
}

// prove reads the copies back and keeps the records whose content is there.
func (t *trip) prove(ctx context.Context, due []journal.Record) ([]journal.Record, error) {
	var proven []journal.Record
	for len(due) > 0 {
		n := min(len(due), verifyBatch)
		part := t.butUnproven(due[:n])
		places, sums, err := t.readRecords(ctx, part)
		if err != nil {
			if err := t.leaveOut(ctx, part, places, sums, err); err != nil {
				return nil, err
			}
			continue
		}
		for i, r := range part {
			s, there := sums[places[i]]
			// What is marked as deleted goes with the next EXPUNGE, and then this would be the only copy.
			if !there || s.Deleted || places[i].in.now().NoStickyUIDs || !isIntact(r, s.Summary) {
				continue
			}
			r.VerifiedAt = time.Now()
			proven = append(proven, completed(r, s.Summary))
		}
		due = due[n:]
	}
	return proven, t.ledger.Put(ctx, proven)
}

// comparePlaces orders as copies are read.
func comparePlaces(a, b spot) int { return cmp.Or(byMailbox(a.in, b.in), cmp.Compare(a.uid, b.uid)) }

// readRecords reads back the mail of records from where the journal has it. A record
// that has no place has the spot of no message.
func (t *trip) readRecords(ctx context.Context, records []journal.Record) ([]spot, map[spot]imapdst.Copy, error) {
	places, known, err := t.placesOf(ctx, records)
	if err != nil {
		return nil, nil, err
	}
	sums, err := t.readBack(ctx, known)
	return places, sums, err
}

// placesOf gives the place of each record, with UID 0 if nobody knows it, and those that
// are known.
func (t *trip) placesOf(ctx context.Context, records []journal.Record) (places, known []spot, err error) {
	for _, r := range records {
		at, ok, err := t.spotOf(ctx, r)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			known = append(known, at)
		} else {
			at.uid = 0
		}
		places = append(places, at)
	}
	return places, known, nil
}

// headerOnly names the records that know nothing but a header.
func headerOnly(records []journal.Record) map[string]bool {
	keys := map[string]bool{}
	for _, r := range records {
		if onlyByHeader(r) {
			keys[r.Key] = true
		}
	}
	return keys
}

// completed adds what the copy says to a record that was recognised by its
// header alone. Since a header proves no body, such a message is read once more
// before it is deleted. Where an earlier version digested the header of the same content
// in another way, POP3's is compared with what it is by now.
func completed(r journal.Record, s message.Summary) journal.Record {
	switch r.Sum.Content {
	case message.Digest{}:
		r.Sum.Content, r.Sum.Body, r.Sum.Size = s.Content, s.Body, s.Size
	case s.Content:
		r.Sum.Header = s.Header
	}
	return r
}
