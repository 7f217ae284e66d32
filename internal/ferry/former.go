package ferry

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/popferry/popferry/internal/journal"
)

// An account with another `folder` has another destination, to which all of its mail comes anew.
// What a route sends where it went before is there, though, and would be twice.

// formerly adds what of a batch is in the very folder that it is bound for, since the account
// brought or found it there under another `folder`.
func (t *trip) formerly(ctx context.Context, batch []*parcel, found map[string]journal.Record) error {
	was, err := t.formerRecords(ctx, batch)
	if err != nil || len(was) == 0 {
		return err
	}
	if err := t.dropMarked(ctx, was); err != nil {
		return err
	}
	if err := t.readUnread(ctx, was); err != nil {
		return err
	}
	spots := slices.SortedFunc(maps.Keys(was), func(a, b spot) int { return cmp.Or(byMailbox(a.in, b.in), cmp.Compare(a.uid, b.uid)) })
	for _, c := range batch {
		if _, done := found[c.listed.Key]; done {
			continue
		}
		i := slices.IndexFunc(spots, func(at spot) bool { return t.vouchesFormerly(was[at], c) && t.match.takeAt(at) })
		if i >= 0 {
			found[c.listed.Key] = t.match.foundFormerly(was[spots[i]], spots[i])
		}
	}
	return nil
}

// formerRecords are those of former scopes that share a header with mail of a batch, by where
// their mail is. What the account has a claim on by now speaks for a message already, or did.
func (t *trip) formerRecords(ctx context.Context, batch []*parcel) (map[spot]journal.Record, error) {
	scopes, err := t.formerScopes(ctx)
	if err != nil || len(scopes) == 0 {
		return nil, err
	}
	was := map[spot]journal.Record{}
	for _, s := range scopes {
		ledger, err := t.engine.Journal.Ledger(ctx, s)
		if err == nil {
			err = t.eachBound(ctx, ledger, batch, func(at spot, r journal.Record) {
				if r.State != journal.Gone {
					was[at] = r
				}
			})
		}
		if err != nil {
			return nil, err
		}
	}
	return was, t.eachBound(ctx, t.ledger, batch, func(at spot, _ journal.Record) { delete(was, at) })
}

// eachBound gives fn the records of a ledger that share a header with mail of a batch and have
// theirs in a folder that the batch is bound for.
func (t *trip) eachBound(ctx context.Context, ledger journal.Ledger, batch []*parcel, fn func(spot, journal.Record)) error {
	q := journal.Query{States: []journal.State{journal.Delivered, journal.DeleteSent, journal.Gone}}
	bound := map[string]bool{}
	for _, c := range batch {
		q.Headers = append(q.Headers, c.msg.Header)
		bound[c.to.now().Mailbox] = true
	}
	return ledger.Each(ctx, q, func(r journal.Record) error {
		if !bound[r.Folder] {
			return nil
		}
		at, ok, err := t.spotOf(ctx, r)
		if ok {
			fn(at, r)
		}
		return err
	})
}

// dropMarked leaves out mail that is no longer there, or that somebody wants gone. Servers write
// into headers, see [akin].
func (t *trip) dropMarked(ctx context.Context, was map[spot]journal.Record) error {
	seen, err := t.readHeaders(ctx, slices.Collect(maps.Keys(was)))
	maps.DeleteFunc(was, func(at spot, r journal.Record) bool {
		c, there := seen[at]
		return !there || c.Deleted || r.Origin != originWrapped && !akin(r.Sum, c.Summary)
	})
	return err
}

// readUnread reads the mail of records that know a header alone.
func (t *trip) readUnread(ctx context.Context, was map[spot]journal.Record) error {
	var unread []spot
	for at, r := range was {
		if r.Sum.Content.IsZero() {
			unread = append(unread, at)
		}
	}
	copies, err := t.readBack(ctx, unread)
	for at, c := range copies {
		was[at] = completed(was[at], c.Summary)
	}
	return err
}

// vouchesFormerly reports whether a record of a former scope is about a message: two lasting
// names are of two messages, unless the provider renumbered all. A deletion in doubt may have had
// no effect where the name is the same, or there is none.
func (t *trip) vouchesFormerly(r journal.Record, c *parcel) bool {
	_, same := c.msg.Same(r.Sum)
	other := named(r.Key) && (named(c.listed.Key) && !t.renumbered || r.State == journal.DeleteSent)
	believed := r.State == journal.DeleteSent && r.Reason == quitOK
	return same && r.Folder == c.to.now().Mailbox && (r.Key == c.listed.Key || !other && !believed)
}

// foundFormerly is the record of mail that is there under another `folder` of the account, which
// keeps the right to take it back.
func (m *matcher) foundFormerly(r journal.Record, at spot) journal.Record {
	now := m.foundRecord(r.Sum, at, "the journal of the former folder")
	if !provable(r) {
		now.Origin = r.Origin
	}
	return now
}

// takeAt says that mail in the destination speaks for a message, unless it does already.
func (m *matcher) takeAt(at spot) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.spentAt[at] {
		return false
	}
	m.spentAt[at] = true
	return true
}

// formerScopes are those that the account had with another `folder`.
func (t *trip) formerScopes(ctx context.Context) (former []journal.Scope, err error) {
	retired, err := t.engine.retiredScopes(ctx)
	now := scopeOf(t.account)
	for _, s := range retired {
		if sameSource(s, now) && sameDestination(s, now) {
			former = append(former, s)
		}
	}
	return former, err
}
