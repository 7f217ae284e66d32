package ferry

import (
	"context"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/plan"
)

// survey holds the listing against the journal.
func (t *trip) survey(ctx context.Context) error {
	named, err := t.lookUp(ctx)
	if err != nil {
		return err
	}
	t.parked, t.rereads, t.later = map[string]journal.Record{}, nil, map[string]bool{}
	if t.rounds == 0 {
		t.report.Listed = len(t.listing)
	}
	counts, err := t.ledger.Counts(ctx)
	if err != nil {
		return err
	}
	t.undeleted, t.comeback = false, comeback{back: map[string]bool{}}
	t.countSkipped()
	if err := t.judgeNames(ctx, named-t.skipped, counts); err != nil {
		return err
	}
	if err := t.noteVanished(ctx); err != nil {
		return err
	}
	if err := t.confirmAnswered(ctx); err != nil {
		return err
	}
	t.match = newMatcher(t)
	t.match.blank = len(counts) == 0
	return t.settleOpen(ctx)
}

// countSkipped says how much of the listing skip_uidls leaves alone.
func (t *trip) countSkipped() {
	t.skipped = 0
	for _, l := range t.listing {
		if t.skips(l) {
			t.skipped++
		}
	}
	if t.skipped > 0 && t.rounds == 0 {
		t.report.LeftAlone = t.skipped
		t.note("%s left alone: another program fetched them before, says skip_uidls", count(t.skipped, "message"))
	}
}

// skips reports a message that the journal does not know and that is in the account's
// list of those that another program fetched. A UIDL that several have names none.
func (t *trip) skips(l plan.Listed) bool {
	if len(t.account.Source.Skip) == 0 || !trusted(l) {
		return false
	}
	_, known := t.known[l.Key]
	return !known && !t.isAsBefore(l.Key) && t.account.Source.Skip.Has(l.UIDL)
}

// judgeNames decides whether UIDLs say anything about old messages. The verdict
// that they do not lasts until a round is complete: halfway through, the new names
// are known and the old ones still have to speak.
func (t *trip) judgeNames(ctx context.Context, named int, counts map[journal.State]int) error {
	before, err := t.ledger.Fact(ctx, factRenumbered)
	t.renumbered = before != "" || t.looksRenumbered(named, counts)
	if err != nil || !t.renumbered || before != "" || len(counts) == 0 {
		return err
	}
	return t.ledger.SetFact(ctx, factRenumbered, time.Now().UTC().Format(time.RFC3339))
}

// looksRenumbered reports whether the provider may have given its messages new
// UIDLs, so that old names say nothing: hardly any of the listing is known, more than
// half of what the last run listed is gone and about as many names are new, or some name
// has another message by now. Where all that is known is listed, nothing was: a first pass was
// not complete.
func (t *trip) looksRenumbered(named int, counts map[journal.State]int) bool {
	known := 0
	for _, u := range t.unchanged {
		if u.known {
			known++
		}
	}
	for key, r := range t.known {
		l, _ := t.at(key)
		if delivered(r) && r.State != journal.Gone && r.Listed != l.Size {
			return true
		}
		if r.State == journal.Delivered || r.State == journal.Intent {
			known++
		}
	}
	missing := counts[journal.Delivered] + counts[journal.Intent] + counts[journal.DeleteSent] - known
	return named > 0 && 10*known <= named && (missing > 0 || known == 0) || t.lastRun.replaced(known, named-known)
}

// replaced reports whether names took the place of more than half of those that the last
// run left in its listing.
func (l LastRun) replaced(known, fresh int) bool {
	left := l.Totals.Known + l.Totals.Duplicate + l.Totals.Delivered - l.Totals.Deleted // of what was settled
	gone := left - known
	return 2*gone > left && 10*fresh >= 9*gone
}

// noteVanished says once of held mail that a listing lacks that somebody else took
// it.
func (t *trip) noteVanished(ctx context.Context) error {
	return t.restateAbsent(ctx, journal.Held, func(r *journal.Record) bool {
		if r.UIDL == "" || t.renumbered || t.unnamed {
			return false // nothing tells it from others that have no name, or another
		}
		t.note("message %s disappeared from POP3 before it could be delivered", fault.Escape(r.UIDL))
		r.State = journal.Listed
		return true
	})
}

// confirmGone settles deletions whose QUIT went unanswered or unconfirmed. It
// comes at the end of a round, when all of the listing was matched: a record that
// spoke for none of it is about a message that is gone, unless it may be about one that
// could not be read.
func (t *trip) confirmGone(ctx context.Context) error {
	return t.restateAbsent(ctx, journal.DeleteSent, func(r *journal.Record) bool {
		r.State = journal.Gone
		return !t.match.isSpent(r.Key) && !t.unread[r.Listed]
	})
}

// confirmAnswered settles deletions whose QUIT was answered with +OK: for these
// the listing is enough, unless its names say nothing.
func (t *trip) confirmAnswered(ctx context.Context) error {
	return t.restateAbsent(ctx, journal.DeleteSent, func(r *journal.Record) bool {
		r.State = journal.Gone
		return r.Reason == quitOK && r.UIDL != "" && !t.unnamed
	})
}

// restateAbsent changes records in a state whose messages the listing lacks. Of those that
// are here on trial it may be that of another maildrop.
func (t *trip) restateAbsent(ctx context.Context, state journal.State, change func(*journal.Record) bool) error {
	var changed []journal.Record
	q := journal.Query{States: []journal.State{state}}
	err := t.ledger.Each(ctx, q, func(r journal.Record) error {
		if mark, _ := splitMark(r.Key); mark == "" && !t.lists(r.UIDL) && change(&r) {
			r.Changed = time.Now()
			changed = append(changed, r)
		}
		return nil
	})
	if err != nil || len(changed) == 0 {
		return err
	}
	return t.ledger.Put(ctx, changed)
}

// describe lists every message of the maildrop in the report, as the journal
// knows it by now. Held ones are there already.
func (t *trip) describe(ctx context.Context) error {
	var keys []string
	for _, l := range t.listing {
		keys = append(keys, l.Key)
	}
	known, err := t.ledger.Get(ctx, keys)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.listing {
		r, ok := known[l.Key]
		skipped := !ok && t.skips(l)
		if !ok && !skipped || t.held[l.Key] {
			continue
		}
		state := string(r.State)
		if skipped {
			state = "skipped" // another program fetched it
		}
		if r.State == journal.Delivered && !t.own[l.Key] {
			state = "known" // delivered by an earlier run
		}
		t.showLocked(l.Key, MessageReport{
			Number: l.Number, UIDL: fault.Escape(l.UIDL), Size: l.Size, State: state,
			Reason: r.Reason, Folder: r.Folder, UID: r.UID,
		})
	}
	return nil
}

// draw makes the plan: what the journal knows decides most of it; what is new
// is held against the destination first. With act set, the journal is told what
// was recognised on the way.
func (t *trip) draw(ctx context.Context, act bool) (plan.Plan, error) {
	found, err := t.recognise(ctx, act)
	if err != nil {
		return plan.Plan{}, err
	}
	if !act {
		if err := t.foreseeTargets(ctx); err != nil {
			return plan.Plan{}, err
		}
	}
	box, limit := t.home.now(), t.limit()
	p := plan.Build(plan.Input{
		Account: t.account.Name, ConfigHash: t.account.Hash(), Now: t.now(), LastRun: t.agreedBy(),
		Listing: t.listing, Skip: t.account.Source.Skip, Known: t.knownToPlan(limit),
		Delivered: t.deliveredBefore, Found: found,
		Routes: len(t.account.Routes) > 0, Targets: t.targets,
		Limit: limit, Expire: t.source.Capabilities().Expire, Source: t.account.Source.Ways, Keep: t.account.Keep, Pace: t.account.Pace, HeldToo: t.heldToo,
		Destination: plan.Destination{
			Host: t.account.Destination.Host, User: t.account.Destination.Mailbox(),
			Folder: box.Name, Exists: box.Exists, UIDValidity: box.UIDValidity,
			UIDNext: box.UIDNext, Messages: box.Messages,
		},
		Warnings: t.account.Warnings(),
	})
	if err := t.askRoom(ctx, &p); err != nil {
		return p, err
	}
	t.count(p)
	return p, nil
}

// limit is the largest message that any folder takes, as far as it is known before one
// is read: each may have a limit of its own (RFC 7889 §2).
func (t *trip) limit() int64 {
	if len(t.account.Routes) > 0 {
		return t.dest.get().Capabilities().AppendLimit
	}
	return t.home.now().AppendLimit
}

// knownToPlan gives the planner the journal's word on trusted keys, as far as it is not
// the usual; see deliveredBefore.
func (t *trip) knownToPlan(limit int64) map[string]plan.Known {
	known := make(map[string]plan.Known, len(t.known))
	for key, r := range t.known {
		if r.State == journal.Listed || r.State == journal.DeleteSent || retriable(r, limit) && !t.held[key] {
			continue
		}
		known[key] = plan.Known{
			State: string(r.State), Listed: r.Listed, DeliveredAt: t.clock.Counted(r.DeliveredAt),
			VerifiedAt: r.VerifiedAt, Reason: r.Reason, Folder: r.Folder, UID: r.UID,
		}
	}
	return known
}

// retriable reports held mail whose obstacle may be gone: the source refused to
// give it, or the destination ended its connection over it, though not often
// enough to be hopeless or long ago, or it was too large for a limit that has grown.
func retriable(r journal.Record, limit int64) bool {
	if r.State != journal.Held {
		return false
	}
	tooLarge := strings.HasPrefix(r.Reason, reasonTooLarge) && (limit == 0 || r.Listed <= limit)
	if awaitsFolder(r) {
		return true
	}
	refused := strings.HasPrefix(r.Reason, reasonSource) && r.Attempts < maxAttempts
	alone := time.Since(r.Changed) // less than 0 by a clock that was ahead
	silent := wasSilent(r) && (r.Attempts < 2*maxAttempts || alone >= silentFor || alone < 0)
	return refused || tooLarge || silent
}

// silentFor is how long a message is left alone over which the destination ended many a
// connection: it may have been the destination, after all.
const silentFor = 24 * time.Hour

// awaitsFolder reports held mail whose folder could not be used, refused it, or may have it. Where
// nothing else is to be done, that is no reason to read it again with every pass of a bridge.
func awaitsFolder(r journal.Record) bool {
	return strings.HasPrefix(r.Reason, reasonFolder) || strings.HasPrefix(r.Reason, reasonAlone) || awaitsReading(r)
}

// count takes the plan's totals into the report and announces the work.
func (t *trip) count(p plan.Plan) {
	if t.rounds > 0 {
		return // said before; what is left was part of it
	}
	totals := p.Totals()
	t.mu.Lock()
	// What is to be deleted was delivered before, and what was settled now counts as that.
	t.report.Known += totals.Known.Messages + totals.Delete.Messages - t.settled
	t.report.Left = new(int) // how many, finish tells
	t.mu.Unlock()
	for _, w := range p.Warnings {
		t.note("%s", w)
	}
	what := "to bring"
	switch {
	case t.origin == originAdopted:
		what = "to look for at the destination"
	case t.silent:
		what = "would be brought"
	}
	t.emit(Event{Kind: Planned, Messages: totals.Copy.Messages, Bytes: totals.Copy.Bytes, Text: what})
}

// planned reports whether a stored plan, if there is one, has the message: mail
// that arrived since is left for the next run.
func (t *trip) planned(l plan.Listed) bool {
	if t.engine.Stored == nil {
		return true
	}
	return t.inPlan[l.Key]
}

// compare refuses to act where a stored plan no longer fits.
func (t *trip) compare(p plan.Plan) error {
	if t.engine.Stored == nil || t.rounds > 0 {
		return nil
	}
	stored, ok := t.engine.Stored[t.account.Name]
	if !ok {
		return fault.New(fault.Config, "the stored plan has nothing about this account").
			WithHint("make a new plan with: popferry plan --out")
	}
	t.inPlan = make(map[string]bool, len(stored.Actions))
	for _, a := range stored.Actions {
		t.inPlan[a.Key] = true
	}
	if drift := plan.Drift(stored, p); len(drift) > 0 {
		return fault.New(fault.Config, "the plan no longer fits: %s", strings.Join(drift, "; ")).
			WithHint("nothing was done; make a new plan with: popferry plan --out")
	}
	return nil
}
