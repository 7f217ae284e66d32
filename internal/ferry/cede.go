package ferry

import (
	"context"
	"errors"
	"time"

	"github.com/popferry/popferry/internal/places"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// In a fleet a pass that has carried for a while gives way to accounts that wait, see [places.Slot].
// errCeded ends a round after which it does, and errReadOn one that was to, and
// left what only a pass to the end can judge.
var (
	errCeded  = errors.New("others wait for its place")
	errReadOn = errors.New("what was put off is judged when all is read")
)

// mayCede says that the trip carries from now on, and may give way later.
func (t *trip) mayCede() {
	if t.engine.keeps {
		t.slot.Carries()
	}
}

// conclude reads a second time what needs that, before the pass gives way: the next one would
// read all of it twice again. What is judged only when all is read keeps the pass from giving
// way.
func (t *trip) conclude(ctx context.Context) error {
	if todo := t.takeRereads(); len(todo) > 0 && !t.putsOff() {
		if err := t.readAnew(ctx, todo); err != nil {
			return err
		}
	}
	if t.putsOff() {
		return errReadOn
	}
	return errCeded
}

// readAnew reads messages once more, whoever waits meanwhile.
func (t *trip) readAnew(ctx context.Context, todo []plan.Listed) error {
	if err := t.sessionForReading(ctx); err != nil {
		return err
	}
	t.concludes = true
	defer func() { t.concludes = false }()
	return t.carry(ctx, todo)
}

// putsOff reports whether something waits for the verdict on all mail.
func (t *trip) putsOff() bool { return len(t.later) > 0 || len(t.comeback.putOff) > 0 }

// giveWay ends a pass with much left to do, so that the next one lets others begin before it.
func (t *trip) giveWay() {
	t.report.GaveWay = true
	t.engine.long.Store(t.account.Name, true)
}

// enough ends what asks for messages once no more are to be asked for.
func (p *pipeline) enough() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ceded.IsZero() && !p.t.concludes && p.t.slot.Ceding() {
		p.ceded = time.Now()
	}
	if p.ceded.IsZero() {
		return nil
	}
	return pop.ErrEnough
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

func (p *pipeline) drainedLocked() bool {
	return !p.ceded.IsZero() && time.Since(p.ceded) > places.Drain
}

// leavesOut reports a batch that has waited for a slow destination since before the pass was to
// give way.
func (p *pipeline) leavesOut(batch []*parcel) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drainedLocked() && batch[0].received.Before(p.ceded)
}
