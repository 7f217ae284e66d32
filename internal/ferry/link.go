package ferry

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
)

// link is a connection to the destination with the account's own folder open. It
// survives the loss of the connection: whoever meets a dead one renews it, once for
// all. It has a place at the server, which it gives to others while it waits for the
// source.
type link struct {
	trip   *trip
	home   *folder
	create bool // make the folder if it is missing
	bonus  bool // do without it once its place is given away
	places []string

	giveWay atomic.Pointer[context.CancelCauseFunc] // ends the login that is under way
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

// newLink returns a link that has a place already, or none yet.
func (t *trip) newLink(placed bool) *link {
	l := &link{trip: t, home: &folder{name: t.account.Folder}, places: t.engine.destinationPlaces(t.account),
		placed: placed, turn: make(chan struct{}, 1)}
	if placed {
		t.engine.hosts.enlist(l)
	}
	return l
}

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
	for await := l.trip.engine.hosts.await; ; await = l.trip.engine.hosts.awaitLast {
		if err := l.trip.engine.gates.pass(ctx, l.address(), l.lost); err != nil {
			return err
		}
		if err := l.place(ctx, await); err != nil {
			return err
		}
		err := l.connect(ctx)
		if !errors.Is(err, errGaveWay) {
			l.trip.engine.gates.learn(l.address(), err)
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
	if err := await(ctx, l.places...); err != nil {
		return err
	}
	l.placed = true
	l.trip.engine.hosts.enlist(l)
	return nil
}

func (l *link) unplace() {
	if l.placed {
		l.placed = false
		l.trip.engine.hosts.strike(l)
		l.trip.engine.hosts.release(l.places...)
	}
}

func (l *link) connect(ctx context.Context) error {
	ctx, giveWay := context.WithCancelCause(ctx)
	defer giveWay(nil)
	l.trip.slot.beat()
	l.giveWay.Store(&giveWay)
	defer l.giveWay.Store(nil)
	err := l.enter(ctx)
	if err != nil && context.Cause(ctx) == errGaveWay {
		return errGaveWay
	}
	return err
}

func (l *link) enter(ctx context.Context) error {
	if l.resume(ctx) {
		return nil
	}
	l.trip.engine.hosts.makeRoom(l.places)
	conn, err := l.trip.engine.DialDestination(ctx, l.trip.account)
	if err != nil {
		return err
	}
	return l.board(ctx, conn, time.Now())
}

// board looks at the folder and makes the connection the link's.
func (l *link) board(ctx context.Context, conn *imapdst.Conn, opened time.Time) error {
	l.trip.sayRefused("IMAP server "+l.address(), "destination", conn.RefusedWay())
	l.trip.sawCertificate("IMAP server", l.trip.account.Destination, conn.TLS)
	l.trip.sawCredentials("destination", l.trip.account.Destination)
	if old := l.get(); old != nil {
		conn.Distrust(old)
	}
	box, err := conn.Folder(ctx, l.trip.account.Folder, l.create)
	if err == nil {
		err = Countable(l.address(), box)
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

// yield gives the place to another account if the trip waits for its source and
// nothing is under way here; and a login that takes too long, if that one is fresh.
// It reports whether a place is about to be free.
func (l *link) yield(fresh bool) bool {
	quiet := l.trip.slot.quietAt(l.trip.account.Destination.Host)
	patience := l.trip.engine.slots.patience()
	if giveWay := l.giveWay.Load(); giveWay != nil {
		if !fresh || quiet < patience {
			return false
		}
		(*giveWay)(errGaveWay)
		return true
	}
	if l.leaving.Load() {
		return true
	}
	if !l.tryLock() {
		return false
	}
	if l.busy.Load() > 0 || l.get() == nil || !l.placed ||
		quiet < patience<<min(l.times, maxShift) {
		l.unlock()
		return false
	}
	l.times++
	l.leaving.Store(true)
	go l.giveAway()
	return true
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
	return l.again(ctx)
}

// again connects once more and looks whether the folder is the same.
func (l *link) again(ctx context.Context) error {
	before := l.home.now()
	err := l.trip.engine.retry(ctx, func() error { return l.dial(ctx) })
	if before.Exists {
		err = doubted(err)
	}
	if box := l.home.now(); err == nil && box.UIDValidity != before.UIDValidity {
		return fault.New(fault.Temporary, "UIDVALIDITY of %s changed during the run",
			box.Name).WithHint("somebody recreated the folder; run again")
	}
	return err
}

// do runs a question about a folder, which may be asked again, and once more on a new
// connection if the first one breaks. That a server lost the thread counts too: mailutils 3.15 announces
// twice the size when it is asked for some messages a second time in a session.
func (l *link) do(ctx context.Context, f *folder, ask func(*imapdst.Conn, imapdst.Folder) error) error {
	conn, err := l.ask(ctx, f, ask)
	code := fault.CodeOf(err)
	if conn == nil || code != fault.Temporary && code != fault.Protocol || ctx.Err() != nil {
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
	if conn == nil || fault.CodeOf(err) != fault.Temporary || ctx.Err() != nil {
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
