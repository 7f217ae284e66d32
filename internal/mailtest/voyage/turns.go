package voyage

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
)

// Turns lets one thing happen at a time in a world, in an order that somebody
// chooses, so that what happened can happen again exactly so: every step of a life
// waits for its turn, and gets one only when all else has come to rest.
//
// Rest is looked for with runtime.Gosched, which is sound with one processor only
// (runtime.GOMAXPROCS(1)). synctest.Wait can't be used: it waits for ever when a
// goroutine wants a mutex whose holder waits for its turn.
type Turns struct {
	// Choose is asked when nothing moves and somebody waits: it returns which of the
	// waiting, which come sorted by name, goes on. It may change the world.
	Choose func(waiting []string) int

	mu      sync.Mutex
	waiting []*turn
	wake    chan struct{}
}

// turn is a step that waits.
type turn struct {
	name string
	come chan struct{}
}

// NewTurns returns turns that a function gives.
func NewTurns(choose func(waiting []string) int) *Turns {
	return &Turns{Choose: choose, wake: make(chan struct{}, 1)}
}

// Give gives turns until over is closed. It has to run in the same bubble as the
// world.
func (t *Turns) Give(over <-chan struct{}) {
	for {
		select {
		case <-t.wake:
		case <-over:
			return
		}
		for rest(); t.one(); rest() {
		}
	}
}

// rest returns when nobody else can run: each of the others ran until it had to
// wait. It looks several times, because now and then the scheduler comes back early.
func rest() {
	for range 50 {
		runtime.Gosched()
	}
}

// one gives one turn, if anybody waits for it.
func (t *Turns) one() bool {
	t.mu.Lock()
	slices.SortStableFunc(t.waiting, func(a, b *turn) int { return cmp.Compare(a.name, b.name) })
	names := make([]string, len(t.waiting))
	for i, w := range t.waiting {
		names[i] = w.name
	}
	t.mu.Unlock()
	if len(names) == 0 {
		return false
	}
	at := t.Choose(names)
	t.mu.Lock()
	defer t.mu.Unlock()
	if at >= len(t.waiting) || t.waiting[at].name != names[at] {
		return true // the choice has killed somebody, and the others are asked again
	}
	close(t.waiting[at].come)
	t.waiting = slices.Delete(t.waiting, at, at+1)
	return true
}

// await waits for a turn of the life, or for its death.
func (t *Turns) await(l *Life, name string) {
	w := &turn{name, make(chan struct{})}
	t.mu.Lock()
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
	select {
	case <-w.come:
	case <-l.Death():
		t.forget(w)
	}
}

func (t *Turns) forget(w *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = slices.DeleteFunc(t.waiting, func(other *turn) bool { return other == w })
}
