package ferry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// Facts that the journal remembers of an account.
const (
	factBaseline      = "baseline"       // a first pass was completed
	factConfirmDelete = "confirm-delete" // a person agreed to deletions
	factRenumbered    = "renumbered"     // UIDLs changed, and a pass since is not complete
	factLastRun       = "last-run"       // LastRun as JSON
	factClock         = "clock"          // plan.Clock as JSON
)

// trip is the pass over one account.
type trip struct {
	engine  *engine
	account plan.Account
	seat    *seat
	turns   *turns // in a fleet, once it has them
	slot    *slot
	glances bool // look at the source first; see glance
	idle    bool // that was all there was to do
	heldToo bool // try held messages again
	brakes  []*brake
	purses  []*purse

	source     *pop.Maildrop
	session    *session       // of the source
	lost       bool           // the session before, or an attempt to get one, failed
	loginAgain time.Time      // when the POP3 server permits another login
	farewell   sync.WaitGroup // POP3 sessions that are saying QUIT
	quit       atomic.Bool    // one of them did in which something was retrieved
	dest       *link

	home    *folder                // the account's own
	folders []*folder              // all that were opened or may be; home is the first
	byName  map[string]*folder     // those of routes, by configured name
	targets map[string]plan.Target // where messages would go, for a plan, by listing key
	reached bool                   // all that routes lead to are among them

	ledger  journal.Ledger
	lastRun LastRun   // the one before
	opened  time.Time // what the clock said at first
	clock   plan.Clock

	listing     []plan.Listed             // what the maildrop holds now
	byUIDL      []int32                   // indices of the listing, in the order of the UIDLs
	known       map[string]journal.Record // the journal's word on trusted keys, but for those that are
	unchanged   []unchanged               // as they were, in the order of the listing
	baseline    bool                      // a first pass was completed before
	repeats     map[string]bool           // UIDLs that the listing has more than once
	renumbered  bool                      // (almost) no UIDL of the listing is known, though others are
	undeleted   bool                      // deletions in doubt did not take effect, and the names changed
	skipped     int                       // messages that skip_uidls leaves alone
	unnamed     bool                      // UIDLs changed from session to session, and say nothing
	voided      bool                      // that was seen since the round began
	nameless    bool                      // the listing has messages without a lasting name
	inPlan      map[string]bool           // keys of the stored plan
	rounds      int                       // rounds completed before this one
	turned      bool                      // the next listing may be another page of the maildrop
	match       *matcher
	roomAsked   bool
	pending     string // key of the message that an earlier run deleted first, and did not settle
	unreturned  error  // why it could not be put back
	batch       int    // how many messages one has at most
	oneByOne    bool   // the source lost count of its answers
	undeletable int    // messages of which the source refused the deletion
	refusal     error  // of the first of them
	ungiven     error  // why the source gave a held message not to be exported
	unkept      error  // why it could not be kept

	mu             sync.Mutex // guards what follows
	report         AccountReport
	well           bool // it ended without an error
	room           plan.Room
	own            map[string]bool // delivered in it, by key of the record
	got            map[string]FolderReport
	shut           []*folder // those that messages could not be delivered to
	parked         map[string]journal.Record
	doubts         map[string]doubt           // by key of the record
	held           map[string]bool            // reported as held in this run, by listing key
	heldRow        map[string]int             // where the report has them
	exported       map[string]bool            // their export was tried
	shortened      map[string]message.Summary // arrived too short, by listing key
	rereads        []plan.Listed              // to be read a second time: of these, or put off
	later          map[string]bool            // put off until all others are matched, by listing key
	altered        int                        // recognised in a copy that the destination altered
	ended          map[string]bool            // a POP3 session ended while it was read, by listing key
	deadEnds       int                        // messages in a row that ended their sessions
	badTops        int                        // answers to TOP that did so because their end was none
	unread         map[int64]bool             // sizes of messages that the source does not give: nobody knows what they are
	grown          map[string]int64           // at least as large, whatever LIST said, by listing key
	garbled        map[string]bool            // spoil the POP3 session when asked for, by listing key
	refusing       bool                       // messages were refused in this round
	silenced       int                        // messages held in a row over which the destination ended its connection
	accused        int                        // messages that became suspects by a refusal
	gone           bool                       // the destination says that the account's folder is not there
	madeAnew       bool                       // and it was looked for since, and made
	paused         bool                       // the destination wanted a pause in this round
	choked         bool                       // it ended the connection amid a message in this round
	unsure         bool                       // a message may be there that the journal has as held, or as not sent
	unexplained    int                        // messages in a row refused without a reason
	turnedUp       int                        // folders that were missing had mail when they were made
	off            int                        // messages that were shorter than listed, twice the same
	sizes          sizes                      // how far those of LIST are right
	cutOff         int                        // messages that seem to be cut off, and were delivered
	firstCutOff    string                     // the first of these
	unlocatedNoted map[string]bool            // folders that factUnlocated has
	recognised     map[string]bool            // records counted as known, or false: as duplicate; by key
	undone         int                        // messages that are there although QUIT, which was to delete them, was answered
	settled        int                        // listed messages whose open append was found to have arrived
	ordinals       map[string]int             // of content keys given in this trip

	silent bool   // do not record how this ended: it was no run
	undoes bool   // it brings nothing, and takes back
	origin string // of records made from found mail; empty: found
}

// session counts what was retrieved in a POP3 session and how much of that is
// delivered or held by now: unless they are equal it must not end in QUIT (I2).
type session struct {
	retrieved, resolved int
	topped              bool // a TOP was sent
	// tops has the headers that the glance asked for, by listing key; noTop says that there
	// are none to be had.
	tops  map[string]message.Summary
	noTop bool
}

// newTrip makes a trip that has a slot and a place at its source, and unless it glances
// there first, its folders and a place at the destination.
func newTrip(e *engine, r request, given *slot, sources []string) *trip {
	a := r.account
	a.Destination.Wrap = given.feel
	t := &trip{
		engine: e, account: a, slot: given, brakes: e.brakesOf(a), purses: e.pursesOf(a),
		glances: r.glance, heldToo: e.Held || r.held, opened: e.Clock(), batch: batchMessages,
		report: AccountReport{Name: a.Name},
		parked: map[string]journal.Record{}, doubts: map[string]doubt{}, ordinals: map[string]int{}, own: map[string]bool{},
		held: map[string]bool{}, heldRow: map[string]int{}, exported: map[string]bool{},
		garbled: map[string]bool{}, unread: map[int64]bool{}, grown: map[string]int64{}, ended: map[string]bool{}, recognised: map[string]bool{},
		shortened: map[string]message.Summary{}, room: unlimited(),
		byName: map[string]*folder{}, targets: map[string]plan.Target{}, got: map[string]FolderReport{},
		unlocatedNoted: map[string]bool{},
	}
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
	t.refusing, t.paused, t.choked = false, false, false
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
	clear(t.heldRow)
}

// run is the whole pass.
func (t *trip) run(ctx context.Context) error {
	err := t.seat.explain(t.pass(ctx))
	t.sayCutOff()
	return errors.Join(t.concludeExport(err), err, t.unreturned, t.refusals())
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
	for failures := 0; ; {
		before := t.progress()
		err := t.round(ctx)
		if errors.Is(err, errUnnamed) {
			t.rounds++
			continue
		}
		switch {
		case err == nil && len(t.parked) == 0 && (t.progress() == before || !t.looksLikePage()):
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
		case err == nil && len(t.parked) == 0:
			failures, t.turned = 0, true
		case err == nil:
			if err := t.waitToSettle(ctx); err != nil {
				return err
			}
		case t.progress() > before:
			failures = 1
		default:
			failures++
		}
		if err != nil && !t.worthAnother(ctx, err, failures) {
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
	if err := t.carryAll(ctx, listedOf(p, plan.Copy)); err != nil {
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
	// nobody.
	slices.SortStableFunc(todo, func(a, b plan.Listed) int {
		return cmp.Compare(t.blame(a), t.blame(b))
	})
	todo, vast := t.spoolable(todo)
	if err := t.carryFitting(ctx, todo); err != nil {
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
		if err := t.carry(ctx, todo); err != nil {
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
	return ctx.Err() == nil && !errors.Is(t.seat.explain(err), errStood) && failures <= maxReconnects && t.deadEnds < maxDeadEnds &&
		fault.CodeOf(err) == fault.Temporary && fault.AfterOf(err) <= maxObeyed
}

// reopen gets both connections for the next round after a wait, and the folder as
// it is now.
func (t *trip) reopen(ctx context.Context, wait time.Duration) error {
	t.hangUp() // nothing proves that all it gave is safe (I2)
	t.farewell.Wait()
	if err := sleep(ctx, wait); err != nil {
		return err
	}
	if err := t.lookAgain(ctx); err != nil {
		return err
	}
	if err := t.engine.retry(ctx, func() error { return t.openSource(ctx) }); err != nil {
		return err
	}
	return t.slot.work(ctx)
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
	err := t.dest.refresh(ctx, t.home)
	if isRefusal(err) && t.mayMakeAnew() { // it may be gone; not all servers say so
		_, err = t.makeAnew(ctx)
	}
	return err
}

// progress grows with every message that is done with, or known to be garbled, or
// to be larger than announced, with every folder that proved to have mail, with every one
// that is a suspect from now on, and when it is learned that one at a time is safer.
func (t *trip) progress() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.report.Delivered + t.report.Held + t.report.Duplicate + len(t.garbled) + len(t.grown) + t.turnedUp + t.accused
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
