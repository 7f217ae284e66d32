package imapdst

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
)

const (
	// quietLimit ends a command during which nothing moves in either direction.
	quietLimit = 2 * time.Minute
	// talkLimit ends one during which the server says much and answers nothing: that it is
	// still there, or how many messages there are. An APPEND that may take longer does.
	talkLimit = 12 * time.Minute
	// logoutLimit is how long Close waits for the server's good-bye.
	logoutLimit = 3 * time.Second
	// staleAfter is how long a connection may lie idle before an APPEND asks
	// first whether it still lives: a batch that is written into a dead one has
	// an unknown outcome.
	staleAfter = 30 * time.Second
)

// Conn is a session with one account. Append and Wait may run at the same time
// in two goroutines; all other methods are for one goroutine at a time, which
// may be beside those two.
type Conn struct {
	wire   *wire.Conn
	guard  *guard
	client *imapclient.Client
	trips  atomic.Int64
	// mechanism is how the session logged in.
	mechanism, refusedWay string
	leftOut               bool // our certificate, which is another's

	// turn is held while a command is written, so that none starts in the middle
	// of another. It is never held while waiting for an answer, other than "+".
	turn lock
	// mailbox is held by whoever opens, reads or leaves a mailbox, so that none
	// closes what another reads. It is taken before turn.
	mailbox lock
	stream  *stream // what Append writes to

	appended  atomic.Bool // something was sent to be stored
	noExamine atomic.Bool // SELECT opens what is only read, too

	forbidden Forbidden

	mu       sync.Mutex // guards what follows
	caps     Capabilities
	selected string           // mailbox of the last EXAMINE or SELECT
	writable bool             // and whether it can be changed
	layout   *layout          // how names are built here, once known
	lastUID  map[place]uint32 // the last UID that an APPEND was told
}

// lock is a mutex. It is a channel because both are waited for while a server is
// silent, and simulated time passes only while all wait for something like that
// (testing/synctest).
type lock chan struct{}

func newLock() lock { return make(lock, 1) }

func (l lock) Lock() { l <- struct{}{} }

func (l lock) Unlock() { <-l }

// place is a mailbox during one period of its UIDs (RFC 3501 §2.3.1.1).
type place struct {
	mailbox  string
	validity uint32
}

func newConn(conn *wire.Conn, l *login) *Conn {
	c := &Conn{
		wire: conn, guard: newGuard(conn, l), caps: l.caps, lastUID: map[place]uint32{},
		mechanism: l.mechanism, refusedWay: l.refusedWay,
		turn: newLock(), mailbox: newLock(), forbidden: l.options.Forbidden,
	}
	c.trips.Store(int64(l.trips))
	c.stream = newStream(c.guard)
	c.client = imapclient.New(c.guard, nil)
	return c
}

// Capabilities returns what the server can do, without the extensions that it
// offered and then did not understand.
func (c *Conn) Capabilities() Capabilities {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.caps
}

// Mechanism is how the session logged in: the name of a SASL mechanism, or "LOGIN
// command".
func (c *Conn) Mechanism() string { return c.mechanism }

// RefusedWay is the mechanism, SCRAM or EXTERNAL, that the server offered and refused before
// another one was good, or "".
func (c *Conn) RefusedWay() string { return c.refusedWay }

// ShowedCertificate reports that the server asked for a client certificate, and saw ours.
func (c *Conn) ShowedCertificate() bool { return c.wire.ShowedCertificate() }

// LeftOut reports that the certificate was not shown, though the server asks for one: it offers
// no login by it, and who logged in is not whom it is for.
func (c *Conn) LeftOut() bool { return c.leftOut }

// RoundTrips is how often we waited for the server.
func (c *Conn) RoundTrips() int { return int(c.trips.Load()) }

// begin brackets one command or a group of them: until end is called, ctx and
// the limit on silence may break the connection. Behind a batch that the server
// is still storing, every answer may take as long as that one's.
func (c *Conn) begin(ctx context.Context, quiet time.Duration) (end func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, c.guard.fail(fault.Stopped("%s: %w", c.wire.Address(), err))
	}
	if err := c.wire.Broken(); err != nil {
		return nil, err
	}
	if c.guard.router.busy() {
		quiet = max(quiet, completionLimit)
	}
	stop := c.wire.Begin(ctx)
	dog := watch(c.guard, quiet)
	return func() { dog(); stop() }, nil
}

// send runs what writes go-imap's commands, in one piece.
func (c *Conn) send(commands func()) {
	c.turn.Lock()
	defer c.turn.Unlock()
	commands()
	c.trips.Add(1)
}

// noop asks whether the connection still lives, and lets the server tell what
// changed (RFC 3501 §6.1.2).
func (c *Conn) noop(ctx context.Context) error {
	end, err := c.begin(ctx, quietLimit)
	if err != nil {
		return err
	}
	defer end()
	var noop *imapclient.Command
	c.send(func() { noop = c.client.Noop() })
	return c.commandError("answer NOOP", noop.Wait())
}

// Close says LOGOUT (RFC 3501 §6.1.3), waits a moment for the answer and closes
// the connection.
func (c *Conn) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), logoutLimit)
	defer cancel()
	if end, err := c.begin(ctx, logoutLimit); err == nil {
		c.guard.leaving()
		var logout *imapclient.Command
		c.send(func() { logout = c.client.Logout() })
		// The answer changes nothing: the connection is closed either way.
		_ = logout.Wait()
		end()
	}
	c.Abort()
	<-c.client.Closed()
	return nil
}

// Abort closes the connection at once and ends every wait on it.
func (c *Conn) Abort() {
	c.guard.fail(fault.Stopped("connection to %s was closed", c.wire.Address()))
}

// Break is Abort for a reason that those who wait are told.
func (c *Conn) Break(why *fault.Error) { c.guard.fail(why) }

// watchdog breaks the connection when nothing moves for too long, or nothing that counts.
type watchdog struct {
	guard   *guard
	limit   time.Duration
	talk    time.Duration
	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

// ErrStalled is the cause where the server says nothing, or next to nothing, for too long.
var ErrStalled = wire.ErrStalled

// Stall is a wait in vain.
type Stall = wire.Stall

// noAnswer is the error of a server that says nothing for so long.
func noAnswer(address string, limit time.Duration) *fault.Error {
	err := fault.New(fault.Temporary, "%s did not answer for %s", address, fault.Span(limit)).
		WithHint("the server may be overloaded; try again later")
	err.Err = &Stall{For: limit}
	return err
}

func watch(g *guard, limit time.Duration) (stop func()) {
	g.serve()
	d := &watchdog{guard: g, limit: limit, talk: max(limit, talkLimit)}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timer = time.AfterFunc(limit, d.check)
	return d.stop
}

func (d *watchdog) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	d.timer.Stop()
}

func (d *watchdog) check() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return
	}
	quiet, unserved := d.guard.quiet(), d.guard.unserved()
	switch {
	case quiet >= d.limit:
		d.guard.fail(noAnswer(d.guard.conn.Address(), d.limit))
	case unserved >= d.talk:
		d.guard.fail(noAnswer(d.guard.conn.Address(), d.talk))
	default:
		d.timer.Reset(min(d.limit-quiet, d.talk-unserved))
	}
}
