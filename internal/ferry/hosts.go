package ferry

import (
	"cmp"
	"context"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/popferry/popferry/plan"
)

// hosts counts the connections to each server over all accounts, so that
// limits.per_host holds however many accounts run at once, and those to each user whose
// provider bounds them. Both are places: who needs several takes all or none.
type hosts struct {
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
	holders []holder
	kept    []*keptConn
	// parting counts those that are being closed, and parted tells that some were.
	parting map[string]int
	parted  *sync.Cond
}

// holder has a place.
type holder interface {
	// at reports whether it is at this place.
	at(place string) bool
	// yield gives the place to an account that wishes for it, if there is no use for it now.
	// It reports whether a place is about to be free.
	yield(wish) bool
}

// wish says whose a place is to be.
type wish int

const (
	wishBegin wish = iota // an account's that has not begun
	wishGoOn              // one's that has
	wishSlow              // one's that has, and was left standing of late: that ends nobody's wait
)

// demand is the places that somebody waits for.
type demand struct {
	places  []string
	granted chan struct{}
}

func newHosts(limit func(place string) int) *hosts {
	h := &hosts{limit: limit, inUse: map[string]int{}, parting: map[string]int{}}
	h.parted = sync.NewCond(&h.mu)
	return h
}

// connections says how many connections a place may have, as sourcePlace and
// destinationPlaces name it.
func connections(l plan.Limits) func(place string) int {
	users := map[string]int{}
	for _, h := range l.Hosts {
		users[h.PerUser.Provider] = h.PerUser.Connections
	}
	var of func(place string) int
	of = func(place string) int {
		if all, slow := strings.CutPrefix(place, slowPrefix); slow {
			return slowShare(of(all))
		}
		if user, isUser := strings.CutPrefix(place, userPrefix); isUser {
			provider, _, _ := strings.Cut(user, "\x00")
			return cmp.Or(users[provider], math.MaxInt) // one of a configuration before
		}
		host, _, err := net.SplitHostPort(strings.TrimPrefix(place, sourcePrefix))
		if err != nil {
			host = place
		}
		return l.Host(host).Connections
	}
	return of
}

func one(string) int { return 1 }

// resize changes the limits; who is above it keeps the place until it is done.
func (h *hosts) resize(limit func(address string) int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.limit = limit
	h.grantLocked()
}

// take takes every one of the places if all of them are free: taking them one by one
// could deadlock accounts that run in opposite directions between the same two servers.
func (h *hosts) take(places ...string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.takeLocked(places)
}

func (h *hosts) takeLocked(places []string) bool {
	if slices.ContainsFunc(places, h.fullLocked) {
		return false
	}
	for _, p := range places {
		h.inUse[p]++
	}
	return true
}

func (h *hosts) full(place string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fullLocked(place)
}

func (h *hosts) fullLocked(place string) bool { return h.inUse[place] >= h.limit(place) }

// lacking returns the place for want of which somebody waits. Others who have it are
// those to ask: at a user that is full, nobody helps who carries to another one.
func (h *hosts) lacking(places ...string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return places[max(0, slices.IndexFunc(places, h.fullLocked))]
}

// await waits until places are free and takes them.
func (h *hosts) await(ctx context.Context, places ...string) error {
	d, w := h.demand(places), wishGoOn
	if slices.ContainsFunc(places, isShare) {
		w = wishSlow
	}
	turn := time.NewTicker(beat)
	defer turn.Stop()
	for {
		select {
		case <-d.granted:
			return nil
		case <-turn.C:
			lacking := h.lacking(places...)
			h.ask(lacking, h.upTo(d, lacking), w)
		case <-ctx.Done():
			h.withdraw(d)
			return ctx.Err()
		}
	}
}

// awaitLast is await for those that let all others pass, also those that have not
// begun.
func (h *hosts) awaitLast(ctx context.Context, places ...string) error {
	h.countLast(1)
	defer h.countLast(-1)
	for wait := 2 * beat; ; wait = beat { // it takes one to be known what is wanted
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		if h.takeUnwanted(places) {
			return nil
		}
	}
}

func (h *hosts) takeUnwanted(places []string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	wanted := func(place string) bool { return h.wanted[place] }
	return !slices.ContainsFunc(places, wanted) && h.takeLocked(places)
}

func (h *hosts) countLast(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last += n
}

func (h *hosts) hasLast() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last > 0
}

// want says which places accounts need that have not begun.
func (h *hosts) want(wanted map[string]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wanted = wanted
}

func (h *hosts) demand(places []string) *demand {
	d := &demand{places: places, granted: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue = append(h.queue, d)
	h.grantLocked()
	return d
}

// upTo is how many demands wait for a place up to this one.
func (h *hosts) upTo(d *demand, place string) (n int) {
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

func (h *hosts) grantLocked() {
	h.queue = slices.DeleteFunc(h.queue, func(d *demand) bool {
		granted := h.takeLocked(d.places)
		if granted {
			close(d.granted)
		}
		return granted
	})
}

// withdraw takes a demand back, or the places that it was granted just now.
func (h *hosts) withdraw(d *demand) {
	h.mu.Lock()
	i := slices.Index(h.queue, d)
	if i >= 0 {
		h.queue = slices.Delete(h.queue, i, i+1)
	}
	h.mu.Unlock()
	if i < 0 {
		h.release(d.places...)
	}
}

func (h *hosts) release(places ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.releaseLocked(places)
}

func (h *hosts) releaseLocked(places []string) {
	for _, p := range places {
		h.inUse[p]--
	}
	h.grantLocked()
}

// enlist and strike keep the list of those that have a place and may give it back.
func (h *hosts) enlist(one holder) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holders = append(h.holders, one)
}

func (h *hosts) strike(one holder) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holders = slices.DeleteFunc(h.holders, func(other holder) bool { return other == one })
}

// ask makes up to n of those that have a place and no use for it give it back.
func (h *hosts) ask(place string, n int, w wish) {
	for _, one := range h.holdersAt(place) {
		if n == 0 {
			return
		}
		if one.yield(w) {
			n--
		}
	}
}

func (h *hosts) holdersAt(place string) []holder {
	h.mu.Lock()
	defer h.mu.Unlock()
	var there []holder
	for _, one := range h.holders {
		if one.at(place) {
			there = append(there, one)
		}
	}
	return there
}
