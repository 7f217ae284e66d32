package ferry

import (
	"context"
	"slices"
)

// turns are what a trip of a fleet has of the folders that it carries into. Others who wait
// for one of them do not wait for servers that say nothing to it: its pass is ended then.
type turns struct {
	trip *trip
	of   []string
}

// awaitTurns waits for one turn after the other. All do so in the same order, so that no
// two accounts wait for each other.
func (t *trip) awaitTurns(ctx context.Context) error {
	e := t.engine
	have := &turns{t, e.turns(t.account)}
	defer t.slot.rest()()
	for i, turn := range have.of {
		if err := e.folders.await(ctx, turn); err != nil {
			e.folders.release(have.of[:i]...)
			return err
		}
	}
	t.turns = have
	e.folders.enlist(have)
	return nil
}

// giveBackTurns gives all turns back.
func (t *trip) giveBackTurns() {
	if t.turns != nil {
		t.engine.folders.strike(t.turns)
	}
	t.engine.folders.release(t.engine.turns(t.account)...)
}

// at implements [holder].
func (h *turns) at(place string) bool { return slices.Contains(h.of, place) }

// yield implements [holder].
func (h *turns) yield(w wish) bool {
	t := h.trip
	return t.seat.owes() && t.seat.yield(w) || t.dest.yieldStill() || t.slot.cede()
}
