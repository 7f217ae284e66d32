package ferry

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

// Who keeps a place at a server and is kept waiting there keeps others from it, and nobody
// can see beforehand who that will be. So an account that stands still gives way to one that
// wants its place, and comes again, with more patience each time: it may be only slow. In a
// fleet, whose healthy accounts need a place every few minutes, those that gave way have
// half of each server's places between them, in which they can be as slow as they are, or be
// found to fail, and the other half is for those that did not.
const (
	// standstill is how long an account may stand still in a fleet while others want its
	// place. It is more than the two seconds for which many servers keep back that a
	// password is wrong: a refusal that nobody heard of counts all the same.
	standstill = 3 * time.Second
	// longStandstill is that of a run, in which what counts is when the last one is done.
	longStandstill = 10 * time.Second
	// moreStandstill is how often it doubles each time that an account gave way: in a run the
	// second time is long enough to be found to fail.
	moreStandstill = 4
	// yieldGrace is how long appends in flight may take when an account gives way.
	yieldGrace = 5 * time.Second
)

// slowShare is what of a server's connections accounts may have together that gave way.
func slowShare(connections int) int { return max(1, connections/2) }

// stalls knows which accounts stand still.
type stalls struct {
	mu    sync.Mutex
	times map[string]int // that an account gave way since it was well
	under []*trip
}

// of is how often an account gave way.
func (s *stalls) of(account string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.times[account]
}

func (s *stalls) begin(t *trip) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under = append(s.under, t)
}

// end takes in how a trip ended: one that went well without a long silence makes good for
// those before.
func (s *stalls) end(t *trip, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under = slices.DeleteFunc(s.under, func(other *trip) bool { return other == t })
	stood := t.slot.longestSilence() >= standstill
	switch {
	case t.leaving.Load(), stood && fault.CodeOf(err) == fault.Temporary:
		s.times[t.account.Name] = t.times + 1
	case !stood && err == nil:
		delete(s.times, t.account.Name)
	}
}

// holders are the trips that have a place.
func (e *engine) holders(place string) []*trip {
	e.stalls.mu.Lock()
	defer e.stalls.mu.Unlock()
	links := e.hosts.holders(place)
	return slices.DeleteFunc(slices.Clone(e.stalls.under), func(t *trip) bool {
		return !slices.Contains(t.sources, place) && !slices.ContainsFunc(links, func(l *link) bool { return l.trip == t })
	})
}

// wish is how many accounts want a place, and how often the best of them gave way.
type wish struct{ n, times int }

func (w wish) and(times int) wish {
	if w.n == 0 {
		return wish{1, times}
	}
	return wish{w.n + 1, min(w.times, times)}
}

// press makes up to so many accounts that stand still leave a place as others want it, unless
// these gave way more often.
func (e *engine) press(place string, w wish) {
	for _, t := range e.holders(place) {
		if w.n > 0 && w.times <= t.times && t.giveWay() {
			w.n--
		}
	}
}

// giveWay ends the trip if it stands still, and may do so, and reports whether it ends.
func (t *trip) giveWay() bool {
	long := longStandstill
	if t.engine.keeps {
		long = standstill
	}
	switch {
	case t.leaving.Load():
		return true
	case !t.yields.Load() || t.slot.stands() < long<<(moreStandstill*min(t.times, maxShift)):
		return false
	}
	t.leaving.Store(true)
	t.giveUp(errGaveWay)
	return true
}

// gaveWay tells why a trip ended that gave way, or that it is to begin again, since it did
// not get further than to open: then nothing is lost, unless a login was refused, or the
// next has to wait.
func (t *trip) gaveWay(err error) (again bool, why error) {
	if !t.leaving.Load() || !errors.Is(err, context.Canceled) {
		return false, err
	}
	refusals := fault.RefusalsOf(err)
	if !t.isOpen && refusals == 0 && t.loginPause() == 0 {
		return true, nil
	}
	end := fault.New(fault.Temporary, "%s or %s kept it waiting, and other accounts wanted its connections",
		t.account.Source.Address(), t.account.Destination.Address()).
		WithHint("run again: nothing is copied twice; if it stays so, check whether the servers are slow or per_host is low")
	end.Refusals = refusals
	return false, end
}

// rest waits for what is no fault of the servers.
func (t *trip) rest(ctx context.Context, d time.Duration) error {
	t.slot.excuse(d)
	return sleep(ctx, d)
}
