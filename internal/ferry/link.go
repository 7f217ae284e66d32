package ferry

import (
	"context"
	"sync"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
)

// link is a connection to the destination with its folder open. It survives the
// loss of the connection: whoever meets a dead one renews it, once for all.
type link struct {
	trip   *trip
	create bool // make the folder if it is missing
	mu     sync.Mutex
	conn   *imapdst.Conn
	box    imapdst.Folder
}

// dialLink connects and opens the folder, making it when create is set.
func (t *trip) dialLink(ctx context.Context, create bool) (*link, error) {
	l := &link{trip: t, create: create}
	if err := l.dial(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *link) dial(ctx context.Context) error {
	conn, err := l.trip.engine.DialDestination(ctx, l.trip.account)
	if err != nil {
		return err
	}
	if l.conn != nil {
		conn.Distrust(l.conn)
	}
	box, err := conn.Folder(ctx, l.trip.account.Folder, l.create)
	if err != nil {
		l.hangUp(conn)
		return err
	}
	l.conn, l.box = conn, box
	return nil
}

func (l *link) get() (*imapdst.Conn, imapdst.Folder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn, l.box
}

// renew replaces the connection unless somebody already did: dead is the one
// that the caller found dead.
func (l *link) renew(ctx context.Context, dead *imapdst.Conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != dead {
		return nil
	}
	l.hangUp(dead)
	before := l.box.UIDValidity
	err := l.trip.engine.retry(ctx, func() error { return l.dial(ctx) })
	if err == nil && l.box.UIDValidity != before {
		return fault.New(fault.Temporary, "UIDVALIDITY of %s changed during the run",
			l.box.Name).WithHint("somebody recreated the folder; run again")
	}
	return err
}

// do runs a read-only question, and once more on a new connection if the first
// one breaks. That a server lost the thread counts too: mailutils 3.15 announces
// twice the size when it is asked for some messages a second time in a session.
func (l *link) do(ctx context.Context, ask func(*imapdst.Conn, imapdst.Folder) error) error {
	conn, box := l.get()
	err := ask(conn, box)
	code := fault.CodeOf(err)
	if code != fault.Temporary && code != fault.Protocol || ctx.Err() != nil {
		return err
	}
	if err := l.renew(ctx, conn); err != nil {
		return err
	}
	return ask(l.get())
}

// refresh makes the destination show what arrived since the folder was opened,
// on a new connection if the old one is dead.
func (l *link) refresh(ctx context.Context) error {
	conn, box := l.get()
	fresh, err := conn.Refresh(ctx, box)
	if err == nil {
		l.mu.Lock()
		l.box = fresh
		l.mu.Unlock()
		return nil
	}
	if fault.CodeOf(err) != fault.Temporary || ctx.Err() != nil {
		return err
	}
	return l.renew(ctx, conn)
}

func (l *link) close() {
	conn, _ := l.get()
	l.hangUp(conn)
}

// hangUp ends a connection and passes on what the server wanted people to know.
func (l *link) hangUp(conn *imapdst.Conn) {
	for _, text := range conn.Notices() {
		l.trip.noteOnce(text)
	}
	conn.Close()
}
