package ferry

import (
	"context"
	"maps"

	"github.com/popferry/popferry/internal/journal"
)

// namePorts gives the accounts of the list what is known of them from before the ports of their
// servers were part of the names, all at once: what one of them delivered must not look like
// foreign mail to another.
func (e *engine) namePorts(ctx context.Context) error {
	e.portsMu.Lock()
	defer e.portsMu.Unlock()
	if e.portsNamed {
		return nil
	}
	portless, err := e.Journal.Portless(ctx)
	if err != nil {
		return err
	}
	names := e.withPorts(portless)
	for old, now := range names {
		lent, err := e.isLent(ctx, old)
		if err != nil {
			return err
		}
		if lent && old != now {
			delete(names, old) // it gets its records back under the name that it has
		}
	}
	if len(names) > 0 {
		err = e.Journal.Rename(ctx, names)
	}
	e.portsNamed = err == nil
	return err
}

// withPorts are the names that those of the scopes have today of which an account is in the list.
func (e *engine) withPorts(portless []journal.Scope) map[journal.Scope]journal.Scope {
	names := map[journal.Scope]journal.Scope{}
	if len(portless) == 0 {
		return names
	}
	for _, a := range e.Config.Accounts {
		old := journal.ScopeOf(a)
		old.SourceHost, old.DestHost = a.Source.Host, a.Destination.Host
		names[old] = journal.ScopeOf(a)
	}
	is := map[journal.Scope]bool{}
	for _, s := range portless {
		is[s] = true
	}
	maps.DeleteFunc(names, func(old, _ journal.Scope) bool { return !is[old] })
	return names
}

// isLent reports whether others may have records of a scope on trial.
func (e *engine) isLent(ctx context.Context, s journal.Scope) (bool, error) {
	ledger, err := e.Journal.Ledger(ctx, s)
	if err != nil {
		return false, err
	}
	lent, err := ledger.Fact(ctx, factLent)
	return lent != "", err
}
