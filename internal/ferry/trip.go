package ferry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/places"
	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/plan"
)

// Facts that the journal remembers of an account.
const (
	factBaseline      = "baseline"       // a first pass was completed
	factConfirmDelete = "confirm-delete" // a person agreed to deletions
	factRenumbered    = "renumbered"     // UIDLs changed, and a pass since is not complete
	factLastRun       = "last-run"       // LastRun as JSON
	factClock         = "clock"          // plan.Clock as JSON
)

// trip is the pass over one account. What it knows for one part of its way is embedded, and
// declared where that part is.
type trip struct {
	engine  *engine
	account plan.Account
	seat    *seat
	turns   *turns // in a fleet, once it has them
	slot    *places.Slot
	limited

	glances bool   // look at the source first; see glance
	idle    bool   // that was all there was to do
	heldToo bool   // try held messages again
	silent  bool   // do not record how this ended: it was no run
	undoes  bool   // it brings nothing, and takes back
	origin  string // of records made from found mail; empty: found

	ledger   journal.Ledger
	lastRun  LastRun   // the one before
	recalled bool      // a pass was killed that came after it
	opened   time.Time // what the clock said at first
	clock    plan.Clock
	baseline bool // a first pass was completed before
	rounds   int  // rounds completed before this one

	sourceState
	listingState
	pageState
	dest *link
	folderState
	match     *matcher
	roomAsked bool
	batch     int  // how many messages one has at most
	concludes bool // what was read is read again, before it gives way
	exportState
	deleteState

	mu     sync.Mutex // guards what follows
	report AccountReport
	well   bool // it ended without an error
	room   plan.Room
	got    map[string]FolderReport
	lengths
	stumbles
	stalls
	lookalikes
	holding
	resistance
	folderFates
	openState
	recorded
}

// newTrip makes a trip that has a slot and a place at its source, and unless it glances
// there first, its folders and a place at the destination.
func newTrip(e *engine, r request, given *places.Slot, sources []string) *trip {
	a := r.account
	a.Destination.Wrap = given.Feel
	t := &trip{
		engine: e, account: a, slot: given,
		glances: r.glance, heldToo: e.Held || r.held, opened: e.Clock(), batch: batchMessages,
		report:      AccountReport{Name: a.Name},
		pageState:   pageState{reread: map[string]bool{}},
		folderState: folderState{byName: map[string]*folder{}, targets: map[string]plan.Target{}},
		room:        unlimited(), got: map[string]FolderReport{},
		lengths: newLengths(), stumbles: newStumbles(), holding: newHolding(),
		folderFates: folderFates{unlocatedNoted: map[string]bool{}}, openState: newOpenState(), recorded: newRecorded(),
	}
	t.keepLimits()
	t.seat = t.newSeat(sources)
	t.account.Source.Wrap, t.account.Source.BeforeLogin = t.seat.feel, t.seat.enter
	t.dest = t.newLink(e.destinationPlaces(t.account), !r.glance)
	return t
}

// adapt begins a round. A destination that wanted a pause in the one before, or ended its
// connection amid a message, gets less at once: all that it refuses in one go was sent in vain.
func (t *trip) adapt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paused || t.choked {
		t.batch = max(leastBatch, t.batch/4)
	}
	t.refusing, t.paused, t.choked, t.troubled = false, false, false, false
	if t.voided {
		t.recountLocked()
	}
}

// recountLocked has mail counted anew that was counted under a name which is void.
func (t *trip) recountLocked() {
	t.voided = false
	t.report.Known, t.report.Held, t.report.Messages = 0, 0, nil
	maps.DeleteFunc(t.recognised, func(_ string, known bool) bool { return known })
	clear(t.held)
	clear(t.rows)
}

// run is the whole pass.
func (t *trip) run(ctx context.Context) error {
	err := t.seat.explain(t.pass(ctx))
	t.sayCutOff()
	t.sayBared()
	unwritten, refused := t.concludeExport(err), t.refusals()
	if refused != nil && fault.CodeOf(err) == fault.Held { // what waits for a person's word weighs less
		t.note("%v; %s", err, fault.HintOf(err))
		err = nil
	}
	return errors.Join(unwritten, err, t.unreturned, refused)
}

// pass carries and deletes. It goes in rounds: a lost connection, or an append whose
// answer was lost, ends a round; the next one lists and looks anew, so that there
// is one way only in which the state of things is judged.
func (t *trip) pass(ctx context.Context) error {
	if err := t.inHours(); err != nil {
		return err
	}
	if t.glances {
		if err := t.glance(ctx); err != nil || t.idle {
			return err
		}
	}
	if err := t.open(ctx, true); err != nil {
		return errors.Join(err, t.rescue(ctx))
	}
	if err := t.resumeCanaries(ctx); err != nil {
		return err
	}
	if err := t.resumeUndo(ctx, true); err != nil {
		return err
	}
	most := t.progress()
	for failures := 0; ; {
		err := t.round(ctx)
		if errors.Is(err, errUnnamed) {
			t.rounds++
			continue
		}
		// What was noted of names for a session counts no second time, once these are void.
		further := t.progress() > most
		if further {
			most = t.progress()
			t.movedOn()
		}
		switch {
		case errors.Is(err, errCeded) && len(t.parked) == 0:
			t.giveWay()
			t.leave(ctx)
			return nil
		case errors.Is(err, errReadOn):
			failures, err = 0, nil
		case errors.Is(err, errCeded):
			err = nil
			if err := t.waitToSettle(ctx); err != nil {
				return err
			}
		case err == nil && len(t.parked) == 0 && (!further || !t.looksLikePage()):
			err := t.giveBack(ctx)
			if err == nil {
				err = t.deletePass(ctx)
			}
			if errors.Is(err, errUnnamed) {
				t.rounds++
				continue
			}
			t.leave(ctx)
			return err
		case err == nil && len(t.parked) == 0 && t.slot.Ceding(): // behind a page
			t.giveWay()
			t.leave(ctx)
			return nil
		case err == nil && len(t.parked) == 0:
			failures, t.turned = 0, true
		case err == nil:
			if err := t.waitToSettle(ctx); err != nil {
				return err
			}
		case further:
			failures = 1
		default:
			failures++
		}
		if err != nil && !t.worthAnother(ctx, err, failures) && !t.goesOnWithout(err) {
			return err
		}
		if err != nil {
			t.dest.note(err)
		}
		t.lost = err != nil
		if err := t.reopen(ctx, max(t.engine.pause(failures), fault.AfterOf(err))); err != nil {
			return err
		}
		t.rounds++
	}
}

// round carries all that can be carried now.
func (t *trip) round(ctx context.Context) error {
	t.adapt()
	if err := t.survey(ctx); err != nil {
		return err
	}
	if err := t.sawPage(ctx); err != nil {
		return err
	}
	p, err := t.draw(ctx, true)
	if err != nil {
		return err
	}
	if err := t.compare(p); err != nil {
		return err
	}
	if err := t.recordHolds(ctx, p); err != nil {
		return err
	}
	if err := t.carryAll(ctx, listedOf(p, plan.Copy)); errors.Is(err, errCeded) {
		return cmp.Or(t.locateOwn(ctx), t.advanceIndex(ctx), err)
	} else if err != nil {
		return err
	}
	if err := t.establish(ctx); err != nil {
		return err
	}
	if err := t.exportHeld(ctx); err != nil {
		return err
	}
	if t.engine.EveryMessage {
		if err := t.describe(ctx); err != nil {
			return err
		}
	}
	if err := t.turnPage(ctx); err != nil {
		return err
	}
	// A session that retrieved nothing will do for the deletions.
	if t.session.retrieved > 0 || !t.account.Keep.Delete {
		t.leave(ctx)
	}
	return nil
}

// carryAll carries messages as far as the destination has room for them.
func (t *trip) carryAll(ctx context.Context, todo []plan.Listed) error {
	todo = slices.DeleteFunc(todo, func(l plan.Listed) bool { return t.held[l.Key] || !t.planned(l) })
	// What ended connections before, or was refused, goes last, so that it harms
	// nobody, and behind it what waits for its folder, the first of those that were tried
	// longest ago.
	slices.SortStableFunc(todo, func(a, b plan.Listed) int {
		since, other := t.shutOut(a), t.shutOut(b)
		if since.IsZero() != other.IsZero() {
			return since.Compare(other)
		}
		return cmp.Or(cmp.Compare(t.blame(a), t.blame(b)), since.Compare(other))
	})
	todo, vast := t.spoolable(todo)
	if err := t.carryFitting(ctx, todo); err != nil {
		return err
	}
	if err := t.carryFitting(ctx, t.judgeComeback()); err != nil {
		return err
	}
	return t.noRoom(vast)
}

// noRoom is the error for messages that the spool has no room for, if there are any.
func (t *trip) noRoom(vast []plan.Listed) error {
	if len(vast) == 0 {
		return nil
	}
	return fault.New(fault.State, "%s not retrieved: the disk of %s has no room for more than %d MB",
		count(len(vast), "message"), t.engine.Spool, t.engine.SpoolRoom/1e6).
		WithHint("make room there, or name a state directory on another disk with --state")
}

// spoolable tells the messages that the spool has room for from the others: a disk
// that they filled would be the journal's as well.
func (t *trip) spoolable(todo []plan.Listed) (fits, vast []plan.Listed) {
	for _, l := range todo {
		if size := t.sizeOf(l); size > spoolMemory && size > t.engine.SpoolRoom {
			vast = append(vast, l)
		} else {
			fits = append(fits, l)
		}
	}
	return fits, vast
}

// carryList carries messages, and then once more those that have to be read twice.
func (t *trip) carryList(ctx context.Context, todo []plan.Listed) error {
	for len(todo) > 0 {
		if err := t.sessionForReading(ctx); err != nil {
			return err
		}
		rest := t.suspectAlone(&todo)
		if err := t.carry(ctx, todo); errors.Is(err, errCeded) {
			return t.conclude(ctx)
		} else if err != nil {
			return err
		}
		todo = append(rest, t.takeRereads()...)
	}
	t.noteAltered()
	return nil
}

// looksLikePage reports whether the listing may be only a part of the maildrop:
// Gmail and WildDuck show some 250 messages, and others once those were fetched.
func (t *trip) looksLikePage() bool { return len(t.listing) >= 200 && len(t.listing) <= 300 }

// blame is how often a message was tried that may be what ends appends, else 0.
func (t *trip) blame(l plan.Listed) int {
	if n := t.knownAs(l.Key).Attempts; n >= suspectAttempts {
		return n
	}
	return 0
}

// shutOut is when a message was tried last that waits for its folder, else zero.
func (t *trip) shutOut(l plan.Listed) time.Time {
	if r := t.knownAs(l.Key); awaitsFolder(r) {
		return r.Changed
	}
	return time.Time{}
}

// suspectAlone leaves in todo just the first message at which a session ended
// before, and returns the others; without one there are no others.
func (t *trip) suspectAlone(todo *[]plan.Listed) (rest []plan.Listed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, l := range *todo {
		if t.ended[l.Key] && len(*todo) > 1 && !t.held[l.Key] {
			rest = slices.Concat((*todo)[:i], (*todo)[i+1:])
			*todo = []plan.Listed{l}
			return rest
		}
	}
	return nil
}

// worthAnother reports whether a failed round is to be followed by another.
func (t *trip) worthAnother(ctx context.Context, err error, failures int) bool {
	return ctx.Err() == nil && !t.stood(err) && !errors.Is(t.seat.explain(err), places.ErrStood) && failures <= maxReconnects && t.deadEnds < maxDeadEnds &&
		fault.CodeOf(err) == fault.Temporary && fault.AfterOf(err) <= maxObeyed
}

// reopen gets both connections for the next round after a wait, and the folder as
// it is now.
func (t *trip) reopen(ctx context.Context, wait time.Duration) error {
	t.hangUp() // nothing proves that all it gave is safe (I2)
	t.farewell.Wait()
	if err := t.slot.Sleep(ctx, wait); err != nil {
		return err
	}
	if err := t.lookAgain(ctx); err != nil {
		return err
	}
	if err := t.retry(ctx, func() error { return t.openSource(ctx) }); err != nil {
		return err
	}
	return t.slot.Work(ctx)
}

// lookAgain has the folders seen as they are now: the account's own at once, and others
// when there is need.
func (t *trip) lookAgain(ctx context.Context) error {
	for _, f := range t.folders[1:] {
		f.age()
	}
	if made, err := t.makeAnew(ctx); made || err != nil {
		return err
	}
	if !t.home.now().Exists {
		return t.findHome(ctx)
	}
	err := t.dest.refresh(ctx, t.home)
	if isRefusal(err) && t.mayMakeAnew() { // it may be gone; not all servers say so
		_, err = t.makeAnew(ctx)
	}
	return err
}

// progress grows with every message that is done with, or known to be garbled, or
// to be larger than announced, or read to turn a page, with every folder that proved to have
// mail, with every one that is a suspect from now on, and when it is learned that one at a time
// is safer.
func (t *trip) progress() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.report.Delivered + len(t.held) + t.report.Duplicate + len(t.garbled) + len(t.grown) + t.turnedUp + t.accused +
		len(t.reread)
	if t.oneByOne {
		n++
	}
	return n
}

// establish records that the first pass is complete, and how far the index is.
func (t *trip) establish(ctx context.Context) error {
	if err := t.locateOwn(ctx); err != nil {
		return err
	}
	if err := t.advanceIndex(ctx); err != nil {
		return err
	}
	if err := t.confirmGone(ctx); err != nil {
		return err
	}
	// What was not read, or may still arrive, needs its old name to speak for it.
	if t.renumbered && len(t.unread) == 0 && len(t.parked) == 0 {
		if err := t.ledger.SetFact(ctx, factRenumbered, ""); err != nil {
			return err
		}
	}
	if t.baseline {
		return nil
	}
	return t.ledger.SetFact(ctx, factBaseline, time.Now().UTC().Format(time.RFC3339))
}

// emit tells the observer something of this account.
func (t *trip) emit(ev Event) {
	ev.Account = t.account.Name
	t.engine.emit(ev)
}

func (t *trip) note(format string, args ...any) {
	text := fault.New(fault.OK, format, args...).Message
	t.mu.Lock()
	t.report.Notes = append(t.report.Notes, text)
	t.mu.Unlock()
	t.emit(Event{Kind: Note, Text: text})
}

// sayRefused tells of a login that cost a refused one.
func (t *trip) sayRefused(server, side, mechanism string) {
	switch {
	case mechanism == sasl.External:
		t.noteOnce(fmt.Sprintf("%s refuses the certificate of tls_cert for this user, so that each run costs a refused login: "+
			"leave tls_cert out for the %s, or have the server take the certificate for the user", server, side))
	case mechanism != "":
		t.noteOnce(fmt.Sprintf("%s offers %s and refuses it, so that each run costs a refused login: set auth: plain for the %s",
			server, mechanism, side))
	}
}

// noteOnce notes what may be said again and again in one run.
func (t *trip) noteOnce(text string) {
	t.mu.Lock()
	said := slices.Contains(t.report.Notes, text)
	t.mu.Unlock()
	if !said {
		t.note("%s", text)
	}
}

// listedOf returns the messages of a plan that have the verb, in listing order.
func listedOf(p plan.Plan, verb plan.Verb) []plan.Listed {
	var out []plan.Listed
	for _, a := range p.Actions {
		if a.Verb == verb {
			out = append(out, a.Listed)
		}
	}
	return out
}
