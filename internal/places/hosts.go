package places

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Hosts counts the connections to each server over all accounts, so that
// limits.per_host holds however many accounts run at once, and those to each user whose
// provider bounds them. Both are places: who needs several takes all or none.
type Hosts struct {
	mu    sync.Mutex
	limit func(place string) int
	inUse map[string]int
	// queue holds the demands of accounts that gave a place away and need one again;
	// they come before those that have not begun.
	queue []*demand
	// last counts those that let all others pass, wanted has the places that accounts need
	// that have not begun.
	last   int
	wanted map[string]bool
	// holders have places, or had them and will again, and may be asked for one.
	holders []Holder
	kept    []*Kept
	// parting counts those that are being closed, and parted tells that some were.
	parting map[string]int
	parted  *sync.Cond
}

// Holder has a place.
type Holder interface {
	// At reports whether it is at this place.
	At(place string) bool
	// Yield gives the place to an account that wishes for it, if there is no use for it now.
	// It reports whether a place is about to be free.
	Yield(Wish) bool
}

// Wish says whose a place is to be.
type Wish int

const (
	WishBegin Wish = iota // an account's that has not begun
	WishGoOn              // one's that has
	WishSlow              // one's that has, and was left standing of late: that ends nobody's wait
)

// demand is the places that somebody waits for.
type demand struct {
	places  []string
	granted chan struct{}
}

// NewHosts makes one with nobody in it. The limit of a place may be asked for at any time.
func NewHosts(limit func(place string) int) *Hosts {
	h := &Hosts{limit: limit, inUse: map[string]int{}, parting: map[string]int{}}
	h.parted = sync.NewCond(&h.mu)
	return h
}

// One is the limit of places that are for one at a time.
func One(string) int { return 1 }

// Resize changes the limits; who is above it keeps the place until it is done.
func (h *Hosts) Resize(limit func(address string) int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.limit = limit
	h.grantLocked()
}

// Take takes every one of the places if all of them are free: taking them one by one
// could deadlock accounts that run in opposite directions between the same two servers.
func (h *Hosts) Take(places ...string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.takeLocked(places)
}

func (h *Hosts) takeLocked(places []string) bool {
	if slices.ContainsFunc(places, h.fullLocked) {
		return false
	}
	for _, p := range places {
		h.inUse[p]++
	}
	return true
}

func (h *Hosts) Full(place string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fullLocked(place)
}

func (h *Hosts) fullLocked(place string) bool { return h.inUse[place] >= h.limit(place) }

// Lacking returns the place for want of which somebody waits. Others who have it are
// those to ask: at a user that is full, nobody helps who carries to another one.
func (h *Hosts) Lacking(places ...string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return places[max(0, slices.IndexFunc(places, h.fullLocked))]
}

// Await waits until places are free and takes them.
func (h *Hosts) Await(ctx context.Context, places ...string) error {
	d, w := h.demand(places), WishGoOn
	if slices.ContainsFunc(places, isShare) {
		w = WishSlow
	}
	turn := time.NewTicker(Beat)
	defer turn.Stop()
	for {
		select {
		case <-d.granted:
			return nil
		case <-turn.C:
			lacking := h.Lacking(places...)
			h.Ask(lacking, h.upTo(d, lacking), w)
		case <-ctx.Done():
			h.withdraw(d)
			return ctx.Err()
		}
	}
}

// AwaitLast is await for those that let all others pass, also those that have not
// begun.
func (h *Hosts) AwaitLast(ctx context.Context, places ...string) error {
	h.countLast(1)
	defer h.countLast(-1)
	for wait := 2 * Beat; ; wait = Beat { // it takes one to be known what is wanted
		if err := Sleep(ctx, wait); err != nil {
			return err
		}
		if h.takeUnwanted(places) {
			return nil
		}
	}
}

func (h *Hosts) takeUnwanted(places []string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	wanted := func(place string) bool { return h.wanted[place] }
	return !slices.ContainsFunc(places, wanted) && h.takeLocked(places)
}

func (h *Hosts) countLast(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last += n
}

func (h *Hosts) HasLast() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last > 0
}

// Want says which places accounts need that have not begun.
func (h *Hosts) Want(wanted map[string]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wanted = wanted
}

func (h *Hosts) demand(places []string) *demand {
	d := &demand{places: places, granted: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue = append(h.queue, d)
	h.grantLocked()
	return d
}

// upTo is how many demands wait for a place up to this one.
func (h *Hosts) upTo(d *demand, place string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range h.queue {
		if slices.Contains(other.places, place) {
			n++
		}
		if other == d {
			break
		}
	}
	return n
}

func (h *Hosts) grantLocked() {
	h.queue = slices.DeleteFunc(h.queue, func(d *demand) bool {
		granted := h.takeLocked(d.places)
		if granted {
			close(d.granted)
		}
		return granted
	})
}

// withdraw takes a demand back, or the places that it was granted just now.
func (h *Hosts) withdraw(d *demand) {
	h.mu.Lock()
	i := slices.Index(h.queue, d)
	if i >= 0 {
		h.queue = slices.Delete(h.queue, i, i+1)
	}
	h.mu.Unlock()
	if i < 0 {
		h.Release(d.places...)
	}
}

func (h *Hosts) Release(places ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.releaseLocked(places)
}

func (h *Hosts) releaseLocked(places []string) {
	for _, p := range places {
		h.inUse[p]--
	}
	h.grantLocked()
}

// Enlist and strike keep the list of those that have a place and may give it back.
func (h *Hosts) Enlist(one Holder) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holders = append(h.holders, one)
}

func (h *Hosts) Strike(one Holder) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holders = slices.DeleteFunc(h.holders, func(other Holder) bool { return other == one })
}

// Ask makes up to n of those that have a place and no use for it give it back.
func (h *Hosts) Ask(place string, n int, w Wish) {
	for _, one := range h.holdersAt(place) {
		if n == 0 {
			return
		}
		if one.Yield(w) {
			n--
		}
	}
}

func (h *Hosts) holdersAt(place string) []Holder {
	h.mu.Lock()
	defer h.mu.Unlock()
	var there []Holder
	for _, one := range h.holders {
		if one.At(place) {
			there = append(there, one)
		}
	}
	return there
}
