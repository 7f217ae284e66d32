package ferry

import (
	"context"
	"slices"

	"github.com/popferry/popferry/internal/places"
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
	defer t.slot.Rest()()
	for i, turn := range have.of {
		if err := e.folders.Await(ctx, turn); err != nil {
			e.folders.Release(have.of[:i]...)
			return err
		}
	}
	t.turns = have
	e.folders.Enlist(have)
	return nil
}

// giveBackTurns gives all turns back.
func (t *trip) giveBackTurns() {
	if t.turns != nil {
		t.engine.folders.Strike(t.turns)
	}
	t.engine.folders.Release(t.engine.turns(t.account)...)
}

// At implements [places.Holder].
func (h *turns) At(place string) bool { return slices.Contains(h.of, place) }

// Yield implements [places.Holder].
func (h *turns) Yield(w places.Wish) bool {
	t := h.trip
	return t.seat.owes() && t.seat.Yield(w) || t.dest.yieldStill() || t.slot.Cede()
}
