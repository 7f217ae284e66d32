package ferry

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// canaries are the messages that went first of this account, and of those that it has to
// care for, as long as nobody has seen a copy of them since.
func (t *trip) canaries(ctx context.Context) (all []canary, err error) {
	scopes, err := t.engine.bereft(ctx)
	if err != nil {
		return nil, err
	}
	own := scopeOf(t.account)
	scopes = slices.DeleteFunc(slices.Clone(scopes), func(s journal.Scope) bool { return s == own })
	for _, s := range append([]journal.Scope{own}, scopes...) {
		if s != own && t.engine.heir(s) != t.account.Name {
			continue
		}
		c, err := t.canaryOf(ctx, s)
		if err != nil {
			return nil, err
		}
		if c.Key != "" {
			all = append(all, c)
		}
	}
	return all, nil
}

// canaryOf is that of a scope; one without a key is none.
func (t *trip) canaryOf(ctx context.Context, s journal.Scope) (c canary, err error) {
	ledger, err := t.engine.Journal.Ledger(ctx, s)
	if err != nil {
		return canary{}, err
	}
	fact, err := ledger.Fact(ctx, factCanary)
	if err != nil || fact == "" {
		return canary{}, err
	}
	if err := json.Unmarshal([]byte(fact), &c); err != nil {
		return canary{}, fault.New(fault.State, "the journal has something unreadable about a deletion: %w", err).
			WithHint("it may be about the only copy of a message: put the state directory aside, and go on with another one")
	}
	c.scope, c.ledger = s, ledger
	c.sum, err = message.Summarize(bytes.NewReader(c.Mail), t.now())
	return c, err
}

// bereft lists the scopes that no account of the list has any more, and that have a message
// to be put back.
func (e *engine) bereft(ctx context.Context) ([]journal.Scope, error) {
	e.leftMu.Lock()
	defer e.leftMu.Unlock()
	if e.leftKnown {
		return e.left, nil
	}
	retired, err := e.retiredScopes(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range retired {
		ledger, err := e.Journal.Ledger(ctx, s)
		if err != nil {
			return nil, err
		}
		fact, err := ledger.Fact(ctx, factCanary)
		if err != nil {
			return nil, err
		}
		if fact != "" {
			e.left = append(e.left, s)
		}
	}
	e.leftKnown = true
	return e.left, nil
}

// retiredScopes are those that no account of the list has. Lists are long, and that makes no new
// ones: so they are looked up once.
func (e *engine) retiredScopes(ctx context.Context) ([]journal.Scope, error) {
	e.retiredMu.Lock()
	defer e.retiredMu.Unlock()
	if e.retiredKnown {
		return e.retired, nil
	}
	scopes, err := e.Journal.Scopes(ctx)
	if err != nil {
		return nil, err
	}
	has := map[journal.Scope]bool{}
	for _, a := range e.Config.Accounts {
		has[scopeOf(a)] = true
	}
	for _, s := range scopes {
		if !has[s.Scope] {
			e.retired = append(e.retired, s.Scope)
		}
	}
	e.retiredKnown = true
	return e.retired, nil
}

// heir names the account that cares for a scope which none has any more: one with the same
// destination, where the mail can be put back, or else one with the same maildrop, all mail
// of which goes to its own destination by now. Several would each put it back.
func (e *engine) heir(s journal.Scope) (name string) {
	best := 0
	for _, a := range e.Config.Accounts {
		if n := kinship(s, scopeOf(a)); n > best {
			best, name = n, a.Name
		}
	}
	return name
}

func kinship(old, now journal.Scope) int {
	switch {
	case sameDestination(old, now) && sameSource(old, now):
		return 4
	case sameDestination(old, now) && old.Account == now.Account:
		return 3
	case sameDestination(old, now):
		return 2
	case sameSource(old, now):
		return 1
	}
	return 0
}
