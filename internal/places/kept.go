package places

import (
	"slices"
	"sync"
	"time"

	"github.com/popferry/popferry/imapdst"
)

// keptFor is for how long a fleet keeps the connection of a pass for the next one.
// While mail flows that comes sooner; servers wait for half an hour (RFC 3501 §5.4).
const keptFor = 5 * time.Minute

// Kept is a connection to a destination between two passes: the next one saves the
// login. It counts at its server, and makes room as soon as somebody else needs its place.
type Kept struct {
	Owner   any // whose configuration it was opened by
	Account string
	Places  []string
	Conn    *imapdst.Conn
	Opened  time.Time
	expiry  *time.Timer
}

// Keep makes a place in use that of a kept connection: who needs it next has it at once.
func (h *Hosts) Keep(k *Kept) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k.expiry = time.AfterFunc(keptFor, func() {
		h.dismiss(h.drop(func(other *Kept) bool { return other == k }))
	})
	h.kept = append(h.kept, k)
	h.releaseLocked(k.Places)
}

// Resume returns what an account kept, for the place that it took, or nil.
func (h *Hosts) Resume(owner any, account string) *Kept {
	own := h.drop(func(k *Kept) bool { return k.Owner == owner && k.Account == account })
	if len(own) == 0 {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.partLocked(own[0], -1) // it is in use
	h.parted.Broadcast()
	return own[0]
}

// MakeRoom closes kept connections for one that has its places, and waits until those are
// closed, too, that others close meanwhile: a server may take its time to say goodbye.
func (h *Hosts) MakeRoom(places []string) {
	for _, p := range places {
		h.dismiss(h.surplus(p))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for slices.ContainsFunc(places, func(p string) bool { return h.parting[p] > 0 && h.surplusLocked(p) > 0 }) {
		h.parted.Wait()
	}
}

func (h *Hosts) surplus(place string) []*Kept {
	h.mu.Lock()
	defer h.mu.Unlock()
	there := func(k *Kept) bool { return slices.Contains(k.Places, place) }
	over := h.surplusLocked(place) - h.parting[place]
	return h.dropLocked(func(k *Kept) bool {
		if over <= 0 || !there(k) {
			return false
		}
		over--
		return true
	})
}

// Forget closes what a fleet kept.
func (h *Hosts) Forget(owner any) {
	h.dismiss(h.drop(func(k *Kept) bool { return k.Owner == owner }))
}

// dismiss closes what was dropped.
func (h *Hosts) dismiss(dropped []*Kept) {
	closeAll(dropped)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range dropped {
		h.partLocked(k, -1)
	}
	h.parted.Broadcast()
}

// partLocked counts a connection that is not kept any more, and not closed yet.
func (h *Hosts) partLocked(k *Kept, n int) {
	for _, p := range k.Places {
		h.parting[p] += n
	}
}

// drop takes some out of those that are kept.
func (h *Hosts) drop(which func(*Kept) bool) []*Kept {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dropLocked(which)
}

func (h *Hosts) dropLocked(which func(*Kept) bool) (dropped []*Kept) {
	h.kept = slices.DeleteFunc(h.kept, func(k *Kept) bool {
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
func (h *Hosts) surplusLocked(place string) int {
	over := h.inUse[place] - h.limit(place) + h.parting[place]
	for _, k := range h.kept {
		if slices.Contains(k.Places, place) {
			over++
		}
	}
	return over
}

func closeAll(kept []*Kept) {
	var ends sync.WaitGroup
	for _, k := range kept {
		ends.Go(func() { k.Conn.Close() })
	}
	ends.Wait()
}
