package ferry

import (
	"context"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

// A destination may end the connection over one message: at its announcement, amid its octets,
// or behind them. The last leaves a doubt (see settle); here is what was never sent whole.

// blame counts an attempt against the messages at which the connection ended, one or two, and
// reports whether it did. Refusals may be why, too, and we ourselves. Less goes out at once from
// now on: of many in one command it may have been another.
func (l *lane) blame(cut []*parcel, lost error) bool {
	t := l.p.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refusing || l.ended || l.p.hard.Err() != nil || fault.CodeOf(lost) != fault.Temporary {
		return false
	}
	for _, c := range cut {
		c.record.Attempts++
	}
	t.choked = true
	return true
}

// mayBeCause reports a message that may be why the connection ended. Some end it after so much
// mail, whatever it is: what went over it alone, before all other, is another matter. The last
// to be tried are the first of the next round, once the others have arrived.
func mayBeCause(r journal.Record, first bool) bool { return first || wasSilent(r) }

// hopeless reports a message that was tried often enough to be held, so that it does not end
// every run (I7): while others arrived, since an outage explains nothing then, or it was held
// for this before. But where it is one after the other, it is hardly the messages: those that it
// reports are counted, until one arrives.
func (t *trip) hopeless(r journal.Record) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.Attempts < maxAttempts || !wasSilent(r) && (t.report.Delivered == 0 || t.silenced >= maxDeadEnds) {
		return false
	}
	if !wasSilent(r) {
		t.silenced++
	}
	return true
}

// wasSilent reports a message over which the destination ended its connections.
func wasSilent(r journal.Record) bool { return strings.HasPrefix(r.Reason, reasonSilent) }

// holdCut holds a message that can't be sent.
func (l *lane) holdCut(ctx context.Context, c *parcel, lost error) error {
	defer l.p.release(c)
	l.p.t.resolved(c.session)
	return l.p.t.hold(ctx, c.listed, c.record, reasonSilent+": "+lost.Error())
}
