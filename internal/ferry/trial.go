package ferry

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/plan"
)

// An account of which host or user, and with it the name, are others now has nothing that
// tells it from a new one. It has the records of one like it on trial: what it recognises
// among them is its own, and all else goes back once a pass is complete, since the one like
// it may be another maildrop, that comes into the list again. Whoever else may be that one
// takes them out of a trial that has not ended, which then begins again. One that had its
// name, and another host or user, may be another maildrop as well: the name may have been
// given to this one. But all of its records stay where one is recognised.
const (
	factLent     = "lent"     // records of this scope are with others, on trial or for good
	factBorrowed = "borrowed" // there are such records here
	factProven   = "proven"   // marks of those of which something was recognised
)

// maxNamed bounds how many accounts a note names.
const maxNamed = 3

// markPrefix begins keys of records on trial.
const markPrefix = asidePrefix + "@"

// markOf is what keys of a scope's records begin with while others have them on trial.
func markOf(s journal.Scope) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", s))
	return fmt.Sprintf("%s%x:", markPrefix, sum[:8])
}

// splitMark parts a key into the mark of its scope, which is "" if it has none, and what
// it is there.
func splitMark(key string) (mark, own string) {
	n := len(markOf(journal.Scope{}))
	if !strings.HasPrefix(key, markPrefix) || len(key) < n {
		return "", key
	}
	return key[:n], key[n:]
}

// left reports whether no account of today's list has a scope's maildrop, or its name at
// this destination.
func (t *trip) left(old, now journal.Scope) bool {
	if !sameDestination(old, now) {
		return false
	}
	for _, a := range t.engine.Config.Accounts {
		s := scopeOf(a)
		if sameSource(s, old) || sameDestination(s, old) && s.Account == old.Account {
			return false
		}
	}
	return true
}

// alike reports whether two scopes may be about one maildrop after its host, or the form
// of its user's name, changed.
func alike(a, b journal.Scope) bool {
	one := plan.LocalPart(a.SourceUser)
	return one != "" && one == plan.LocalPart(b.SourceUser)
}

// noteStrangers tells of accounts that this one may have been, although nothing speaks for
// it, and that no other one of the list may have been.
func (t *trip) noteStrangers(scopes []journal.Scope) {
	scopes = slices.DeleteFunc(scopes, t.hasHeir)
	if len(scopes) == 0 || len(t.listing) == 0 {
		return
	}
	t.note("is new here, and the list has no more what delivered to this folder before: %s; if this is the same "+
		"maildrop, give the account its old name (name: in accounts.yaml), or its mail is copied again", namesOf(scopes))
}

// noteTrials tells among whose mail the account looks for its own.
func (t *trip) noteTrials(old []predecessor) {
	var scopes []journal.Scope
	for _, p := range old {
		if p.trial {
			scopes = append(scopes, p.Scope)
		}
	}
	if len(scopes) > 0 {
		t.note("looks for its mail among that of accounts which the list has no more: %s", namesOf(scopes))
	}
}

// namesOf names accounts as they were, as far as people want to read that.
func namesOf(scopes []journal.Scope) string {
	var names []string
	for _, s := range scopes[:min(len(scopes), maxNamed)] {
		names = append(names, fmt.Sprintf("%q (%s at %s)", s.Account, s.SourceUser, s.SourceHost))
	}
	if more := len(scopes) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// hasHeir reports whether an account of today's list may have been one that is in it no
// more.
func (t *trip) hasHeir(old journal.Scope) bool {
	return slices.ContainsFunc(t.engine.Config.Accounts, func(a plan.Account) bool {
		return sameDestination(scopeOf(a), old) && alike(scopeOf(a), old)
	})
}

// lend notes, before any record goes, that those of a ledger come here on trial, and that
// their names say nothing here, whatever else is known by its name.
func (t *trip) lend(ctx context.Context, from journal.Ledger) error {
	if err := t.ledger.SetFact(ctx, factRenumbered, time.Now().UTC().Format(time.RFC3339)); err != nil {
		return err
	}
	if err := t.ledger.SetFact(ctx, factBorrowed, "yes"); err != nil {
		return err
	}
	return from.SetFact(ctx, factLent, "yes")
}

// disentangle gives a scope what is its own, and others what it has of theirs on trial. A
// record that is in both places, since a run died, is in one then.
func (t *trip) disentangle(ctx context.Context, s journal.Scope) error {
	if err := t.bringHome(ctx, s); err != nil {
		return err
	}
	ledger, err := t.engine.Journal.Ledger(ctx, s)
	if err != nil {
		return err
	}
	return t.endTrial(ctx, ledger)
}

// bringHome takes back what others have of a scope's records on trial.
func (t *trip) bringHome(ctx context.Context, s journal.Scope) error {
	home, err := t.engine.Journal.Ledger(ctx, s)
	if err != nil {
		return err
	}
	lent, err := home.Fact(ctx, factLent)
	if err != nil || lent == "" {
		return err
	}
	return t.eachNeighbour(ctx, func(from journal.Ledger, _ bool) error {
		return t.restore(ctx, from, map[string]journal.Scope{markOf(s): s})
	})
}

// noteProven notes, before records move to names of messages, of whom those among them were
// that are here on trial.
func (t *trip) noteProven(ctx context.Context, moves map[string]journal.Record) error {
	marks := map[string]bool{}
	for key := range moves {
		mark, _ := splitMark(key)
		marks[mark] = mark != ""
	}
	if !slices.Contains(slices.Collect(maps.Values(marks)), true) {
		return nil
	}
	proven, err := t.ledger.Fact(ctx, factProven)
	if err != nil {
		return err
	}
	for mark := range marks {
		if !strings.Contains(proven, mark) {
			proven += mark
		}
	}
	return t.ledger.SetFact(ctx, factProven, proven)
}

// giveBack ends the trial, once all that is listed was recognised or is none of it.
func (t *trip) giveBack(ctx context.Context) error {
	if len(t.unread) > 0 {
		return nil // what was not read may be some of it
	}
	if err := t.keepProven(ctx); err != nil {
		return err
	}
	return t.endTrial(ctx, t.ledger)
}

// keepProven keeps what was known under the account's name, where some of it was recognised:
// the maildrop moved, and what POP3 has no more of it was brought for this account, too.
func (t *trip) keepProven(ctx context.Context) error {
	proven, err := t.ledger.Fact(ctx, factProven)
	if err != nil || proven == "" {
		return err
	}
	scopes, err := t.engine.Journal.Scopes(ctx)
	if err != nil {
		return err
	}
	for _, s := range scopes {
		if mark := markOf(s.Scope); s.Scope.Account == t.account.Name && strings.Contains(proven, mark) {
			if err := t.keepMarked(ctx, mark); err != nil {
				return err
			}
		}
	}
	return t.ledger.SetFact(ctx, factProven, "")
}

// keepMarked keeps, under names that say nothing, the records that have a mark.
func (t *trip) keepMarked(ctx context.Context, mark string) error {
	return inBatches(ctx, t.ledger, journal.Query{}, batchMessages, func(records []journal.Record) error {
		moves := map[string]journal.Record{}
		for _, r := range records {
			if !strings.HasPrefix(r.Key, mark) || isLeft(r) {
				continue
			}
			kept, err := t.aside(ctx, r)
			if err != nil {
				return err
			}
			moves[r.Key] = kept
		}
		return t.ledger.Rekey(ctx, moves)
	})
}

// endTrial gives back what a ledger has on trial.
func (t *trip) endTrial(ctx context.Context, ledger journal.Ledger) error {
	borrowed, err := ledger.Fact(ctx, factBorrowed)
	if err != nil || borrowed == "" {
		return err
	}
	scopes, err := t.engine.Journal.Scopes(ctx)
	if err != nil {
		return err
	}
	owners := map[string]journal.Scope{}
	for _, s := range scopes {
		owners[markOf(s.Scope)] = s.Scope
	}
	if err := t.restore(ctx, ledger, owners); err != nil {
		return err
	}
	return ledger.SetFact(ctx, factBorrowed, "")
}

// restore gives those of a ledger's records that are there on trial back to their owners.
func (t *trip) restore(ctx context.Context, from journal.Ledger, owners map[string]journal.Scope) error {
	return inBatches(ctx, from, journal.Query{}, batchMessages, func(records []journal.Record) error {
		back := map[string][]journal.Record{}
		for _, r := range records {
			if mark, _ := splitMark(r.Key); mark != "" && !isLeft(r) {
				back[mark] = append(back[mark], r)
			}
		}
		for mark, owner := range owners {
			if err := t.restoreTo(ctx, owner, from, back[mark]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *trip) restoreTo(ctx context.Context, owner journal.Scope, from journal.Ledger, records []journal.Record) error {
	if len(records) == 0 {
		return nil
	}
	to, err := t.engine.Journal.Ledger(ctx, owner)
	if err != nil {
		return err
	}
	if err := t.copyUnlocated(ctx, from, to); err != nil {
		return err
	}
	return move(ctx, from, to, records, func(key string) string {
		_, own := splitMark(key)
		return own
	})
}
