package ferry

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/signin"
)

// heartbeat is how often the journal is told of passes in which nothing happened.
const heartbeat = time.Hour

// provedEvery is how often it is tried to delete what could not be deleted, since its
// copy is not where it was delivered, or the server does not let it: people move mail
// and change settings.
const provedEvery = 24 * time.Hour

// usedEvery is how often the sign-in of a destination is used that is not asked.
const usedEvery = 24 * time.Hour

// handshakeLimit is how long the daily look at the certificate of a destination may take.
const handshakeLimit = 10 * time.Second

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
		t.certificateStays(ctx)
		return t.signInStays(ctx)
	}
	if err := t.awaitTurns(ctx); err != nil {
		return err
	}
	t.glances = false // it has its folders now
	return nil
}

// certificateStays looks once a day at the certificate of a destination to which no mail flows,
// so that its end is told of beforehand. It logs in to nothing, one account does it for all
// that have the server, and where no place is free there, a later pass does. That it fails is
// no failure of the account: nothing waits for it.
func (t *trip) certificateStays(ctx context.Context) {
	dest, places := t.account.Destination, t.engine.destinationPlaces(t.account)
	if !t.engine.Learned.LongUnseen(dest.Address()) || !t.engine.hosts.Take(places...) {
		return
	}
	defer t.engine.hosts.Release(places...)
	t.engine.hosts.MakeRoom(places)
	t.engine.Learned.SawServer(dest.Address())
	limited, cancel := context.WithTimeout(ctx, handshakeLimit)
	defer cancel()
	state, ok, err := imapdst.Handshake(limited, dest.Endpoint)
	if err != nil && ctx.Err() == nil {
		t.note("the daily look at the certificate of the destination failed, which harms nothing yet: %v", err)
	}
	t.sawCertificate("IMAP server", dest, func() (tls.ConnectionState, bool) { return state, ok })
}

// signInStays uses the sign-in of a destination that is not asked for long once a day: many
// end when they are not used. It also notes until when logins there are good.
func (t *trip) signInStays(ctx context.Context) error {
	dest, name := t.account.Destination, t.account.Name
	used, ok := t.engine.signedIn.Load(name)
	if dest.OAuth != nil && t.engine.Tokens != nil && !(ok && time.Since(used.(time.Time)) < usedEvery) {
		_, err := t.engine.Tokens.Token(ctx, name, dest)
		if err != nil && fault.CodeOf(err) != fault.Temporary { // that may pass, and nothing waits for it
			return signin.Unasked(err)
		}
		t.engine.signedIn.Store(name, time.Now())
	}
	t.sawCredentials("destination", dest)
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

// nothingNew reports whether the journal knows all that is listed, and nothing of it is due
// for anything.
func (t *trip) nothingNew(ctx context.Context) (bool, error) {
	if turn, err := t.mayTurn(ctx); err != nil || turn {
		return false, err
	}
	g := &glimpse{t: t, held: map[int]string{}}
	var err error
	if g.deletes, g.unsaid, err = t.mayDelete(ctx); err != nil {
		return false, err
	}
	for _, takes := range []func(context.Context) (bool, error){g.takesNamed, g.takesNameless} {
		if all, err := takes(ctx); err != nil || !all {
			return false, err
		}
	}
	g.report()
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
	return t.erasable(r) && t.account.Keep.Due(t.clock.Counted(r.DeliveredAt), t.agreedBy(), t.now())
}

// worthSaying reports whether the journal should hear how a pass ended. One that a bridge
// took over an account where nothing was to be done says no more than the one before, until
// that one is long ago, or the clock was set back; and one that was told to stop before it did
// anything says nothing.
func (t *trip) worthSaying(now LastRun) bool {
	did := now.Totals.Delivered + now.Totals.Deleted
	if t.engine.keeps && t.report.Stopped && did == 0 {
		return false
	}
	silent := t.now().Sub(t.lastRun.At)
	if silent >= heartbeat || silent < 0 || t.recalled {
		return true
	}
	if t.idle {
		return t.lastRun.ExitCode != now.ExitCode || (t.lastRun.Awaits == nil) != (now.Awaits == nil)
	}
	return !t.engine.keeps || did > 0 || now.Error != nil || !now.saysAs(t.lastRun)
}

// notBefore is when the servers permit another pass, as far as they said.
func (t *trip) notBefore(err error) time.Time {
	at := t.loginAgain
	if pause := fault.AfterOf(err); pause > 0 && time.Now().Add(pause).After(at) {
		at = time.Now().Add(pause)
	}
	return at
}
