package ferry

import (
	"context"
	"fmt"
	"slices"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

// butUnproven leaves out those whose copies can't be read.
func (t *trip) butUnproven(due []journal.Record) []journal.Record {
	return slices.DeleteFunc(slices.Clone(due), func(r journal.Record) bool { return t.unproven[r.Key] })
}

// leaveOut notes the first copy that did not come when the server refused some that were to be
// read back, or the connection ended twice over them: it keeps no other original from being
// deleted (I7). It returns the error if there is none to go on without.
func (t *trip) leaveOut(ctx context.Context, records []journal.Record, places []spot,
	sums map[spot]imapdst.Copy, err error) error {
	first := -1
	for i, at := range places {
		_, came := sums[at]
		if !came && at.uid != 0 && (first < 0 || comparePlaces(at, places[first]) < 0) {
			first = i
		}
	}
	if first < 0 || !t.spoils(ctx, err) || len(t.unproven) >= maxDeadEnds {
		return err
	}
	t.unproven[records[first].Key] = true
	at := places[first]
	t.noteOnce(fmt.Sprintf("the IMAP server refuses, ends the connection or stalls when it is asked for the message with UID %d "+
		"of folder %s, and so it stays on POP3; ask the server's operator", at.uid, fault.Escape(at.in.now().Name)))
	return t.putSpoiling(ctx, records[first:first+1])
}

// mayBreakAgain counts a session that a message spoiled, and reports whether there may be another:
// without TOP where that ended three, and not for ever.
func (t *trip) mayBreakAgain(err error) bool {
	t.broken++
	return t.broken < 2*maxDeadEnds && !t.stood(err)
}

// spoiling is the Reason of a delivered message over which a session ended before it was deleted.
const spoiling = "delivered, and a session ends when it is asked for again"

// keepSpoiling tells of messages that were not asked for again, and remembers them.
func (t *trip) keepSpoiling(ctx context.Context, check *recheck) error {
	if len(check.spoils) == 0 {
		return nil
	}
	t.triedInVain()
	t.note("%s kept on POP3: the session ends, or stalls, when the server is asked for it before it is deleted; "+
		"ask the server's operator", count(len(check.spoils), "message"))
	var records []journal.Record
	for _, l := range check.spoils {
		if r, ok := check.byKey[l.Key]; ok {
			records = append(records, r)
		}
	}
	return t.putSpoiling(ctx, records)
}

// putSpoiling remembers messages over which sessions end.
func (t *trip) putSpoiling(ctx context.Context, records []journal.Record) error {
	var spoils []journal.Record
	for _, r := range records {
		if r.State == journal.Delivered && r.Reason != notDeleted {
			r.Reason = spoiling
			spoils = append(spoils, r)
		}
	}
	return t.ledger.Put(ctx, spoils)
}
