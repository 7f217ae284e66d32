package ferry

import (
	"cmp"
	"context"
	"slices"

	"github.com/popferry/popferry/internal/fault"
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
// messages are known by. Where nothing but the account's name speaks for it, or the
// user's before the @, they come on trial.
func (t *trip) inherit(ctx context.Context, scope journal.Scope) error {
	begun, err := t.began(ctx, scope)
	if err != nil {
		return err
	}
	counts, err := t.ledger.Counts(ctx)
	if err != nil || !begun && !empty(counts) {
		return err
	}
	old, err := t.predecessors(ctx, scope)
	if err != nil {
		return err
	}
	taken := map[place]bool{}
	for _, from := range old {
		if err := t.takeOver(ctx, from, taken); err != nil {
			return err
		}
	}
	t.noteTrials(old)
	if !begun && len(old) == 0 {
		return nil
	}
	return t.ledger.SetFact(ctx, factTakeOver, "")
}

// began reports whether the account began to take something over, or was part of a trial:
// of what is known of it, all or some may be elsewhere by now.
func (t *trip) began(ctx context.Context, now journal.Scope) (bool, error) {
	begun := ""
	for _, name := range []string{factTakeOver, factLent, factBorrowed} {
		text, err := t.ledger.Fact(ctx, name)
		if err != nil {
			return false, err
		}
		begun = cmp.Or(begun, text)
	}
	if begun == "" {
		return false, nil
	}
	if err := t.ledger.SetFact(ctx, factTakeOver, "yes"); err != nil {
		return false, err
	}
	if err := t.disentangle(ctx, now); err != nil {
		return false, err
	}
	return true, t.ledger.SetFact(ctx, factLent, "")
}

// predecessor is a scope to take over.
type predecessor struct {
	journal.Scope
	trial bool // what is not recognised goes back
}

// order is that in which records speak for equal messages: its own come first, and then what
// has its name.
func (p predecessor) order(now journal.Scope) int {
	switch {
	case !p.trial:
		return 0
	case p.Account == now.Account:
		return 1
	}
	return 2
}

// predecessors lists the scopes to take over, and tells of others that may have to be.
func (t *trip) predecessors(ctx context.Context, now journal.Scope) (old []predecessor, err error) {
	scopes, err := t.engine.Journal.Scopes(ctx)
	if err != nil {
		return nil, err
	}
	var strangers []journal.Scope
	for _, s := range scopes {
		precedes := t.precedes(s.Scope, now)
		p := predecessor{s.Scope, !precedes || !sameSource(s.Scope, now)}
		if !precedes && !t.left(s.Scope, now) {
			continue
		}
		vouches, err := t.vouchesHere(ctx, s.Scope)
		switch {
		case err != nil:
			return nil, err
		case vouches && !precedes && !alike(s.Scope, now):
			strangers = append(strangers, s.Scope)
		case vouches:
			old = append(old, p)
		case !p.trial && !t.undoes: // which tells what this means to it
			if err := t.noteOtherFolder(ctx, s.Scope); err != nil {
				return nil, err
			}
		}
	}
	t.noteStrangers(strangers)
	slices.SortStableFunc(old, func(a, b predecessor) int { return a.order(now) - b.order(now) })
	return old, nil
}

// noteOtherFolder tells that mail of this maildrop went to another folder of the same user
// before: each folder is a destination of its own, as where a pilot is followed by the real one.
func (t *trip) noteOtherFolder(ctx context.Context, old journal.Scope) error {
	ledger, err := t.engine.Journal.Ledger(ctx, old)
	if err != nil {
		return err
	}
	counts, err := ledger.Counts(ctx)
	if n := counts[journal.Delivered]; err == nil && n > 0 {
		t.note("folder %s is another destination: what POP3 still has of the %s delivered to %s before is brought here, too; "+
			"set folder: %[3]s again to keep that one, or take it back first, with that folder set, by popferry undo %[4]s",
			fault.Escape(t.account.Folder), count(n, "message"), fault.Escape(old.Folder), t.account.Name)
	}
	return err
}

// vouchesHere reports whether a scope knows of mail in this account's folder, once it
// has what is its own, and nothing else.
func (t *trip) vouchesHere(ctx context.Context, from journal.Scope) (bool, error) {
	if err := t.disentangle(ctx, from); err != nil {
		return false, err
	}
	ledger, err := t.engine.Journal.Ledger(ctx, from)
	if err != nil {
		return false, err
	}
	counts, err := ledger.Counts(ctx)
	if err != nil || empty(counts) {
		return false, err
	}
	return t.deliveredHere(ctx, from)
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

// precedes reports whether a scope may have been this account's before the
// configuration changed: it shares the destination, perhaps with another folder, and
// the name or the maildrop, and no account of today has it. A name says less than a
// maildrop: it may have been given to another one, while the old one goes under a new
// name.
func (t *trip) precedes(old, now journal.Scope) bool {
	if !sameDestination(old, now) || old == now || old.Account != now.Account && !sameSource(old, now) {
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

// sameDestination reports whether two scopes are about one user's folders.
func sameDestination(a, b journal.Scope) bool {
	return a.DestHost == b.DestHost && a.DestUser == b.DestUser
}

// scopeOf names what the journal keeps for an account.
func scopeOf(a plan.Account) journal.Scope {
	return journal.Scope{
		Account: a.Name, SourceHost: a.Source.Host, SourceUser: a.Source.Mailbox(),
		DestHost: a.Destination.Host, DestUser: a.Destination.Mailbox(), Folder: a.Folder,
	}
}

// place is where a record has its mail.
type place struct {
	folder        string
	validity, uid uint32
}

// takenTwice reports whether a record was taken over from another scope, too, since a run died
// when it was in both.
func takenTwice(r journal.Record, taken map[place]bool) bool {
	at := place{r.Folder, r.UIDValidity, r.UID}
	was := taken[at] && r.UID != 0
	taken[at] = true
	return was
}

// takeOver moves the records of a scope here. It may end at any point and begin again.
func (t *trip) takeOver(ctx context.Context, from predecessor, taken map[place]bool) error {
	ledger, err := t.engine.Journal.Ledger(ctx, from.Scope)
	if err != nil {
		return err
	}
	prefix := ""
	if from.trial {
		prefix = markOf(from.Scope)
	}
	if err := t.beginTakeOver(ctx, ledger, from.trial); err != nil {
		return err
	}
	err = inBatches(ctx, ledger, journal.Query{}, batchMessages, func(records []journal.Record) error {
		var here, twice []journal.Record
		for _, r := range records {
			switch {
			case isLeft(r):
			case takenTwice(r, taken):
				twice = append(twice, leave(r))
			default:
				here = append(here, r)
			}
		}
		if err := ledger.Put(ctx, twice); err != nil {
			return err
		}
		return move(ctx, ledger, t.ledger, here, func(key string) string { return prefix + key })
	})
	if err != nil {
		return err
	}
	if from.trial {
		return nil
	}
	t.note("takes over what is known of account %q (%s at %s, folder %s)", from.Account,
		from.SourceUser, from.SourceHost, from.Folder)
	return clearFacts(ctx, ledger, factRenumbered, factUnlocated, factUndo, factTakeOver)
}

// beginTakeOver takes over, before any record, what has to be known about them. A scope
// that may get them back keeps it, and one that does not forgets its last run.
func (t *trip) beginTakeOver(ctx context.Context, from journal.Ledger, trial bool) error {
	if err := t.ledger.SetFact(ctx, factTakeOver, "yes"); err != nil {
		return err
	}
	if err := t.copyUnlocated(ctx, from, t.ledger); err != nil {
		return err
	}
	for _, name := range []string{factRenumbered, factUndo} {
		value, err := from.Fact(ctx, name)
		if err == nil && value != "" {
			err = t.ledger.SetFact(ctx, name, value)
		}
		if err != nil {
			return err
		}
	}
	if trial {
		return t.lend(ctx, from)
	}
	if err := from.SetFact(ctx, factTakeOver, "yes"); err != nil {
		return err
	}
	return from.SetFact(ctx, factLastRun, "")
}

// copyUnlocated notes in which folders records of one ledger, which come to another, have
// no place yet.
func (t *trip) copyUnlocated(ctx context.Context, from, to journal.Ledger) error {
	folders, err := unlocatedFolders(ctx, from)
	if err != nil {
		return err
	}
	for _, f := range folders {
		if err := t.engine.unlocated(ctx, to, f, true); err != nil {
			return err
		}
	}
	return nil
}

func clearFacts(ctx context.Context, l journal.Ledger, names ...string) error {
	for _, name := range names {
		if err := l.SetFact(ctx, name, ""); err != nil {
			return err
		}
	}
	return nil
}

// move makes records those of another ledger, under new names.
func move(ctx context.Context, from, to journal.Ledger, records []journal.Record, name func(string) string) error {
	left := make([]journal.Record, len(records))
	for i := range records {
		left[i] = leave(records[i])
		records[i].Key = name(records[i].Key)
	}
	if err := to.Put(ctx, records); err != nil {
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
