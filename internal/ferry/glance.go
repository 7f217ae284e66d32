package ferry

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

// heartbeat is how often the journal is told of passes in which nothing happened.
const heartbeat = time.Hour

// provedEvery is how often it is tried to delete what could not be deleted, since its
// copy is not where it was delivered, or the server does not let it: people move mail
// and change settings.
const provedEvery = 24 * time.Hour

// usedEvery is how often the sign-in of a destination is used that is not asked.
const usedEvery = 24 * time.Hour

// unasked stands for the limit of a destination that was not asked: what was too large
// before is still.
const unasked = 1

// glance looks at the source, and ends the pass there if nothing is to be done: for most
// passes of a bridge the destination need not be asked, and nothing written. If there is
// something, the trip takes its folders and goes on as any other does, in the same
// session.
func (t *trip) glance(ctx context.Context) error {
	if err := t.openLedger(ctx); err != nil {
		return err
	}
	settled, err := t.allSettled(ctx)
	if err != nil {
		return err
	}
	if settled {
		if err := t.openBusySource(ctx); err != nil {
			return err
		}
		if t.idle, err = t.nothingNew(ctx); err != nil {
			return err
		}
	}
	if t.idle {
		t.leave(ctx)
		return t.signInStays(ctx)
	}
	if err := t.engine.awaitTurns(ctx, t.engine.turns(t.account)); err != nil {
		return err
	}
	t.glances = false // it has its folders now
	return nil
}

// signInStays uses the sign-in of a destination that is not asked for long once a day: many
// end when they are not used. It also notes until when logins there are good.
func (t *trip) signInStays(ctx context.Context) error {
	dest, name := t.account.Destination, t.account.Name
	used, ok := t.engine.signedIn.Load(name)
	if dest.OAuth != nil && t.engine.Tokens != nil && !(ok && time.Since(used.(time.Time)) < usedEvery) {
		_, err := t.engine.Tokens.Token(ctx, name, dest)
		if err != nil && fault.CodeOf(err) != fault.Temporary { // that may pass, and nothing waits for it
			return &NoToken{err}
		}
		t.engine.signedIn.Store(name, time.Now())
	}
	t.sawCredentials("destination", dest)
	return nil
}

// awaitTurns waits for one turn after the other. All do so in the same order, so that no
// two accounts wait for each other.
func (e *engine) awaitTurns(ctx context.Context, turns []string) error {
	for i, turn := range turns {
		if err := e.folders.await(ctx, turn); err != nil {
			e.folders.release(turns[:i]...)
			return err
		}
	}
	return nil
}

// allSettled reports whether the journal has nothing for which the destination would
// have to be asked, whatever is listed.
func (t *trip) allSettled(ctx context.Context) (bool, error) {
	counts, err := t.ledger.Counts(ctx)
	if err != nil {
		return false, err
	}
	for _, name := range []string{factRenumbered, factTakeOver, factUndo, factLent, factBorrowed} {
		if fact, err := t.ledger.Fact(ctx, name); err != nil || fact != "" {
			return false, err
		}
	}
	if pending, err := t.canaries(ctx); err != nil || len(pending) > 0 {
		return false, err
	}
	return t.baseline && counts[journal.Intent]+counts[journal.DeleteSent] == 0, nil
}

// nothingNew reports whether the journal knows all that is listed, by a name that can be
// trusted, and nothing of it is due for anything.
func (t *trip) nothingNew(ctx context.Context) (bool, error) {
	deletes, unsaid, err := t.mayDelete(ctx)
	if err != nil {
		return false, err
	}
	held := map[int]string{} // places in the listing, and reasons
	first, leftAlone, due := 0, 0, 0
	for part := range slices.Chunk(t.listing, deleteBatch) {
		keys := keysOf(part)
		if len(keys) < len(part) {
			return false, nil
		}
		if t.known, err = t.ledger.Get(ctx, keys); err != nil {
			return false, err
		}
		for i, l := range part {
			r := t.known[l.Key]
			switch {
			case r.State == journal.Held && r.Listed == l.Size && !t.heldToo && (!retriable(r, unasked) || awaitsFolder(r)):
				held[first+i] = r.Reason
			case r.State == journal.Delivered && r.Listed == l.Size && !(deletes && t.isDue(r)):
				if unsaid && t.isDue(r) {
					due++
				}
			case t.skips(l):
				leftAlone++
			default:
				return false, nil
			}
		}
		first += len(part)
	}
	t.report.Listed, t.report.Known, t.report.LeftAlone = len(t.listing), len(t.listing)-len(held), leftAlone
	for _, at := range slices.Sorted(maps.Keys(held)) {
		t.countHeld(t.listing[at], held[at])
	}
	if due > 0 {
		_ = t.awaitsWord(due) // the pass goes well without it
	}
	return true, nil
}

// mayDelete reports whether a person agreed to deletions from this maildrop, and the last
// pass did not find just now that some mail can't be deleted; or else whether that word is
// missing.
func (t *trip) mayDelete(ctx context.Context) (may, unsaid bool, err error) {
	if !t.account.Keep.Delete {
		return false, false, nil
	}
	agreed, err := t.ledger.Fact(ctx, factConfirmDelete)
	if err != nil || agreed == "" && !t.engine.ConfirmDelete {
		return false, err == nil, err
	}
	return !t.justTried(), false, nil
}

func (t *trip) isDue(r journal.Record) bool {
	return t.erasable(r) && t.account.Keep.Due(t.clock.Counted(r.DeliveredAt), t.lastRun.At, t.now())
}

// worthSaying reports whether the journal should hear how an idle pass ended: it says
// something else than the one before, or was silent for long, or the clock was set back.
func (t *trip) worthSaying(code fault.Code) bool {
	silent := t.now().Sub(t.lastRun.At)
	return t.lastRun.ExitCode != code || silent >= heartbeat || silent < 0
}

// notBefore is when the servers permit another pass, as far as they said.
func (t *trip) notBefore(err error) time.Time {
	at := t.loginAgain
	if pause := fault.AfterOf(err); pause > 0 && time.Now().Add(pause).After(at) {
		at = time.Now().Add(pause)
	}
	return at
}
