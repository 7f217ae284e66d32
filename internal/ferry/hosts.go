package ferry

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/popferry/popferry/plan"
)

// hosts counts the connections to each server over all accounts, so that
// limits.per_host holds however many accounts run at once.
type hosts struct {
	mu    sync.Mutex
	limit func(address string) int
	inUse map[string]int
	// queue holds the demands of accounts that gave a place away and need one again;
	// they come before those that have not begun.
	queue []*demand
	// wanted counts the accounts that would begin if an address had a place.
	wanted map[string]int
	links  []*link // that have a place, for those who may ask them for it
	kept   []*keptConn
}

// demand is a place that somebody waits for.
type demand struct {
	address string
	granted chan struct{}
}

func newHosts(limit func(address string) int) *hosts {
	return &hosts{limit: limit, inUse: map[string]int{}}
}

// connections says how many connections an address may have, as sourcePlace and
// destinations name it.
func connections(l plan.Limits) func(address string) int {
	return func(address string) int {
		host, _, err := net.SplitHostPort(strings.TrimPrefix(address, sourcePrefix))
		if err != nil {
			host = address
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

// take takes a place at every one of the addresses if all of them have one: taking
// them one by one could deadlock accounts that run in opposite directions between
// the same two servers.
func (h *hosts) take(addresses ...string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if slices.ContainsFunc(addresses, h.fullLocked) {
		return false
	}
	for _, a := range addresses {
		h.inUse[a]++
	}
	return true
}

func (h *hosts) full(address string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fullLocked(address)
}

func (h *hosts) fullLocked(address string) bool { return h.inUse[address] >= h.limit(address) }

// await waits until an address has a place and takes it.
func (h *hosts) await(ctx context.Context, address string) error {
	d := h.demand(address)
	turn := time.NewTicker(beat)
	defer turn.Stop()
	for {
		select {
		case <-d.granted:
			return nil
		case <-turn.C:
			h.ask(address, 1, false)
		case <-ctx.Done():
			h.withdraw(d)
			return ctx.Err()
		}
	}
}

// awaitLast is await for those that let all others pass, also those that have not
// begun.
func (h *hosts) awaitLast(ctx context.Context, address string) error {
	for {
		if err := sleep(ctx, beat); err != nil {
			return err
		}
		if h.takeUnwanted(address) {
			return nil
		}
	}
}

func (h *hosts) takeUnwanted(address string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wanted[address] > 0 || h.fullLocked(address) {
		return false
	}
	h.inUse[address]++
	return true
}

// want says how many accounts would begin if an address had a place.
func (h *hosts) want(wanted map[string]int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wanted = wanted
}

func (h *hosts) demand(address string) *demand {
	d := &demand{address: address, granted: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue = append(h.queue, d)
	h.grantLocked()
	return d
}

func (h *hosts) grantLocked() {
	h.queue = slices.DeleteFunc(h.queue, func(d *demand) bool {
		if h.fullLocked(d.address) {
			return false
		}
		h.inUse[d.address]++
		close(d.granted)
		return true
	})
}

// withdraw takes a demand back, or the place that it was granted just now.
func (h *hosts) withdraw(d *demand) {
	h.mu.Lock()
	i := slices.Index(h.queue, d)
	if i >= 0 {
		h.queue = slices.Delete(h.queue, i, i+1)
	}
	h.mu.Unlock()
	if i < 0 {
		h.release(d.address)
	}
}

func (h *hosts) release(addresses ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range addresses {
		h.inUse[a]--
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

// ask makes up to n of those that have a place at an address and no use for it give
// it back; fresh says that it is wanted for accounts that have not begun.
func (h *hosts) ask(address string, n int, fresh bool) {
	for _, l := range h.holders(address) {
		if n == 0 {
			return
		}
		if l.yield(fresh) {
			n--
		}
	}
}

func (h *hosts) holders(address string) []*link {
	h.mu.Lock()
	defer h.mu.Unlock()
	var there []*link
	for _, l := range h.links {
		if l.address() == address {
			there = append(there, l)
		}
	}
	return there
}
