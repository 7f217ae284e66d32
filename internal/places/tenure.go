package places

import (
	"sync"
	"time"
)

// The first pass over a large maildrop takes hours, and there are places for a few such passes
// only. In a fleet one that has carried for a while gives way to accounts that wait for what it
// has, be it a slot, a connection or a folder: behind the message in hand it asks POP3 for no
// more, delivers what it was given, and is over. The next pass goes on.
const (
	// leastTurn is for how long a pass carries before it gives way. It is beginShare times as
	// long as it took to begin, which is to be a small part of the work, but that no longer than
	// mostTurn; and as long as it took to begin.
	leastTurn  = 10 * time.Second
	mostTurn   = 2 * time.Minute
	beginShare = 10
	// Drain is how long what POP3 was asked for before is still taken; then the session is
	// closed, and the rest asked for again.
	Drain = 5 * time.Second
	// WantedFor is how long a wish counts: who waits repeats it every beat.
	WantedFor = 10 * Beat
	// goneIn is how soon who was asked is gone. Then others are asked as well: it may be amid
	// one large message.
	goneIn = 2 * Drain
)

// tenure is since when a trip has what others may wait for.
type tenure struct {
	mu     sync.Mutex
	begun  time.Time // later by as long as it only waited
	cedes  time.Time // from then on it gives way; zero: it carries nothing, or does not give way
	login  time.Time // and from then on: before that its server lets nobody in again
	stays  bool      // it does not give way any more
	asked  time.Time // since when somebody wishes for its place
	wanted time.Time // when somebody did last
}

// rested says that for so long the trip did nothing.
func (c *tenure) rested(wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = c.begun.Add(wait)
}

// Carries says that the trip begins to carry.
func (c *tenure) Carries() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cedes.IsZero() {
		begin := time.Since(c.begun)
		c.cedes = time.Now().Add(max(leastTurn, min(beginShare*begin, mostTurn), begin))
	}
}

// LoggedIn says when the server will let it in again.
func (c *tenure) LoggedIn(again time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.login = again
}

// Stay says that the pass does not give way from now on.
func (c *tenure) Stay() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stays = true
}

// OnlyWaits says that it may give way at once: it waits until the server lets it in again.
func (c *tenure) OnlyWaits() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cedes, c.login = time.Now(), time.Time{}
}

// Cede tells the trip that somebody waits, and reports whether it is about to give way.
func (c *tenure) Cede() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.stays || c.cedes.IsZero() || now.Before(c.cedes) || now.Before(c.login) {
		return false
	}
	if !c.wantedLocked() {
		c.asked = now
	}
	c.wanted = now
	return now.Sub(c.asked) < goneIn
}

func (c *tenure) wantedLocked() bool { return time.Since(c.wanted) < WantedFor }

// Ceding reports whether it is time to give way.
func (c *tenure) Ceding() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.stays && c.wantedLocked()
}
