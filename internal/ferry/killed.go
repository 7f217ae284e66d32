package ferry

import (
	"context"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

// A pass that was killed could not tell what it did. The journal knows: it has more as delivered than
// when the last pass that ended did.

const wasKilled = "popferry was killed amid this pass, or lost its power"

// WasKilled reports whether a pass of the history was killed, which says nothing of the account.
func WasKilled(p journal.Pass) bool { return p.Error == wasKilled }

// recallKilled tells of what a pass delivered that never ended, before this one does anything: it
// may take hours.
func (t *trip) recallKilled(ctx context.Context) error {
	if t.silent || t.recalled {
		return nil
	}
	n, err := t.tally(ctx)
	if err != nil || t.lastRun.toldOf(n) {
		return err
	}
	killed := journal.Pass{Account: t.account.Name, Passes: 1, Code: int(fault.Temporary),
		Error: wasKilled,
		Hint:  "what it had delivered is counted here, and the next pass went on with the rest"}
	var last time.Time
	q := journal.Query{States: []journal.State{journal.Delivered, journal.DeleteSent, journal.Gone}}
	err = t.ledger.Each(ctx, q, func(r journal.Record) error {
		if !brought(r) || !r.DeliveredAt.After(t.lastRun.At) {
			return nil
		}
		killed.Delivered++
		killed.Bytes += r.Sum.Size
		if killed.Started.IsZero() || r.DeliveredAt.Before(killed.Started) {
			killed.Started = r.DeliveredAt
		}
		if r.DeliveredAt.After(last) {
			last = r.DeliveredAt
		}
		return nil
	})
	if killed.Seconds = last.Sub(killed.Started).Seconds(); err == nil && killed.Delivered > 0 {
		t.recalled = true
		t.emit(Event{Kind: Killed, Pass: &killed})
	}
	return err
}

// tally is how many messages the journal has as delivered, wherever they are by now.
func (t *trip) tally(ctx context.Context) (int, error) {
	counts, err := t.ledger.Counts(ctx)
	return counts[journal.Delivered] + counts[journal.DeleteSent] + counts[journal.Gone], err
}

// toldOf reports whether the last run told of all that is delivered. One of an earlier version did
// not count.
func (l LastRun) toldOf(delivered int) bool {
	if l.Recorded == nil {
		return !l.At.IsZero() || delivered == 0
	}
	return delivered <= *l.Recorded
}
