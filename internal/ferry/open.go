package ferry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// sourceState is how a trip and its POP3 server are with each other.
type sourceState struct {
	source     *pop.Maildrop
	session    *session       // of the source
	lost       bool           // the session before, or an attempt to get one, failed
	loginAgain time.Time      // when the POP3 server permits another login
	oneByOne   bool           // the source lost count of its answers
	farewell   sync.WaitGroup // sessions that are saying QUIT
	quit       atomic.Bool    // one of them did in which something was retrieved
}

// session counts what was retrieved in a POP3 session and how much of that is
// delivered or held by now: unless they are equal it must not end in QUIT (I2).
type session struct {
	retrieved, resolved int
	topped              bool            // a TOP was sent
	given               map[string]bool // what was retrieved, by listing key
	// tops has the headers that the glance asked for, by listing key; noTop says that there
	// are none to be had.
	tops  map[string]message.Summary
	noTop bool
}

// open connects to both servers at once, and opens the journal's ledger. The folder
// is made when create is set.
func (t *trip) open(ctx context.Context, create bool) error {
	if err := t.openLedger(ctx); err != nil {
		return err
	}
	var source, dest error
	var both sync.WaitGroup
	if t.source == nil {
		both.Go(func() { source = fault.Guard(func() error { return t.openBusySource(ctx) }) })
	}
	both.Go(func() {
		dest = fault.Guard(func() error { return t.dest.open(ctx, create && len(t.account.Routes) == 0) })
	})
	both.Wait()
	if source != nil && dest != nil && ctx.Err() == nil {
		t.note("the destination failed as well: %v; %s", dest, fault.HintOf(dest))
	}
	if err := errors.Join(source, dest); err != nil {
		return err
	}
	// Only now: a host that does not exist is a mistake, and no new home.
	if err := t.inherit(ctx, scopeOf(t.account)); err != nil {
		return err
	}
	if err := t.admitHome(ctx); err != nil {
		return err
	}
	return t.slot.Work(ctx)
}

// admitHome makes the account's own folder the first of the trip's.
func (t *trip) admitHome(ctx context.Context) (err error) {
	t.sayRenamed(t.dest.home.now())
	t.home, err = t.admit(ctx, t.dest.home)
	return err
}

// openDestination is open without the maildrop.
func (t *trip) openDestination(ctx context.Context) (err error) {
	if err := t.openLedger(ctx); err != nil {
		return err
	}
	if err := t.dest.open(ctx, false); err != nil {
		return err
	}
	if err := t.admitHome(ctx); err != nil {
		return err
	}
	return t.slot.Work(ctx)
}

func (t *trip) openLedger(ctx context.Context) (err error) {
	scope := scopeOf(t.account)
	notes, err := t.engine.Journal.Renew(ctx)
	if err != nil {
		return err
	}
	for _, text := range notes {
		t.note("%s", text)
	}
	if t.ledger, err = t.engine.Journal.Ledger(ctx, scope); err != nil {
		return err
	}
	baseline, err := t.ledger.Fact(ctx, factBaseline)
	if err != nil {
		return err
	}
	t.baseline = baseline != ""
	last, err := t.ledger.Fact(ctx, factLastRun)
	// A fact that can't be read is none.
	_ = json.Unmarshal([]byte(last), &t.lastRun)
	t.sizes, t.sizesRead = t.lastRun.Sizes, t.lastRun.Sizes
	if err != nil {
		return err
	}
	if err := t.readClock(ctx); err != nil {
		return err
	}
	return t.recallKilled(ctx)
}

// readClock compares the clock with what it said to the last run.
func (t *trip) readClock(ctx context.Context) error {
	text, err := t.ledger.Fact(ctx, factClock)
	if err != nil {
		return err
	}
	_ = json.Unmarshal([]byte(text), &t.clock) // likewise
	seen := t.reads(t.lastRun.At, t.opened)
	if t.account.Keep.For > 0 && seen.Since != t.clock.Since {
		t.note("the clock was behind: what is to be deleted from POP3 some days after delivery " +
			"stays there so many days from now on")
	}
	return t.learnClock(ctx, seen)
}

// reads is what is known of the clock after another reading. Runs may be far apart, and a
// bridge is not.
func (t *trip) reads(last, now time.Time) plan.Clock {
	seen := t.clock.Next(last, now)
	if t.engine.keeps {
		seen = seen.Watched(last, now)
	}
	return seen
}

// agreedBy is the reading of the clock that has to agree with the present one where days are
// counted: that of the last run, unless it is in doubt as well.
func (t *trip) agreedBy() time.Time {
	if sure := t.clock.Sure(t.now()); sure.Before(t.lastRun.At) {
		return sure
	}
	return t.lastRun.At
}

// learnClock lets the journal know what is known of the clock.
func (t *trip) learnClock(ctx context.Context, seen plan.Clock) error {
	before := t.clock
	t.clock = seen
	if seen.Equal(before) || t.silent {
		return nil
	}
	text, err := json.Marshal(seen)
	if err != nil {
		return err
	}
	return t.ledger.SetFact(ctx, factClock, string(text))
}

// now is the time that the journal keeps. A clock that is set back during a run is not
// believed.
func (t *trip) now() time.Time {
	if now := t.engine.Clock(); now.After(t.opened) {
		return now
	}
	return t.opened
}

// openBusySource waits a little for a maildrop that another session has locked:
// that may be our own last one, which the server does not know to be dead yet
// (RFC 2449 §8.1.1).
func (t *trip) openBusySource(ctx context.Context) error {
	err := t.openSource(ctx)
	if responseOf(err) != "IN-USE" {
		return err
	}
	return t.retry(ctx, func() error { return t.openSource(ctx) })
}

// openSource logs in to the maildrop and lists it.
func (t *trip) openSource(ctx context.Context) error {
	if err := t.waitForLogin(ctx); err != nil {
		return err
	}
	server := sourcePlace(t.account)
	if err := t.engine.gates.Pass(ctx, t.slot, server, t.lost); err != nil {
		return err
	}
	source, err := t.seat.dial(ctx, func(ctx context.Context) (*pop.Maildrop, error) {
		return t.engine.DialSource(ctx, t.account)
	})
	t.engine.gates.Learn(server, isCommon(err))
	t.lost = err != nil
	if responseOf(err) == "LOGIN-DELAY" && fault.AfterOf(err) == 0 {
		t.engine.Learned.TooEarly(t.account.Source)
	}
	if err != nil && !t.loginAgain.IsZero() {
		return doubted(err)
	}
	if err != nil {
		return err
	}
	if t.oneByOne || t.brakes.AreSlow() {
		source.OneByOne()
	}
	t.sayRefused("POP3 server "+t.account.Source.Address(), "source", source.RefusedWay())
	t.sawCertificate("POP3 server", t.account.Source, source.TLS)
	t.sawCredentials("source", t.account.Source)
	loggedIn, learned := time.Now(), t.engine.Learned.LoggedIn(t.account.Source)
	entries, err := source.List(ctx)
	// Only now: a delay that differs by user is learned with the listing.
	delay := cmp.Or(source.Capabilities().LoginDelay, t.account.Source.Ways.LoginDelay)
	t.loginAgain = loggedIn.Add(max(delay, learned))
	t.slot.LoggedIn(t.loginAgain)
	t.sawRetention(source.Capabilities().Expire)
	if err != nil {
		source.Close()
		t.seat.left()
		return t.seat.explain(err)
	}
	t.source, t.session = source, &session{given: map[string]bool{}}
	t.setListing(entries)
	return nil
}

// waitForLogin keeps the server's LOGIN-DELAY (RFC 2449 §6.5) between the sessions
// of one run; a second more, since servers count whole ones.
func (t *trip) waitForLogin(ctx context.Context) error {
	wait := t.loginPause()
	switch {
	case wait == 0:
		return nil
	case wait > maxObeyed:
		return fault.New(fault.Temporary, "POP3 server %s wants %s between logins", t.account.Source.Address(),
			fault.Span(wait)).WithHint("run again later").WithAfter(wait)
	}
	t.sayLoginWait()
	return t.slot.Sleep(ctx, wait)
}

func (t *trip) sayLoginWait() {
	if wait := t.loginPause(); wait > 0 {
		t.emit(Event{Kind: Waiting, Until: time.Now().Add(wait), Text: "the POP3 server to permit another login"})
	}
}

func (t *trip) loginPause() time.Duration {
	wait := time.Until(t.loginAgain)
	if t.loginAgain.IsZero() || wait <= 0 {
		return 0
	}
	return wait + time.Second
}

// sessionForReading renews the POP3 session where RETR might not give the truth.
// Some servers answer RETR after TOP of the same message with what TOP gave
// (mailutils 3.15), and one that cut a message short is asked again from a fresh
// start.
func (t *trip) sessionForReading(ctx context.Context) error {
	if !t.session.topped && len(t.shortened) == 0 {
		return nil
	}
	return t.renewSource(ctx)
}

// errUnnamed ends a round whose names for messages proved to be void. The session is a new
// one, and the next round goes on in it without names.
var errUnnamed = fault.New(fault.Temporary, "the UIDLs of the maildrop changed while it was looked at").
	WithHint("run again")

// renewSource goes on in a new POP3 session. Keys that are names for a session only
// stay valid where the listing is the same.
func (t *trip) renewSource(ctx context.Context) error {
	if t.loginPause() > maxObeyed {
		return nil // better the risk than no mail at all
	}
	before, unnamed := t.listing, t.unnamed
	t.leave(ctx)
	t.farewell.Wait()
	if err := t.retry(ctx, func() error { return t.openSource(ctx) }); err != nil {
		return err
	}
	if t.unnamed && !unnamed {
		return errUnnamed
	}
	if !continues(before, t.listing) {
		return fault.New(fault.Temporary, "the maildrop changed while it was looked at").
			WithHint("run again")
	}
	return nil
}
