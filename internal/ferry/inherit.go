package ferry

import (
	"context"
	"slices"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/plan"
)

// factTakeOver says, at both ends of a take-over, that it has begun and is not
// complete: what is known may be in either place, whatever the configuration says
// next.
const factTakeOver = "take-over"

// inherit takes over what the journal knows of an account that was renamed, or
// whose maildrop moved to another host or user: its mail is in the destination,
// and must not be copied again. Records of a maildrop that moved lose their
// names, since UIDLs mean nothing on another server; their content is what the
// messages are known by.
func (t *trip) inherit(ctx context.Context, scope journal.Scope) error {
	begun, err := t.ledger.Fact(ctx, factTakeOver)
	if err != nil {
		return err
	}
	counts, err := t.ledger.Counts(ctx)
	if err != nil || begun == "" && !empty(counts) {
		return err
	}
	old, err := t.predecessors(ctx, scope)
	if err != nil {
		return err
	}
	for _, from := range old {
		if err := t.takeOver(ctx, from, !sameSource(from, scope)); err != nil {
			return err
		}
		t.note("takes over what is known of account %q (%s at %s, folder %s)", from.Account,
			from.SourceUser, from.SourceHost, from.Folder)
	}
	if begun == "" && len(old) == 0 {
		return nil
	}
	return t.ledger.SetFact(ctx, factTakeOver, "")
}

// predecessors lists the scopes to take over.
func (t *trip) predecessors(ctx context.Context, now journal.Scope) (old []journal.Scope, err error) {
	scopes, err := t.engine.Journal.Scopes(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range scopes {
		if !t.predecessor(s.Scope, now) || empty(s.Counts) {
			continue
		}
		here, err := t.deliveredHere(ctx, s.Scope)
		if err != nil {
			return nil, err
		}
		if here {
			old = append(old, s.Scope)
		}
	}
	return old, nil
}

// empty reports a scope that vouches for nothing: it is new, or was taken over.
func empty(counts map[journal.State]int) bool {
	for state := range counts {
		if state != journal.Listed {
			return false
		}
	}
	return true
}

// predecessor reports whether a scope may have been this account's before the
// configuration changed: it shares the destination, perhaps with another folder, and
// the name or the maildrop, and no account of today has it. A name says less than a
// maildrop: it may have been given to another one, while the old one goes under a new
// name.
func (t *trip) predecessor(old, now journal.Scope) bool {
	sameDestination := old.DestHost == now.DestHost && old.DestUser == now.DestUser
	if !sameDestination || old == now || old.Account != now.Account && !sameSource(old, now) {
		return false
	}
	for _, a := range t.engine.Config.Accounts {
		heir := scopeOf(a)
		if !sameSource(old, now) {
			heir.Account = old.Account
		}
		if heir == old {
			return false
		}
	}
	return true
}

// deliveredHere reports whether the folder of a scope is the one of this account. One
// that is spelled in another way is if the scope's mail went to the mailbox that is
// open now: INBOX may be in any case (RFC 3501 §5.1), and \Archive may be Archive
// (RFC 6154 §2).
func (t *trip) deliveredHere(ctx context.Context, from journal.Scope) (here bool, err error) {
	if from.Folder == t.account.Folder {
		return true, nil
	}
	ledger, err := t.engine.Journal.Ledger(ctx, from)
	if err != nil {
		return false, err
	}
	mailbox := t.dest.home.now().Mailbox
	err = ledger.Each(ctx, journal.Query{}, func(r journal.Record) error {
		here = here || r.State != journal.Listed && r.Folder == mailbox
		return nil
	})
	return here, err
}

// sameSource reports whether two scopes are about one maildrop.
func sameSource(a, b journal.Scope) bool {
	return a.SourceHost == b.SourceHost && a.SourceUser == b.SourceUser
}

// scopeOf names what the journal keeps for an account.
func scopeOf(a plan.Account) journal.Scope {
	return journal.Scope{
		Account: a.Name, SourceHost: a.Source.Host, SourceUser: a.Source.Mailbox(),
		DestHost: a.Destination.Host, DestUser: a.Destination.Mailbox(), Folder: a.Folder,
	}
}

// takeOver moves the records of a scope here, and forgets its last run. It may end at
// any point and begin again.
func (t *trip) takeOver(ctx context.Context, from journal.Scope, moved bool) error {
	ledger, err := t.engine.Journal.Ledger(ctx, from)
	if err != nil {
		return err
	}
	if err := t.beginTakeOver(ctx, ledger); err != nil {
		return err
	}
	err = inBatches(ctx, ledger, journal.Query{}, batchMessages, func(records []journal.Record) error {
		return t.takeBatch(ctx, ledger, slices.DeleteFunc(records, isLeft), moved)
	})
	if err != nil {
		return err
	}
	return clearFacts(ctx, ledger, factRenumbered, factUnlocated, factUndo, factTakeOver)
}

// beginTakeOver takes over, before any record, what has to be known about them.
func (t *trip) beginTakeOver(ctx context.Context, from journal.Ledger) error {
	for _, l := range []journal.Ledger{from, t.ledger} {
		if err := l.SetFact(ctx, factTakeOver, "yes"); err != nil {
			return err
		}
	}
	for _, name := range []string{factRenumbered, factUnlocated, factUndo} {
		value, err := from.Fact(ctx, name)
		if err == nil && value != "" {
			err = t.ledger.SetFact(ctx, name, value)
		}
		if err != nil {
			return err
		}
	}
	return from.SetFact(ctx, factLastRun, "")
}

func clearFacts(ctx context.Context, l journal.Ledger, names ...string) error {
	for _, name := range names {
		if err := l.SetFact(ctx, name, ""); err != nil {
			return err
		}
	}
	return nil
}

func (t *trip) takeBatch(ctx context.Context, from journal.Ledger, records []journal.Record, moved bool) error {
	left := make([]journal.Record, len(records))
	for i := range records {
		left[i] = leave(records[i])
		if moved {
			records[i].Key = asidePrefix + records[i].Key
		}
	}
	if err := t.ledger.Put(ctx, records); err != nil {
		return err
	}
	return from.Put(ctx, left)
}

// leave makes what stays behind of a record. It says that nothing is delivered
// there, so that no message has two claims, and knows no content, so that it is not
// mistaken for a message that was read.
func leave(r journal.Record) journal.Record {
	return journal.Record{Key: r.Key, UIDL: r.UIDL, Listed: r.Listed, State: journal.Listed, FirstSeen: r.FirstSeen}
}

// isLeft reports what an earlier take-over left behind.
func isLeft(r journal.Record) bool { return r.State == journal.Listed && r.Sum.Content.IsZero() }

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
