package ferry

import (
	"errors"
	"io"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
)

// errOutgrown is the cause when a message is larger than announced, and the spool has
// no room for the rest of it now.
var errOutgrown = errors.New("larger than announced")

// growing takes memory, and room in the spool, for what comes of a message beyond its
// size in LIST, before the spool keeps it.
type growing struct {
	p      *pipeline
	listed plan.Listed
	body   io.Reader
	load   load
	read   int64
}

// Read implements io.Reader.
func (g *growing) Read(b []byte) (int, error) {
	n, err := g.body.Read(b)
	g.read += int64(n)
	if err := g.p.t.brake(g.p.soft, g.p.t.brakes.Octets(n)); err != nil {
		return 0, err
	}
	if err := g.remember(); err != nil {
		return 0, err
	}
	if g.read <= max(g.load.disk, spoolMemory) {
		return n, err
	}
	if err := g.more(); err != nil {
		return 0, err
	}
	return n, err
}

// remember takes memory for what was read. It waits, as take does, for messages of its
// own account, which give back theirs whatever becomes of this one.
func (g *growing) remember() error {
	more := flightWeight(g.read) - g.load.memory
	if more <= 0 {
		return nil
	}
	if err := g.p.budget.Acquire(g.p.soft, more); err != nil {
		return err
	}
	g.p.t.slot.Flight.Add(more)
	g.load.memory += more
	return nil
}

// more takes room for what was read, and for what follows next. It waits for as long as
// messages of its own account are on their way, since these give back what they have;
// what others have may be given back only when this one does so, and then it ends the
// session. Next time there is room for all that it may need before it is asked for.
func (g *growing) more() error {
	room := g.p.t.engine.SpoolRoom
	want := min(g.read+spoolMemory, room)
	if want < g.read {
		return g.outgrown(room + 1)
	}
	for {
		alone := g.p.empty()
		switch {
		case g.p.t.engine.disk.TryAcquire(want - g.load.disk):
			g.load.disk = want
			return nil
		case alone:
			return g.outgrown(room)
		}
		select {
		case <-g.p.released:
		case <-g.p.soft.Done():
			return g.p.soft.Err()
		}
	}
}

// outgrown ends the session, and notes for the next one how large the message is
// taken to be.
func (g *growing) outgrown(size int64) error {
	t := g.p.t
	t.mu.Lock()
	defer t.mu.Unlock()
	t.grown[g.listed.Key] = size
	return fault.New(fault.Temporary, "message %d is %w (%d bytes), and the disk of %s has no room for it now",
		g.listed.Number, errOutgrown, g.listed.Size, t.engine.Spool).
		WithHint("make room there, or name a state directory on another disk with --state")
}

// sizeOf is how large a message is taken to be: no larger than what is read of any, since LIST
// may say what it likes.
func (t *trip) sizeOf(l plan.Listed) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(min(l.Size, message.DefaultMax), t.grown[l.Key])
}

// empty reports whether no message is on its way.
func (p *pipeline) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.carried) == 0
}
