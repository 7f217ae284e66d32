package ferry

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/places"
)

// link is a connection to the destination with the account's own folder open. It
// survives the loss of the connection: whoever meets a dead one renews it, once for
// all. It has a place at the server, which it gives to others while it waits for the
// source.
type link struct {
	trip   *trip
	home   *folder
	create bool     // make the folder if it is missing
	bonus  bool     // do without it once its place is given away
	base   []string // what it counts under, but for the share of slow accounts
	places []string

	giveWay atomic.Pointer[context.CancelCauseFunc] // ends the login that is under way
	sent    atomic.Bool                             // its credentials were
	busy    atomic.Int32                            // questions and batches under way
	leaving atomic.Bool                             // its place is about to be given away

	// turn is full while somebody connects or hangs up; nobody else does, or looks at
	// the place.
	turn   chan struct{}
	placed bool
	times  int  // that the place was given away
	lost   bool // the connection before, or an attempt to get one, failed

	mu     sync.Mutex // guards what follows
	conn   *imapdst.Conn
	opened time.Time
}

// errGaveWay is the cause when a login was given up in favour of another account.
var errGaveWay = errors.New("gave way")

// newLink returns a link that has its places already, or none yet.
func (t *trip) newLink(places []string, placed bool) *link {
	l := &link{trip: t, home: &folder{name: t.account.Folder}, base: places, places: places,
		placed: placed, turn: make(chan struct{}, 1)}
	if placed {
		t.engine.hosts.Enlist(l)
	}
	return l
}

// At implements [places.Holder].
func (l *link) At(place string) bool { return slices.Contains(l.base, place) }

func (l *link) address() string { return l.trip.account.Destination.Address() }

// open connects and opens the folder, making it when create is set.
func (l *link) open(ctx context.Context, create bool) error {
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.unlock()
	l.create = create
	return l.dial(ctx)
}

// lock takes the turn. Whoever has it may wait for a server.
func (l *link) lock(ctx context.Context) error {
	if l.tryLock() {
		return nil
	}
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *link) tryLock() bool {
	select {
	case l.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

func (l *link) unlock() { <-l.turn }

// dial connects. A login that the server does not get on with gives way to accounts
// that have not begun, and comes again once none of them needs the place: one that is
// only slow gets in all the same.
func (l *link) dial(ctx context.Context) error {
	for await := l.trip.engine.hosts.Await; ; await = l.trip.engine.hosts.AwaitLast {
		if err := l.trip.engine.gates.Pass(ctx, l.trip.slot, l.address(), l.lost); err != nil {
			return err
		}
		if err := l.place(ctx, await); err != nil {
			return err
		}
		err := l.connect(ctx)
		if !errors.Is(err, errGaveWay) {
			l.trip.engine.gates.Learn(l.address(), isCommon(err))
			l.lost = err != nil
		}
		if err == nil {
			return nil
		}
		l.unplace()
		if !errors.Is(err, errGaveWay) {
			return err
		}
	}
}

func (l *link) place(ctx context.Context, await func(context.Context, ...string) error) error {
	if l.placed {
		return nil
	}
	l.places = l.trip.engine.destinationPlaces(l.trip.account)
	defer l.trip.slot.Rest()()
	if err := await(ctx, l.places...); err != nil {
		return err
	}
	l.placed = true
	l.trip.seat.waited()
	l.trip.engine.hosts.Enlist(l)
	return nil
}

func (l *link) unplace() {
	if l.placed {
		l.placed = false
		l.trip.engine.hosts.Strike(l)
		l.trip.engine.hosts.Release(l.places...)
	}
}

func (l *link) connect(ctx context.Context) error {
	l.trip.slot.Beat()
	if l.resume(ctx) {
		return nil
	}
	l.trip.engine.hosts.MakeRoom(l.places)
	ctx, giveWay := context.WithCancelCause(ctx)
	defer giveWay(nil)
	l.trip.slot.Beat() // until now nobody waited for the server
	l.giveWay.Store(&giveWay)
	defer l.giveWay.Store(nil)
	err := l.enter(ctx)
	if cause := context.Cause(ctx); err != nil && (cause == errGaveWay || errors.Is(cause, places.ErrStood)) {
		return cause
	}
	return err
}

func (l *link) enter(ctx context.Context) error {
	account := l.trip.account
	account.Destination.BeforeLogin = l.enters
	conn, err := l.trip.engine.DialDestination(ctx, account)
	l.sent.Store(false)
	if err != nil {
		return err
	}
	return l.board(ctx, conn, time.Now())
}

// enters is called before credentials are sent.
func (l *link) enters() error {
	l.sent.Store(true)
	return nil
}

// board looks at the folder and makes the connection the link's.
func (l *link) board(ctx context.Context, conn *imapdst.Conn, opened time.Time) error {
	l.trip.sayRefused("IMAP server "+l.address(), "destination", conn.RefusedWay())
	l.trip.sawCertificate("IMAP server", l.trip.account.Destination, conn.TLS)
	l.trip.engine.Learned.SawServer(l.address())
	l.trip.sawCredentials("destination", l.trip.account.Destination)
	if old := l.get(); old != nil {
		conn.Distrust(old)
	}
	box, err := conn.Folder(ctx, l.trip.account.Folder, l.create)
	if err == nil {
		err = Countable(l.address(), box)
	}
	if err == nil {
		err = ctx.Err() // its end may have broken the connection behind the last answer
	}
	if err != nil {
		l.hangUp(conn)
		return err
	}
	l.home.set(box)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn, l.opened = conn, opened
	return nil
}

// Yield implements [places.Holder]: where the trip waits for its source and nothing is under way
// here, and where the server says nothing for too long.
func (l *link) Yield(w places.Wish) bool {
	quiet := l.trip.slot.QuietAt(l.trip.account.Destination.Host)
	patience := l.trip.engine.slots.Patience()
	if giveWay := l.giveWay.Load(); giveWay != nil {
		return l.yieldLogin(*giveWay, w, quiet)
	}
	if l.leaving.Load() {
		return true
	}
	if !l.tryLock() {
		return false
	}
	if l.busy.Load() > 0 {
		l.unlock()
		return w == places.WishGoOn && (l.yieldAnswer(quiet) || l.trip.slot.Cede())
	}
	if l.get() == nil || !l.placed ||
		quiet < patience<<min(l.times, places.MaxShift) {
		defer l.unlock()
		return l.placed && w == places.WishGoOn && l.trip.slot.Cede()
	}
	l.times++
	l.leaving.Store(true)
	go l.giveAway()
	return true
}

// yieldLogin ends a login that takes too long: for an account that has not begun it comes again
// in the same pass, for one that goes on the pass is over.
func (l *link) yieldLogin(end context.CancelCauseFunc, w places.Wish, quiet time.Duration) bool {
	var cause error
	var patience time.Duration
	switch {
	case w == places.WishBegin:
		cause, patience = errGaveWay, l.trip.engine.slots.Patience()
	case w == places.WishGoOn && l.trip.engine.keeps:
		cause = places.Standstill("IMAP server "+l.address(), quiet)
		patience = l.trip.engine.standing.Patience(l.trip.account.Name, l.address(), places.StandFor)
	default:
		return false
	}
	if quiet < patience || l.sent.Load() && !l.trip.engine.Learned.GiveUp(l.trip.account.Destination) {
		return false
	}
	end(cause)
	return true
}

// yieldStill ends what is under way where the server says nothing for too long.
func (l *link) yieldStill() bool {
	quiet := l.trip.slot.QuietAt(l.trip.account.Destination.Host)
	if giveWay := l.giveWay.Load(); giveWay != nil {
		return l.yieldLogin(*giveWay, places.WishGoOn, quiet)
	}
	return l.busy.Load() > 0 && l.yieldAnswer(quiet)
}

// appendFor is for how long the answer to an append may be waited for while others want the
// connection: longer than for anything else, since servers look into what they take, and it is
// dear to find out what became of it.
const appendFor = 6 * places.StandFor

// yieldAnswer ends the connection of a fleet's trip, and with it the pass, where the server says
// nothing to a question or a batch. What became of the batch is settled as after any loss.
func (l *link) yieldAnswer(quiet time.Duration) bool {
	patience := l.trip.engine.standing.Patience(l.trip.account.Name, l.address(), appendFor)
	conn := l.get()
	if !l.trip.engine.keeps || conn == nil || quiet < patience {
		return false
	}
	conn.Break(places.Standstill("IMAP server "+l.address(), quiet))
	return true
}

// note takes in how a round or the pass ended: whether the server, and not the source, left the
// trip standing.
func (l *link) note(err error) {
	longest := time.Duration(0)
	if (errors.Is(err, imapdst.ErrStalled) || errors.Is(err, places.ErrStood)) && !l.trip.seat.isSlow() {
		longest = places.StandFor
	}
	if longest > 0 || err == nil && l.get() != nil {
		l.trip.engine.standing.Note(l.trip.account.Name, l.address(), err == nil, longest)
	}
}

// giveAway closes the connection first: the place is for the next one.
func (l *link) giveAway() {
	defer l.unlock()
	defer l.leaving.Store(false)
	defer l.unplace()
	_ = fault.Guard(func() error { l.hangUp(l.get()); return nil }) // whatever happens, it is over
}

// errBonus is why a link that is dispensable is not opened again.
var errBonus = errors.New("dispensable")

// use returns the connection for a question or a batch, a new one if its place was
// given away; it keeps its place until done is called.
func (l *link) use(ctx context.Context) (conn *imapdst.Conn, done func(), err error) {
	if err := l.lock(ctx); err != nil {
		return nil, nil, err
	}
	defer l.unlock()
	if !l.placed {
		if l.bonus {
			return nil, nil, errBonus
		}
		if err := l.again(ctx); err != nil {
			return nil, nil, err
		}
	}
	l.busy.Add(1)
	return l.get(), func() { l.busy.Add(-1) }, nil
}

func (l *link) get() *imapdst.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn
}

// renew replaces the connection unless somebody already did: dead is the one
// that the caller found dead.
func (l *link) renew(ctx context.Context, dead *imapdst.Conn) error {
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.unlock()
	if l.get() != dead {
		return nil
	}
	l.hangUp(dead)
	l.lost = true
	l.unplace() // others may have waited for it long
	return l.again(ctx)
}

// again connects once more and looks whether the folder is the same.
func (l *link) again(ctx context.Context) error {
	before := l.home.now()
	err := l.trip.retry(ctx, func() error { return l.dial(ctx) })
	if before.Exists {
		err = doubted(err)
	}
	if box := l.home.now(); err == nil && box.UIDValidity != before.UIDValidity {
		err = fault.New(fault.Temporary, "UIDVALIDITY of %s changed during the run",
			box.Name).WithHint("somebody recreated the folder; run again")
	}
	if err != nil {
		return offline{err}
	}
	return nil
}

// offline is the error of a connection that could not be had: no question is why.
type offline struct{ error }

func (o offline) Unwrap() error { return o.error }

// do runs a question about a folder, which may be asked again, and once more on a new
// connection if the first one breaks. That a server lost the thread counts too: mailutils 3.15 announces
// twice the size when it is asked for some messages a second time in a session.
func (l *link) do(ctx context.Context, f *folder, ask func(*imapdst.Conn, imapdst.Folder) error) error {
	conn, err := l.ask(ctx, f, ask)
	code := fault.CodeOf(err)
	if conn == nil || code != fault.Temporary && code != fault.Protocol || ctx.Err() != nil || l.trip.stood(err) {
		return err
	}
	if err := l.renew(ctx, conn); err != nil {
		return err
	}
	_, err = l.ask(ctx, f, ask)
	return err
}

// ask asks once, and returns the connection, or nil if there was none to be had.
func (l *link) ask(ctx context.Context, f *folder, ask func(*imapdst.Conn, imapdst.Folder) error) (*imapdst.Conn, error) {
	conn, done, err := l.use(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return conn, ask(conn, f.now())
}

// refresh makes the destination show what arrived since the folder was opened,
// on a new connection if the old one is dead.
func (l *link) refresh(ctx context.Context, f *folder) error {
	look := func(c *imapdst.Conn, box imapdst.Folder) error {
		fresh, err := c.Refresh(ctx, box)
		if err == nil {
			f.set(fresh)
		}
		return err
	}
	conn, err := l.ask(ctx, f, look)
	if conn == nil || fault.CodeOf(err) != fault.Temporary || ctx.Err() != nil || l.trip.stood(err) {
		return err
	}
	if err := l.renew(ctx, conn); err != nil || f == l.home {
		return err
	}
	_, err = l.ask(ctx, f, look)
	return err
}

// close ends the connection, unless it is kept, and gives its place back.
func (l *link) close() {
	l.turn <- struct{}{}
	defer l.unlock()
	if l.keep() {
		return
	}
	if conn := l.get(); conn != nil && l.placed {
		l.hangUp(conn)
	}
	l.unplace()
}

// hangUp ends a connection.
func (l *link) hangUp(conn *imapdst.Conn) {
	l.passOn(conn)
	conn.Close()
}

// passOn tells what the server wanted people to know.
func (l *link) passOn(conn *imapdst.Conn) {
	for _, text := range conn.Notices() {
		l.trip.noteOnce(text)
	}
}
