package ferry

import (
	"context"
	"io"

	"github.com/popferry/popferry/internal/limits"
	"github.com/popferry/popferry/internal/places"
	"github.com/popferry/popferry/plan"
)

// limited is what limits let an account carry.
type limited struct {
	brakes limits.Brakes
	purses *limits.Purses
}

// keepLimits has the trip keep the limits of the engine.
func (t *trip) keepLimits() {
	e := t.engine
	t.limited = limited{e.rates.Of(t.account), e.budgets.Purses(e.Config, t.account, books{t}, e.Clock)}
}

// books are the ledgers, which know what accounts spent.
type books struct{ t *trip }

// Read implements [limits.Books].
func (b books) Read(ctx context.Context, a plan.Account, fact string) (string, error) {
	ledger, err := b.t.engine.Journal.Ledger(ctx, scopeOf(a))
	if err != nil {
		return "", err
	}
	return ledger.Fact(ctx, fact)
}

// Write implements [limits.Books].
func (b books) Write(ctx context.Context, fact, text string) error {
	return b.t.ledger.SetFact(ctx, fact, text)
}

// brake waits. Meanwhile accounts of other hosts may have the slot, unless they would
// have to wait as well.
func (t *trip) brake(ctx context.Context, w limits.Wait) error {
	if w.For <= 0 {
		return nil
	}
	t.slot.Brake(w.Host, w.For)
	return places.Sleep(ctx, w.For)
}

// inHours is the error for a time at which nothing may be carried.
func (t *trip) inHours() error {
	return limits.InHours(t.engine.Config.Limits, t.account, t.engine.Clock())
}

// mayFetch is the error for a message that limits leave to a later run.
func (t *trip) mayFetch(ctx context.Context, l plan.Listed) error {
	if err := t.inHours(); err != nil {
		return err
	}
	return t.purses.Spend(ctx, t.sizeOf(l))
}

// readAgain is one more retrieval of a message, which limits bound as they do the first,
// but for the bytes of the destination: it gets nothing of it.
func (t *trip) readAgain(ctx context.Context, l plan.Listed, body io.Reader) (io.Reader, error) {
	if err := t.inHours(); err != nil {
		return nil, err
	}
	if err := t.purses.SpendAt(ctx, t.account.Source, t.sizeOf(l)); err != nil {
		return nil, err
	}
	if err := t.brake(ctx, t.brakes.Message()); err != nil {
		return nil, err
	}
	return &paced{ctx, t, body}, t.slot.Work(ctx)
}

// paced is a body that is read as fast as the rates permit.
type paced struct {
	ctx  context.Context
	t    *trip
	body io.Reader
}

// Read implements io.Reader.
func (p *paced) Read(b []byte) (int, error) {
	n, err := p.body.Read(b)
	if err := p.t.brake(p.ctx, p.t.brakes.Octets(n)); err != nil {
		return 0, err
	}
	return n, err
}
