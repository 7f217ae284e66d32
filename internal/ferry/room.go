package ferry

import (
	"cmp"
	"context"
	"slices"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/plan"
)

// askRoom asks, once in a trip and only where there is something to copy, what the
// destination's quotas leave, and lets the plan warn.
func (t *trip) askRoom(ctx context.Context, p *plan.Plan) error {
	if t.roomAsked || p.Totals().Copy.Messages == 0 {
		return nil
	}
	var left imapdst.Room
	err := t.dest.do(ctx, t.home, func(c *imapdst.Conn, f imapdst.Folder) (err error) {
		left, err = c.Room(ctx, f)
		return err
	})
	if err != nil {
		return err
	}
	t.roomAsked = true
	t.setRoom(plan.Room(left))
	p.Weigh(plan.Room(left))
	return nil
}

func (t *trip) setRoom(r plan.Room) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.room = r
}

// unlimited is the room where nobody tells of any quota.
func unlimited() plan.Room { return plan.Room{Octets: plan.NoLimit, Messages: plan.NoLimit} }

// fit tells the messages that there is room for now from the others.
func (t *trip) fit(todo []plan.Listed) (fits, beyond []plan.Listed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.room.Fit(todo)
}

// carryFitting carries the messages that the quotas have room for, and then the
// others. That there is none for these is known from the server's word alone, and
// only its answer to an append is final: it may count in another way, or let its
// quotas be exceeded. So the smallest is tried alone. If that is refused, the trip
// ends, and it is the only one that was retrieved in vain; if it is taken, the
// others follow.
func (t *trip) carryFitting(ctx context.Context, todo []plan.Listed) error {
	fits, beyond := t.fit(todo)
	if err := t.carryList(ctx, fits); err != nil {
		return err
	}
	slices.SortStableFunc(beyond, func(a, b plan.Listed) int { return cmp.Compare(a.Size, b.Size) })
	for len(beyond) > 0 {
		before := t.delivered()
		if err := t.carryList(ctx, beyond[:1:1]); err != nil {
			return err
		}
		beyond = beyond[1:]
		if t.delivered() > before {
			t.setRoom(unlimited())
			return t.carryList(ctx, beyond)
		}
	}
	return nil
}
