package ferry

import (
	"cmp"
	"context"
	"errors"
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
	// drain is how long what POP3 was asked for before is still taken; then the session is
	// closed, and the rest asked for again.
	drain = 5 * time.Second
	// wantedFor is how long a wish counts: who waits repeats it every beat.
	wantedFor = 10 * beat
	// goneIn is how soon who was asked is gone. Then others are asked as well: it may be amid
	// one large message.
	goneIn = 2 * drain
)

// errCeded ends a round after which the pass gives way, and errReadOn one that was to, and left
// what only a pass to the end can judge.
var (
	errCeded  = errors.New("others wait for its place")
	errReadOn = errors.New("what was put off is judged when all is read")
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

// carries says that the trip begins to carry.
func (c *tenure) carries() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cedes.IsZero() {
		begin := time.Since(c.begun)
		c.cedes = time.Now().Add(max(leastTurn, min(beginShare*begin, mostTurn), begin))
	}
}

// loggedIn says when the server will let it in again.
func (c *tenure) loggedIn(again time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.login = again
}

// stay says that the pass does not give way from now on.
func (c *tenure) stay() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stays = true
}

// onlyWaits says that it may give way at once: it waits until the server lets it in again.
func (c *tenure) onlyWaits() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cedes, c.login = time.Now(), time.Time{}
}

// cede tells the trip that somebody waits, and reports whether it is about to give way.
func (c *tenure) cede() bool {
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

func (c *tenure) wantedLocked() bool { return time.Since(c.wanted) < wantedFor }

// ceding reports whether it is time to give way.
func (c *tenure) ceding() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.stays && c.wantedLocked()
}

// mayCede says that the trip carries from now on, and may give way later.
func (t *trip) mayCede() {
	if t.engine.keeps {
		t.slot.carries()
	}
}

// conclude reads a second time what needs that, before the pass gives way: the next one would
// read all of it twice again. What is judged only when all is read keeps the pass from giving
// way.
func (t *trip) conclude(ctx context.Context) error {
	if todo := t.takeRereads(); len(todo) > 0 && !t.putsOff() {
		t.concludes = true
		err := cmp.Or(t.sessionForReading(ctx), t.carry(ctx, todo))
		t.concludes = false
		if err != nil {
			return err
		}
	}
	if t.putsOff() {
		return errReadOn
	}
	return errCeded
}

// putsOff reports whether something waits for the verdict on all mail.
func (t *trip) putsOff() bool { return len(t.later) > 0 || len(t.comeback.putOff) > 0 }

// noteLong remembers which accounts have much left to do.
func (e *engine) noteLong(r AccountReport) {
	if r.GaveWay {
		e.long.Store(r.Name, true)
	} else {
		e.long.Delete(r.Name)
	}
}

// enough reports whether no more messages are to be asked for.
func (p *pipeline) enough() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ceded.IsZero() && !p.t.concludes && p.t.slot.ceding() {
		p.ceded = time.Now()
	}
	return !p.ceded.IsZero()
}

// hasCeded reports whether it found so.
func (p *pipeline) hasCeded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.ceded.IsZero()
}

// drained reports whether what is on its way has taken too long.
func (p *pipeline) drained() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drainedLocked()
}

func (p *pipeline) drainedLocked() bool { return !p.ceded.IsZero() && time.Since(p.ceded) > drain }

// leavesOut reports a batch that has waited for a slow destination since before the pass was to
// give way.
func (p *pipeline) leavesOut(batch []*parcel) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drainedLocked() && batch[0].received.Before(p.ceded)
}
