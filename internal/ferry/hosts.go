package ferry

import (
	"context"
	"sync"
)

// hosts counts the connections to each server over all accounts, so that
// limits.per_host holds however many accounts run at once.
type hosts struct {
	limit int
	mu    sync.Mutex
	inUse map[string]int
	freed chan struct{} // closed and replaced whenever something is given back
}

func newHosts(limit int) *hosts {
	return &hosts{limit: limit, inUse: map[string]int{}, freed: make(chan struct{})}
}

// acquire waits until every one of the addresses has a place and takes them all
// at once: taking them one by one could deadlock accounts that run in opposite
// directions between the same two servers.
func (h *hosts) acquire(ctx context.Context, addresses ...string) error {
	for {
		h.mu.Lock()
		if h.takeLocked(addresses) {
			h.mu.Unlock()
			return nil
		}
		freed := h.freed
		h.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// try takes a place if there is one: extra connections are a bonus that nobody
// waits for.
func (h *hosts) try(address string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.takeLocked([]string{address})
}

func (h *hosts) takeLocked(addresses []string) bool {
	for _, a := range addresses {
		if h.inUse[a] >= h.limit {
			return false
		}
	}
	for _, a := range addresses {
		h.inUse[a]++
	}
	return true
}

func (h *hosts) release(addresses ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range addresses {
		h.inUse[a]--
	}
	close(h.freed)
	h.freed = make(chan struct{})
}
