package ferry

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/popferry/popferry/imapdst"
)

const (
	// keptFor is for how long a fleet keeps the connection of a pass for the next one.
	// While mail flows that comes sooner; servers wait for half an hour (RFC 3501 §5.4).
	keptFor = 5 * time.Minute
	// keptAge is how old it may become, so that a login that is no longer good, or a new
	// certificate, shows.
	keptAge = time.Hour
	// resumeLimit is how long a kept connection may take to show the folder: one that
	// was lost in between says nothing at all.
	resumeLimit = 10 * time.Second
)

// keptConn is a connection to a destination between two passes: the next one saves the
// login. It counts at its server, and makes room as soon as somebody else needs its place.
type keptConn struct {
	fleet   *engine // whose configuration it was opened by
	account string
	places  []string
	conn    *imapdst.Conn
	opened  time.Time
	expiry  *time.Timer
}

// keep makes a place in use that of a kept connection: who needs it next has it at once.
func (h *hosts) keep(k *keptConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k.expiry = time.AfterFunc(keptFor, func() {
		h.dismiss(h.drop(func(other *keptConn) bool { return other == k }))
	})
	h.kept = append(h.kept, k)
	h.releaseLocked(k.places)
}

// resume returns what an account kept, for the place that it took, or nil.
func (h *hosts) resume(fleet *engine, account string) *keptConn {
	own := h.drop(func(k *keptConn) bool { return k.fleet == fleet && k.account == account })
	if len(own) == 0 {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.partLocked(own[0], -1) // it is in use
	h.parted.Broadcast()
	return own[0]
}

// makeRoom closes kept connections for one that has its places, and waits until those are
// closed, too, that others close meanwhile: a server may take its time to say goodbye.
func (h *hosts) makeRoom(places []string) {
	for _, p := range places {
		h.dismiss(h.surplus(p))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for slices.ContainsFunc(places, func(p string) bool { return h.parting[p] > 0 && h.surplusLocked(p) > 0 }) {
		h.parted.Wait()
	}
}

func (h *hosts) surplus(place string) []*keptConn {
	h.mu.Lock()
	defer h.mu.Unlock()
	there := func(k *keptConn) bool { return slices.Contains(k.places, place) }
	over := h.surplusLocked(place) - h.parting[place]
	return h.dropLocked(func(k *keptConn) bool {
		if over <= 0 || !there(k) {
			return false
		}
		over--
		return true
	})
}

// forget closes what a fleet kept.
func (h *hosts) forget(fleet *engine) {
	h.dismiss(h.drop(func(k *keptConn) bool { return k.fleet == fleet }))
}

// dismiss closes what was dropped.
func (h *hosts) dismiss(dropped []*keptConn) {
	closeAll(dropped)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range dropped {
		h.partLocked(k, -1)
	}
	h.parted.Broadcast()
}

// partLocked counts a connection that is not kept any more, and not closed yet.
func (h *hosts) partLocked(k *keptConn, n int) {
	for _, p := range k.places {
		h.parting[p] += n
	}
}

// drop takes some out of those that are kept.
func (h *hosts) drop(which func(*keptConn) bool) []*keptConn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dropLocked(which)
}

func (h *hosts) dropLocked(which func(*keptConn) bool) (dropped []*keptConn) {
	h.kept = slices.DeleteFunc(h.kept, func(k *keptConn) bool {
		drop := which(k)
		if drop {
			k.expiry.Stop()
			h.partLocked(k, 1)
			dropped = append(dropped, k)
		}
		return drop
	})
	return dropped
}

// surplusLocked is how many connections there would be too many with all who have a place.
func (h *hosts) surplusLocked(place string) int {
	over := h.inUse[place] - h.limit(place) + h.parting[place]
	for _, k := range h.kept {
		if slices.Contains(k.places, place) {
			over++
		}
	}
	return over
}

func closeAll(kept []*keptConn) {
	var ends sync.WaitGroup
	for _, k := range kept {
		ends.Go(func() { k.conn.Close() })
	}
	ends.Wait()
}

// resume goes on with the connection of the pass before, if it still lives.
func (l *link) resume(ctx context.Context) bool {
	k := l.trip.engine.hosts.resume(l.trip.engine, l.trip.account.Name)
	if k == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, resumeLimit)
	defer cancel()
	return l.board(ctx, k.conn, k.opened) == nil
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
	t.engine.hosts.strike(l)
	t.engine.hosts.keep(&keptConn{fleet: t.engine, account: t.account.Name, places: l.places,
		conn: conn, opened: l.opened})
	return true
}
