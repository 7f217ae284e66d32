package ferry

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/places"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// deleteState is how far a trip is with deletions.
type deleteState struct {
	pending     string   // key of the message that an earlier run deleted first, and did not settle
	unreturned  error    // why it could not be put back
	undeleted   bool     // deletions in doubt may not have taken effect, and the names changed
	comeback    comeback // what the contents tell of that
	undeletable int      // messages of which the source refused the deletion
	refusal     error    // of the first of them
	broken      int      // sessions that a message which was to be deleted ended, or made unfit for QUIT
}

// deletePass deletes from POP3 what `keep` no longer wants there: only what is
// delivered, was read back from IMAP, and is still the same message in a session
// of its own (I1).
func (t *trip) deletePass(ctx context.Context) error {
	if t.unreturned != nil {
		return nil // what the last deletion did is not made good
	}
	if err := t.settleCanaries(ctx); err != nil || !t.account.Keep.Delete {
		return err
	}
	t.noteUndone()
	t.hurry()
	due, err := t.due(ctx)
	if err != nil || len(due) == 0 {
		return err
	}
	if t.home.now().NoStickyUIDs {
		return fault.New(fault.Refused, "the destination gives its messages no lasting UIDs, so nothing is deleted from POP3").
			WithHint("use keep: forever with this destination")
	}
	agreed, err := t.agreed(ctx)
	if err != nil {
		return err
	}
	if !agreed {
		return t.awaitsWord(len(due))
	}
	if err := t.locateDue(ctx, due); err != nil {
		return err
	}
	defer t.noteRefused()
	due, another, err := t.apart(ctx, due)
	if err != nil {
		return err
	}
	return cmp.Or(t.deleteDue(ctx, due), another)
}

// awaitsWord is the error for deletions to which nobody agreed yet.
func (t *trip) awaitsWord(due int) error {
	why, cure := "the first deletion needs your word", "run once with --confirm-delete"
	if t.engine.ConfirmDelete { // it was given before anybody knew
		why, cure = "this run found the journal damaged and began a new one", "run again with --confirm-delete"
	}
	err := fault.New(fault.Held, "%s could be deleted from POP3, and nothing was: %s", count(due, "message"), why).
		WithHint("%s; it is remembered for this account", cure)
	t.report.Awaits = NewErrorReport(err)
	return err
}

// triedInVain remembers that the server, or the state of the copies, prevents deletions.
func (t *trip) triedInVain() { t.engine.vain.Store(t.account.Name, time.Now()) }

// justTried reports whether deletions were prevented by something that is not likely to
// have changed since.
func (t *trip) justTried() bool {
	at, ok := t.engine.vain.Load(t.account.Name)
	return ok && time.Since(at.(time.Time)) < provedEvery
}

// deleteBatch is how many messages are deleted in one session. Little time passes
// between the reading of a copy and the end of its original, a QUIT that fails puts
// no more than these in doubt, and some servers drop those who delete too much.
const deleteBatch = 1000

func (t *trip) deleteDue(ctx context.Context, due []journal.Record) error {
	read, kept := headerOnly(due), 0
	t.mayCede()
	for len(due) > 0 {
		batch := due[:min(deleteBatch, len(due))]
		due = due[len(batch):]
		proven, err := t.proveAnywhere(ctx, batch)
		if err != nil {
			return err
		}
		kept += len(batch) - len(proven)
		if len(proven) == 0 {
			continue
		}
		before := t.report.Deleted
		if goOn, err := t.deleteProven(ctx, proven, read); err != nil || !goOn {
			return err
		}
		if len(due) > 0 && t.report.Deleted > before && t.slot.Ceding() {
			t.giveWay()
			return nil
		}
	}
	if kept > 0 {
		t.triedInVain()
		t.note("%s kept on POP3: the copy is not where it was delivered, not as it was sent, or marked as deleted "+
			"(popferry verify tells)",
			count(kept, "message"))
		t.noteHidden()
	}
	return nil
}

// agreed reports whether a person agreed to deletions for this account, and
// remembers it when this run says so. Who did did not know yet that the journal is a new
// one in place of a damaged one.
func (t *trip) agreed(ctx context.Context) (bool, error) {
	before, err := t.ledger.Fact(ctx, factConfirmDelete)
	if err != nil || before != "" || !t.engine.ConfirmDelete || t.engine.Journal.Rebuilt() {
		return before != "", err
	}
	return true, t.ledger.SetFact(ctx, factConfirmDelete, time.Now().UTC().Format(time.RFC3339))
}

// due lists the records of listed messages whose time on POP3 is over, by an earlier
// reading of the clock too.
func (t *trip) due(ctx context.Context) ([]journal.Record, error) {
	now, by, keep, early, never := t.now(), t.agreedBy(), t.account.Keep, 0, 0
	var due []journal.Record
	states := []journal.State{journal.Delivered, journal.DeleteSent}
	err := t.ledger.Each(ctx, journal.Query{States: states}, func(r journal.Record) error {
		counted := t.clock.Counted(r.DeliveredAt)
		switch {
		case !t.mayList(r), (r.Reason == notDeleted || r.Reason == spoiling) && t.justTried():
		case !t.erasable(r):
			if keep.Due(counted, by, now) {
				never++
			}
		case keep.Due(counted, by, now):
			due = append(due, r)
		case keep.Over(counted, now):
			early++
		}
		return nil
	})
	if never > 0 {
		t.note("%s kept on POP3 for good: what was delivered is not provably the same octets (wrapped, altered by the "+
			"destination, adopted by Message-ID alone, shorter or longer than the server says, with other empty lines, or with a NUL, "+
			"which IMAP can't carry)", count(never, "message"))
	}
	if early > 0 && !t.lastRun.At.IsZero() && now.Sub(t.lastRun.At) > longPause {
		t.note("%s to be deleted from POP3 %s, if the clock is right: it has moved by %d days since the last run",
			count(early, "message"), t.agreesSoon(), int(now.Sub(t.lastRun.At).Hours()/24))
	}
	return due, err
}

// agreesSoon says when a clock that went on will be believed.
func (t *trip) agreesSoon() string {
	if t.engine.keeps {
		return "when it has gone on for a day"
	}
	return "by the next run"
}

// longPause is a time between two runs after which people may wonder why nothing
// is deleted yet.
const longPause = 7 * 24 * time.Hour

// isSame reports whether the copy of a record is known to be the same octets.
func isSame(r journal.Record) bool {
	return provable(r) && !strings.Contains(r.Origin, withNUL) && !strings.Contains(r.Origin, butLines)
}

// mayList reports whether the message of a record is listed, as far as its name tells,
// and may be dealt with in this run.
func (t *trip) mayList(r journal.Record) bool {
	_, listed := t.at(r.Key)
	return t.planned(plan.Listed{Key: r.Key}) && (listed || !named(r.Key) && t.nameless)
}

// quitOK is the Reason of a deletion whose QUIT was answered with +OK: once a
// listing lacks the message, it is gone, whatever else the listing says.
const quitOK = "QUIT was answered"

// notDeleted is the Reason of a message that is listed although the QUIT by which it was
// to be deleted was answered with +OK. It was counted as deleted then.
const notDeleted = "deleted, and listed all the same"

// askDeletion is what to look at where a server deletes nothing.
const askDeletion = "look in the provider's POP3 settings whether programs may delete mail"

// noteUndone tells of deletions that the server only said it made.
func (t *trip) noteUndone() {
	if t.undone > 0 {
		t.note("%s still on POP3, though the server said that it deleted them: %s", count(t.undone, "message"), askDeletion)
	}
}

// noteRefused tells of DELEs that were refused.
func (t *trip) noteRefused() {
	if t.refusal != nil {
		t.note("%s kept on POP3, the first for this reason: %v; %s", count(t.undeletable, "message"), t.refusal, askDeletion)
	}
}

func (t *trip) quitAnswered(ctx context.Context, records []journal.Record) error {
	for i := range records {
		records[i].Reason, records[i].Changed = quitOK, time.Now()
	}
	return t.ledger.Put(ctx, records)
}

// deletionSession provides a POP3 session in which nothing was retrieved yet: the
// present one if it is such, else a new one. Where the server wants a long pause
// between logins, the deletions are left to the next run.
func (t *trip) deletionSession(ctx context.Context) (ok bool, err error) {
	if t.source != nil && !t.seat.isEnded() {
		return true, nil
	}
	t.hangUp()
	t.farewell.Wait() // most servers let in one session at a time
	if wait := t.loginPause(); wait > maxObeyed {
		t.note("the deletions are left to the next run: POP3 server %s wants %s between logins",
			t.account.Source.Address(), fault.Span(wait))
		return false, nil
	}
	if gone, err := t.waitWhileUnwanted(ctx); gone || err != nil {
		return false, err
	}
	return true, t.retry(ctx, func() error { return t.openSource(ctx) })
}

// waitWhileUnwanted waits until the server lets us in again, unless others of a bridge want
// what the account has meanwhile, such as its folder: then the next pass deletes.
func (t *trip) waitWhileUnwanted(ctx context.Context) (gone bool, err error) {
	if !t.engine.keeps {
		return false, nil
	}
	t.slot.OnlyWaits()
	t.sayLoginWait()
	defer t.slot.Rest()()
	for wait := t.loginPause(); wait > 0; wait = t.loginPause() {
		if err := places.Sleep(ctx, min(wait, places.WantedFor/2)); err != nil {
			return false, err
		}
		if t.slot.Ceding() {
			t.report.GaveWay = true
			return true, nil
		}
	}
	return false, nil
}

// deleteProven opens a session of its own, looks whether the listed messages are
// still those of the records (reading those in read whole), and deletes them. What
// QUIT's answer was is not believed: the next listing tells. Unless goOn, there is
// no further session to be had in this run.
func (t *trip) deleteProven(ctx context.Context, proven []journal.Record, read map[string]bool) (goOn bool, err error) {
	if ok, err := t.deletionSession(ctx); err != nil || !ok {
		return false, err
	}
	check := newRecheck(t, proven, read)
	err = check.run(ctx)
	if check.broke {
		t.hangUp()
		if t.mayBreakAgain(err) {
			return t.deleteProven(ctx, proven, read)
		}
		if err == nil {
			t.triedInVain()
			t.note("%s kept on POP3: each time another one is not given as it was delivered; ask the server's operator",
				count(len(proven), "message"))
		}
		return false, err
	}
	if err == nil {
		err = t.deleteSure(ctx, check)
	}
	if err == nil {
		t.noteUnlike(check.unlike)
		err = check.undelivered()
	}
	if err == nil {
		err = t.keepSpoiling(ctx, check)
	}
	if errors.Is(err, pop.ErrOutOfStep) {
		return t.deleteOneByOne(ctx, proven, read, err)
	}
	return err == nil, err
}

func (t *trip) noteUnlike(n int) {
	if n > 0 {
		t.note("%s kept on POP3: not given again with the header that was delivered", count(n, "message"))
	}
}

// deleteOneByOne begins again, once, where the server lost count of its answers. That
// session ended without QUIT, and nothing was deleted.
func (t *trip) deleteOneByOne(ctx context.Context, proven []journal.Record, read map[string]bool,
	cause error) (goOn bool, err error) {
	t.hangUp()
	before := t.oneByOne
	if cause = t.lostCount(cause); before {
		return false, cause
	}
	return t.deleteProven(ctx, proven, read)
}

// deleteSure deletes what was checked, and ends the session.
func (t *trip) deleteSure(ctx context.Context, check *recheck) error {
	if len(check.sure) == 0 {
		return nil
	}
	if mayExpireAtOnce(t.source) && check.others > 0 {
		t.note("nothing was deleted from POP3: QUIT might also remove %s that had to be looked at (EXPIRE 0)",
			count(check.others, "message"))
		return nil
	}
	for i := range check.records {
		check.records[i].State, check.records[i].Changed = journal.DeleteSent, time.Now()
	}
	if err := t.ledger.Put(ctx, check.records); err != nil {
		return err
	}
	marked, err := t.mark(ctx, check)
	if err != nil {
		return err
	}
	source := t.source
	t.source = nil
	t.seat.bind()
	defer t.seat.left()
	defer source.Close()
	if err := source.Quit(ctx); err != nil {
		return err
	}
	fresh := t.deletedFirst(marked)
	if err := t.quitAnswered(ctx, marked); err != nil || fresh == 0 {
		return err
	}
	t.mu.Lock()
	t.report.Deleted += fresh
	t.mu.Unlock()
	t.emit(Event{Kind: Deleted, Messages: fresh, Text: "deleted from POP3"})
	return nil
}

// mark sends DELE for what was checked and returns the records of what the server is to
// remove at QUIT.
func (t *trip) mark(ctx context.Context, check *recheck) ([]journal.Record, error) {
	var marked, refused []journal.Record
	var first error
	err := t.source.Delete(ctx, check.sure, func(_ pop.Entry, refusal error) error {
		r := check.records[len(marked)+len(refused)]
		if refusal == nil {
			marked = append(marked, r)
			return nil
		}
		first = cmp.Or(first, refusal)
		r.State = journal.Delivered // it stays, whatever the answer to QUIT
		refused = append(refused, r)
		return nil
	})
	if err != nil || len(refused) == 0 {
		return marked, err
	}
	t.triedInVain()
	t.undeletable, t.refusal = t.undeletable+len(refused), cmp.Or(t.refusal, first)
	return marked, t.ledger.Put(ctx, refused)
}

// deletedFirst counts messages that were not counted as deleted before. To delete the
// others again and again would only have them read again each time.
func (t *trip) deletedFirst(marked []journal.Record) (n int) {
	for _, r := range marked {
		if r.Reason != notDeleted {
			n++
		}
	}
	if n < len(marked) {
		t.triedInVain()
	}
	return n
}
