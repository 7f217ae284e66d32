package places

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// An account that its servers keep waiting is not at work: while others wait for a
// slot of limits.accounts it lends them its own, and takes one again before it goes
// on to anything that is much work. How long it may wait before that is patience,
// and less the more accounts wait already, so that a hundred dead servers at the
// head of the list cost the accounts behind them seconds.
const (
	Patience = time.Second
	// leastPatience is more than a round trip takes on most links.
	leastPatience = 150 * time.Millisecond
	// Beat is how often those that wait look who waits for a server.
	Beat = 25 * time.Millisecond
	// stretch is for how long an account keeps a slot that another wants back.
	stretch = 10 * time.Second
	// mostTrips is how many accounts may be under way at once, those that lent
	// their slots included, unless limits.accounts is more: each has two sockets or
	// more. Of those that only wait, such as for the end of a pause, and have one at most,
	// there may be mostIdle beside them.
	mostTrips = 250
	mostIdle  = 2000
	// MaxShift bounds how often patience is doubled.
	MaxShift = 8
)

// Slots are the slots of limits.accounts.
type Slots struct {
	flight int64 // octets that an account at work may have in memory

	mu    sync.Mutex
	limit int
	begun []*Slot
	queue []*Slot // of those that lent theirs and want one back, in turn
}

// Slot is what an account has while it is at work.
type Slot struct {
	pulse
	tenure
	of *Slots
	// Flight is how many octets of messages the account has in memory.
	Flight atomic.Int64

	// Guarded by of.mu.
	atWork bool
	since  time.Time
	lent   int64 // octets in memory when it was lent
	times  int   // that it was lent
	idle   int   // waits under way in which it has no use for it
	back   chan struct{}
}

// NewSlots makes so many, for accounts that have so many octets in memory each at most.
func NewSlots(limit int, flight int64) *Slots { return &Slots{limit: max(1, limit), flight: flight} }

// Resize changes the limit; who is above it goes on.
func (s *Slots) Resize(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = max(1, limit)
	s.grantLocked()
}

// Begin gives an account that begins a slot, or nil if there is none: those that
// want theirs back come first.
func (s *Slots) Begin() *Slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.freeLocked() <= 0 {
		s.lendLocked()
	}
	if s.freeLocked() <= 0 {
		s.askLocked()
	}
	if s.freeLocked() <= 0 || len(s.queue) > 0 || s.crowdedLocked() {
		return nil
	}
	given := &Slot{of: s, atWork: true, since: time.Now()}
	given.Beat()
	given.tenure.begun = time.Now()
	s.begun = append(s.begun, given)
	return given
}

// crowdedLocked reports whether enough are under way.
func (s *Slots) crowdedLocked() bool {
	idle := 0
	for _, other := range s.begun {
		if other.idle > 0 && !other.atWork {
			idle++
		}
	}
	most := max(s.limit, mostTrips)
	return len(s.begun)-idle >= most || len(s.begun) >= most+mostIdle
}

// askLocked has one account of those at work give way, if there is such a one. Those that
// wait lend their slots.
func (s *Slots) askLocked() {
	for _, other := range s.begun {
		if other.atWork && other.idle == 0 && other.Cede() {
			return
		}
	}
}

// Free is how many slots nobody has.
func (s *Slots) Free() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.freeLocked()
}

func (s *Slots) freeLocked() int {
	free := s.limit
	for _, other := range s.begun {
		if other.atWork {
			free--
		}
	}
	return free
}

// End gives a slot back for good.
func (s *Slots) End(given *Slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = slices.DeleteFunc(s.begun, func(other *Slot) bool { return other == given })
	s.grantLocked()
}

func (s *Slots) grantLocked() {
	for len(s.queue) > 0 && s.freeLocked() > 0 {
		next := s.queue[0]
		s.queue = s.queue[1:]
		next.workLocked()
		close(next.back)
	}
}

func (s *Slot) workLocked() {
	s.atWork, s.lent, s.since = true, 0, time.Now()
	s.Beat()
}

// lendLocked takes the slots of those that wait for a server.
func (s *Slots) lendLocked() {
	wait := s.patienceLocked()
	for _, other := range s.begun {
		if other.atWork {
			other.lendLocked(wait)
		}
	}
	s.grantLocked()
}

// lendLocked takes the slot of an account that waits, each time for longer before that:
// it may be only slow. One that its limits make wait loses nothing, nor does one that is idle,
// and has it taken as soon as it is quiet: its other connection may be at work.
func (s *Slot) lendLocked(wait time.Duration) {
	waits := s.braked()
	switch {
	case s.idle > 0:
		wait, waits = leastPatience, true
	case !waits:
		wait <<= min(s.times, MaxShift)
	}
	if s.quiet() >= wait && s.restLocked() && !waits {
		s.times++
	}
}

// Rest says that the account waits for what no server owes it, such as an hour, or a place,
// until end is called.
func (s *Slot) Rest() (end func()) {
	s.idles(1)
	since := time.Now()
	return func() {
		s.idles(-1)
		s.rested(time.Since(since))
	}
}

func (s *Slot) idles(n int) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.idle += n
}

// Sleep waits for d, or until ctx ends, with no use for the slot.
func (s *Slot) Sleep(ctx context.Context, d time.Duration) error {
	defer s.Rest()()
	return Sleep(ctx, d)
}

// restLocked takes an account off work, unless all those off work would hold more in
// memory than those at work may.
func (s *Slot) restLocked() bool {
	lent := s.Flight.Load()
	total := lent
	for _, other := range s.of.begun {
		total += other.lent
	}
	if total > int64(s.of.limit)*s.of.flight {
		return false
	}
	s.atWork, s.lent = false, lent
	return true
}

// Patience is how long an account may wait for its servers while others wait for
// it.
func (s *Slots) Patience() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.patienceLocked()
}

func (s *Slots) patienceLocked() time.Duration {
	waiting := 0
	for _, slot := range s.begun {
		if !slot.atWork {
			waiting++
		}
	}
	return max(leastPatience, Patience/time.Duration(1+waiting/2))
}

// Work returns once the account has a slot, which it keeps unless it has had it for
// long while others want theirs back.
func (s *Slot) Work(ctx context.Context) error {
	if s.takeUp() {
		return nil
	}
	turn := time.NewTicker(Beat)
	defer turn.Stop()
	for {
		select {
		case <-s.back:
			return nil
		case <-turn.C:
			s.of.lend()
		case <-ctx.Done():
			s.of.withdraw(s)
			return ctx.Err()
		}
	}
}

// takeUp reports whether the account is at work; else it waits in turn from now on.
func (s *Slot) takeUp() bool {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.atWork && (len(s.of.queue) == 0 || time.Since(s.since) < stretch || !s.restLocked()) {
		return true
	}
	s.back = make(chan struct{})
	s.of.queue = append(s.of.queue, s)
	s.of.grantLocked()
	return s.atWork
}

func (s *Slots) lend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lendLocked()
}

func (s *Slots) withdraw(waiting *Slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = slices.DeleteFunc(s.queue, func(other *Slot) bool { return other == waiting })
}

// Sleep waits for d or until ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
