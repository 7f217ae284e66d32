package ferry

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

// Undo takes back exactly what popferry appended for the chosen accounts: each
// message is read back from the UID that the server gave it (APPENDUID, RFC
// 4315) and removed only if it still is that mail, and POP3 still lists the
// original. It is refused for an account from whose maildrop something was deleted
// already, since the copy may be the only one. What is not where it was put any more, somebody wanted elsewhere: it is
// left, and counts as delivered. The report counts removed messages as Deleted.
func Undo(ctx context.Context, o Options) Report {
	return newEngine(o).each(ctx, (*trip).undo)
}

func (t *trip) undo(ctx context.Context) error {
	t.silent, t.undoes = true, true
	if err := t.open(ctx, false); err != nil {
		return err
	}
	if err := t.refuseUndo(ctx); err != nil {
		return err
	}
	if err := t.resumeUndo(ctx, true); err != nil {
		return err
	}
	if err := t.settleAll(ctx); err != nil {
		return err
	}
	if err := t.takeAllBack(ctx); err != nil {
		return err
	}
	if err := t.noteElsewhere(ctx); err != nil {
		return err
	}
	// It is complete now, unless there is still something that can't be looked at.
	if err := t.resumeUndo(ctx, true); err != nil {
		return err
	}
	t.leave(ctx)
	return t.ledger.SetFact(ctx, factBaseline, "")
}

func (t *trip) takeAllBack(ctx context.Context) error {
	listed, err := t.stillListed(ctx)
	if err != nil {
		return err
	}
	if err := t.ledger.SetFact(ctx, factUndo, "yes"); err != nil {
		return err
	}
	gone := 0
	q := journal.Query{States: []journal.State{journal.Delivered}}
	err = inBatches(ctx, t.ledger, q, verifyBatch, func(records []journal.Record) error {
		mine := slices.DeleteFunc(records, func(r journal.Record) bool { return !undoable(r) })
		kept := len(mine)
		mine = slices.DeleteFunc(mine, func(r journal.Record) bool { return !listed(r) })
		gone += kept - len(mine)
		return t.undoBatch(ctx, mine)
	})
	if err != nil && (fault.CodeOf(err) != fault.Refused || t.report.Deleted > 0) { // else it never will
		t.note("not all was taken back: popferry undo %s goes on with it, while a run keeps what is still there "+
			"and brings again what is not", t.account.Name)
	}
	if gone > 0 {
		t.note("%s left alone: POP3 does not show that it still has them (gone, listed with another size, "+
			"among others that look alike, or no TOP to compare with), and the copy may be the only one",
			count(gone, "message"))
	}
	return err
}

// noteElsewhere tells of mail that went to another folder before: that is a destination of its own,
// and whoever gave the account another one may want to keep what is there.
func (t *trip) noteElsewhere(ctx context.Context) error {
	scopes, err := t.engine.Journal.Scopes(ctx)
	if err != nil {
		return err
	}
	now := scopeOf(t.account)
	for _, s := range scopes {
		if s.Scope.Folder == now.Folder || !sameSource(s.Scope, now) || !t.precedes(s.Scope, now) {
			continue
		}
		n, err := t.broughtTo(ctx, s.Scope)
		if err != nil {
			return err
		}
		if n > 0 {
			t.note("%s that went to folder %s before left alone: this takes back what went to %s; set folder: %[2]s for popferry undo %[4]s",
				count(n, "message"), fault.Escape(s.Scope.Folder), fault.Escape(now.Folder), t.account.Name)
		}
	}
	return nil
}

// broughtTo counts what popferry appended for a scope.
func (t *trip) broughtTo(ctx context.Context, s journal.Scope) (n int, err error) {
	ledger, err := t.engine.Journal.Ledger(ctx, s)
	if err != nil {
		return 0, err
	}
	err = ledger.Each(ctx, journal.Query{States: []journal.State{journal.Delivered}}, func(r journal.Record) error {
		if brought(r) {
			n++
		}
		return nil
	})
	return n, err
}

// factUndo says that an undo has begun and is not complete: then nobody knows whether the
// mail of records that are being taken back is still there.
const factUndo = "undo"

// takingBack is the Reason of a record whose mail is about to be removed, or was when
// an earlier undo ended. It stays delivered as long as nobody has seen that the mail is
// gone: else that would look like mail that no account has a claim on.
const takingBack = "being taken back"

// undoable reports a record of mail that popferry appended. The rest was there before
// popferry came.
func undoable(r journal.Record) bool {
	return (r.State == journal.Delivered || r.Reason == takingBack) && brought(r)
}

// brought reports whether popferry appended the copy of a record.
func brought(r journal.Record) bool {
	origin := r.Origin
	for _, mark := range []string{otherName, byHeader, withNUL, butLines, tooLong, tooShort} {
		origin = strings.ReplaceAll(origin, mark, "")
	}
	return origin == originAppended || origin == originWrapped
}

// settleAll finds out what became of all appends whose answer was lost: what arrived
// is to be taken back, too.
func (t *trip) settleAll(ctx context.Context) error {
	for {
		t.known, t.parked = map[string]journal.Record{}, map[string]journal.Record{}
		t.match = newMatcher(t)
		if err := t.settleOpen(ctx); err != nil {
			return err
		}
		if len(t.parked) == 0 {
			t.report.Totals, t.got = Totals{}, map[string]FolderReport{} // nothing was delivered by this
			return nil
		}
		if err := t.waitToSettle(ctx); err != nil {
			return err
		}
		if err := t.lookAgain(ctx); err != nil {
			return err
		}
	}
}

func (t *trip) refuseUndo(ctx context.Context) error {
	counts, err := t.ledger.Counts(ctx)
	if err != nil {
		return err
	}
	if n := counts[journal.Gone] + counts[journal.DeleteSent]; n > 0 {
		return fault.New(fault.Refused, "%s already deleted from POP3: the copy in the destination may be the only one",
			count(n, "message")).WithHint("undo is only for accounts of which POP3 still has everything")
	}
	return nil
}

// undoBatch removes those of the records whose mail is where it was put.
func (t *trip) undoBatch(ctx context.Context, records []journal.Record) error {
	places, sums, err := t.readRecords(ctx, records)
	if err != nil {
		return err
	}
	remove := map[*folder][]uint32{}
	var undone []journal.Record
	for i, r := range records {
		at := places[i]
		s, there := sums[at]
		if !there || at.in.now().NoStickyUIDs || !sameMail(r, s.Summary) {
			continue
		}
		remove[at.in] = append(remove[at.in], at.uid)
		r.Reason, r.Changed = takingBack, time.Now()
		undone = append(undone, r)
	}
	if left := len(records) - len(undone); left > 0 {
		t.note("%s left alone: moved, deleted or changed since, or the server never told where popferry put them",
			count(left, "message"))
	}
	// What can't be removed is not marked: nobody would know what became of it.
	if err := t.dest.get().CanRemove(); err != nil && len(undone) > 0 {
		return err
	}
	if err := t.ledger.Put(ctx, undone); err != nil {
		return err
	}
	for _, in := range slices.SortedFunc(maps.Keys(remove), byMailbox) {
		if err := t.removeFrom(ctx, in, remove[in]); err != nil {
			return err
		}
	}
	for i := range undone {
		undone[i] = takenBack(undone[i])
	}
	return t.ledger.Put(ctx, undone)
}

// takenBack makes what a record says of mail that is gone: POP3 has it, and no more.
func takenBack(r journal.Record) journal.Record {
	r.State, r.Reason, r.UID, r.Changed = journal.Listed, "", 0, time.Now()
	return r
}

func (t *trip) removeFrom(ctx context.Context, in *folder, uids []uint32) error {
	conn, done, err := t.dest.use(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := conn.Remove(ctx, in.now(), uids); err != nil {
		return err
	}
	t.mu.Lock()
	t.report.Deleted += len(uids)
	t.mu.Unlock()
	t.emit(Event{Kind: Deleted, Messages: len(uids), Text: "taken back"})
	return nil
}
