package ferry

import (
	"slices"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/plan"
)

// Where no name of a listing is known, and deletions are in doubt, these either had no effect
// and the provider renumbered its mail, or they had, and what is there is other mail. Headers
// don't tell: what a program sends each night may differ in its text alone. Contents do, once
// all were read. Until then what has one of those is put off.

// comeback is what is known of deletions in doubt that names say nothing of.
type comeback struct {
	sent   int             // how many there are
	back   map[string]bool // records of which the content is there
	putOff []plan.Listed   // what has it
	judged bool
}

// enough reports whether the mail of nearly all of the deletions is there. Anything less is
// new mail, and another copy of it at worst.
func (c comeback) enough(back int) bool { return c.sent > 0 && 10*back >= 9*c.sent }

// putOffDoubted reports whether only the verdict on all deletions in doubt tells if the
// message is that of a record. Then it is read again once there is one.
func (t *trip) putOffDoubted(l plan.Listed, r journal.Record) bool {
	c := &t.comeback
	if c.judged || r.State != journal.DeleteSent || r.Key == l.Key || t.mayBeUnder(r, l.Key) || t.mayBeBackAlone(r) {
		return false
	}
	t.slot.Stay() // the next pass would put it off, too
	c.back[r.Key] = true
	c.putOff = append(c.putOff, l)
	return true
}

// judgeComeback decides whether the deletions took effect, once all mail was read, and
// returns what was put off.
func (t *trip) judgeComeback() []plan.Listed {
	c := &t.comeback
	c.judged = true
	t.undeleted = t.undeleted && c.enough(len(c.back))
	for key := range c.back {
		t.match.free(key)
	}
	return c.putOff
}

// inDoubt reports whether one of the witnesses is a deletion in doubt.
func inDoubt(ws []witness) bool {
	return slices.ContainsFunc(ws, func(w witness) bool { return w.record.State == journal.DeleteSent })
}
