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
	// wanted counts the accounts that would begin if a place were free.
	wanted map[string]int
	links  []*link // that have places, for those who may ask them for one
	kept   []*keptConn
	// parting counts those that are being closed, and parted tells that some were.
	parting map[string]int
	parted  *sync.Cond
}

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
	return func(place string) int {
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
	d := h.demand(places)
	turn := time.NewTicker(beat)
	defer turn.Stop()
	for {
		select {
		case <-d.granted:
			return nil
		case <-turn.C:
			h.ask(h.lacking(places...), 1, false)
		case <-ctx.Done():
			h.withdraw(d)
			return ctx.Err()
		}
	}
}

// awaitLast is await for those that let all others pass, also those that have not
// begun.
func (h *hosts) awaitLast(ctx context.Context, places ...string) error {
	for {
		if err := sleep(ctx, beat); err != nil {
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
	wanted := func(place string) bool { return h.wanted[place] > 0 }
	return !slices.ContainsFunc(places, wanted) && h.takeLocked(places)
}

// want says how many accounts would begin if a place were free.
func (h *hosts) want(wanted map[string]int) {
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
func (h *hosts) enlist(l *link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.links = append(h.links, l)
}

func (h *hosts) strike(l *link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.links = slices.DeleteFunc(h.links, func(other *link) bool { return other == l })
}

// ask makes up to n of those that have a place and no use for it give it back; fresh
// says that it is wanted for accounts that have not begun.
func (h *hosts) ask(place string, n int, fresh bool) {
	for _, l := range h.holders(place) {
		if n == 0 {
			return
		}
		if l.yield(fresh) {
			n--
		}
	}
}

func (h *hosts) holders(place string) []*link {
	h.mu.Lock()
	defer h.mu.Unlock()
	var there []*link
	for _, l := range h.links {
		if slices.Contains(l.places, place) {
			there = append(there, l)
		}
	}
	return there
}
