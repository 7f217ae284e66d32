package ferry

import (
	"context"
	"slices"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/plan"
)

// inherit takes over what the journal knows of an account that was renamed, or
// whose maildrop moved to another host or user: its mail is in the destination,
// and must not be copied again. Records of a maildrop that moved lose their
// names, since UIDLs mean nothing on another server; their content is what the
// messages are known by.
func (t *trip) inherit(ctx context.Context, scope journal.Scope) error {
	counts, err := t.ledger.Counts(ctx)
	if err != nil || len(counts) > 0 {
		return err
	}
	scopes, err := t.engine.Journal.Scopes(ctx)
	if err != nil {
		return err
	}
	for _, s := range scopes {
		if !t.predecessor(s.Scope, scope) || retired(s) {
			continue
		}
		moved := s.Scope.SourceHost != scope.SourceHost || s.Scope.SourceUser != scope.SourceUser
		if err := t.takeOver(ctx, s.Scope, moved); err != nil {
			return err
		}
		if err := t.retire(ctx, s.Scope); err != nil {
			return err
		}
		t.note("takes over what is known of account %q (%s at %s)", s.Scope.Account,
			s.Scope.SourceUser, s.Scope.SourceHost)
	}
	return nil
}

// retired reports a scope of which nothing is left.
func retired(s journal.Status) bool {
	for state := range s.Counts {
		if state != journal.Listed {
			return false
		}
	}
	return true
}

// retire takes the last run from a scope that nothing is left of.
func (t *trip) retire(ctx context.Context, old journal.Scope) error {
	ledger, err := t.engine.Journal.Ledger(ctx, old)
	if err != nil {
		return err
	}
	return ledger.SetFact(ctx, factLastRun, "")
}

// predecessor reports whether a scope was this account's before the configuration
// changed: it shares the destination and the name or the maildrop, and no account
// of today has it.
func (t *trip) predecessor(old, now journal.Scope) bool {
	sameDestination := old.DestHost == now.DestHost && old.DestUser == now.DestUser && old.Folder == now.Folder
	sameSource := old.SourceHost == now.SourceHost && old.SourceUser == now.SourceUser
	if !sameDestination || old == now || old.Account != now.Account && !sameSource {
		return false
	}
	for _, a := range t.engine.Config.Accounts {
		if scopeOf(a) == old {
			return false
		}
	}
	return true
}

// scopeOf names what the journal keeps for an account.
func scopeOf(a plan.Account) journal.Scope {
	return journal.Scope{
		Account: a.Name, SourceHost: a.Source.Host, SourceUser: a.Source.Username,
		DestHost: a.Destination.Host, DestUser: a.Destination.Username, Folder: a.Folder,
	}
}

// takeOver moves the records of a scope here. What stays behind says that nothing
// is delivered there, so that no message has two claims.
func (t *trip) takeOver(ctx context.Context, from journal.Scope, moved bool) error {
	ledger, err := t.engine.Journal.Ledger(ctx, from)
	if err != nil {
		return err
	}
	return inBatches(ctx, ledger, journal.Query{}, batchMessages, func(records []journal.Record) error {
		left := slices.Clone(records)
		for i := range records {
			left[i].State, left[i].UID = journal.Listed, 0
			if moved {
				records[i].Key = asidePrefix + records[i].Key
			}
		}
		if err := t.ledger.Put(ctx, records); err != nil {
			return err
		}
		return ledger.Put(ctx, left)
	})
}

// inBatches gives the records that a query wants to fn, n at a time.
func inBatches(ctx context.Context, ledger journal.Ledger, q journal.Query, n int,
	fn func([]journal.Record) error) error {
	var batch []journal.Record
	err := ledger.Each(ctx, q, func(r journal.Record) error {
		batch = append(batch, r)
		if len(batch) < n {
			return nil
		}
		full := batch
		batch = nil
		return fn(full)
	})
	if err != nil || len(batch) == 0 {
		return err
	}
	return fn(batch)
}
