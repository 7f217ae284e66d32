package ferry

import (
	"context"
	"time"

	"github.com/popferry/popferry/internal/places"
)

const (
	// keptAge is how old a kept connection may become, so that a login that is no longer good, or a new
	// certificate, shows.
	keptAge = time.Hour
	// resumeLimit is how long a kept connection may take to show the folder: one that
	// was lost in between says nothing at all.
	resumeLimit = 10 * time.Second
)

// resume goes on with the connection of the pass before, if it still lives.
func (l *link) resume(ctx context.Context) bool {
	k := l.trip.engine.hosts.Resume(l.trip.engine, l.trip.account.Name)
	if k == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, resumeLimit)
	defer cancel()
	return l.board(ctx, k.Conn, k.Opened) == nil
}

// keep keeps the connection of a trip that ended well for the next pass.
func (l *link) keep() bool {
	t, conn := l.trip, l.get()
	if !t.engine.keeps || !t.well || l.bonus || !l.placed || conn == nil || !conn.Rests() ||
		time.Since(l.opened) > keptAge {
		return false
	}
	l.passOn(conn)
	l.placed = false
	t.engine.hosts.Strike(l)
	t.engine.hosts.Keep(&places.Kept{Owner: t.engine, Account: t.account.Name, Places: l.places,
		Conn: conn, Opened: l.opened})
	return true
}
