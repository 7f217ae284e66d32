package ferry

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// factUnlocated says that records exist whose UID no server told, or told under
// another UIDVALIDITY.
const factUnlocated = "unlocated"

// locate gives UIDs to delivered mail of a server without UIDPLUS (RFC 4315), or
// with a new UIDVALIDITY, for every account that delivers to this destination: what
// one of them appended must not look like foreign mail to another, or to itself.
//
// It goes by Message-ID, size and order of arrival, and reads no more than headers,
// where those leave a doubt: it only has to keep each record's claim on one message,
// so that a second copy of the same mail is not mistaken for the first. What is
// deleted from POP3 is read back before, whatever is claimed here.
func (t *trip) locate(ctx context.Context) error {
	h := &homeless{box: t.boxNow(), byID: map[string][]*claim{}}
	err := t.eachNeighbour(ctx, func(ledger journal.Ledger, own bool) error {
		return h.gather(ctx, ledger, own)
	})
	if err != nil || len(h.pending) == 0 {
		return err
	}
	if err := h.assign(ctx, t); err != nil {
		return err
	}
	for _, p := range h.pending {
		if err := t.settleClaims(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (t *trip) boxNow() imapdst.Folder {
	_, box := t.dest.get()
	return box
}

// unlocate says that UIDVALIDITY has changed: no record is where it was.
func (t *trip) unlocate(ctx context.Context) error {
	return t.eachNeighbour(ctx, func(ledger journal.Ledger, _ bool) error {
		return ledger.SetFact(ctx, factUnlocated, "yes")
	})
}

// eachNeighbour goes through the ledgers of this destination that have records.
func (t *trip) eachNeighbour(ctx context.Context, do func(l journal.Ledger, own bool) error) error {
	scopes, err := t.engine.Journal.Scopes(ctx)
	if err != nil {
		return err
	}
	d := t.account.Destination
	for _, s := range scopes {
		if s.Scope.DestHost != d.Host || s.Scope.DestUser != d.Mailbox() || len(s.Counts) == 0 {
			continue
		}
		ledger, err := t.engine.Journal.Ledger(ctx, s.Scope)
		if err != nil {
			return err
		}
		if err := do(ledger, s.Scope == scopeOf(t.account)); err != nil {
			return err
		}
	}
	return nil
}

// locateOwn does so for what this trip appended, before another account's turn.
func (t *trip) locateOwn(ctx context.Context) error {
	if !t.unlocatedNoted {
		return nil
	}
	if err := t.dest.refresh(ctx); err != nil {
		return err
	}
	if err := t.dest.refresh(ctx); err != nil {
		return err
	}
	return t.match.prepare(ctx)
}

// locateDue does so for records whose messages are to be deleted. Otherwise relocate
// would have them give up claims that they do not have yet, and it finds nothing of
// which only the header is known.
func (t *trip) locateDue(ctx context.Context, due []journal.Record) error {
	validity := t.boxNow().UIDValidity
	stray := func(r journal.Record) bool { return r.UID == 0 || r.UIDValidity != validity }
	if !slices.ContainsFunc(due, stray) {
		return nil
	}
	if err := t.match.prepare(ctx); err != nil {
		return err
	}
	keys := make([]string, len(due))
	for i, r := range due {
		keys[i] = r.Key
	}
	located, err := t.ledger.Get(ctx, keys)
	for i, r := range due {
		due[i] = located[r.Key]
	}
	return err
}

// homeless are the records without a valid UID, of all accounts together: they lie
// in one folder in one order.
type homeless struct {
	box     imapdst.Folder
	byID    map[string][]*claim // by Message-ID, in the order of arrival
	pending []*pending
}

// pending is a ledger that has such records.
type pending struct {
	ledger journal.Ledger
	own    bool // it is that of this trip
	claims []*claim
	untold int // records of whose UID no server ever told, in any folder
}

// claim is a record and where it was found; UID 0: nowhere.
type claim struct {
	record journal.Record
	uid    uint32
}

func (h *homeless) gather(ctx context.Context, ledger journal.Ledger, own bool) error {
	fact, err := ledger.Fact(ctx, factUnlocated)
	if err != nil || fact == "" {
		return err
	}
	p := &pending{ledger: ledger, own: own}
	h.pending = append(h.pending, p)
	states := []journal.State{journal.Delivered, journal.DeleteSent, journal.Gone}
	return ledger.Each(ctx, journal.Query{States: states}, func(r journal.Record) error {
		if untold(r) {
			p.untold++
		}
		stale := r.UID != 0 && r.UIDValidity != h.box.UIDValidity
		if r.Folder == folderOf(h.box) && (stale || r.UID == 0) {
			c := &claim{record: r}
			p.claims = append(p.claims, c)
			h.byID[r.Sum.MessageID] = append(h.byID[r.Sum.MessageID], c)
		}
		return nil
	})
}

func untold(r journal.Record) bool { return r.UID == 0 && r.State == journal.Delivered }

// assign goes through the mail that nobody claims: first for records that it fits
// exactly, then for those that it may be the copy of.
func (h *homeless) assign(ctx context.Context, t *trip) error {
	for _, claims := range h.byID {
		// Servers keep the order; what has no UID yet (0-1 is the largest) came last.
		slices.SortStableFunc(claims, func(a, b *claim) int { return cmp.Compare(a.record.UID-1, b.record.UID-1) })
	}
	free, err := h.free(ctx, t)
	if err != nil {
		return err
	}
	for _, exactly := range []bool{true, false} {
		free = slices.DeleteFunc(free, func(e journal.IndexEntry) bool { return h.take(e, exactly) })
	}
	return nil
}

// free lists mail that nobody claims and that has the Message-ID of a record; with
// the header, where others have the Message-ID and the size too.
func (h *homeless) free(ctx context.Context, t *trip) ([]journal.IndexEntry, error) {
	var free []journal.IndexEntry
	err := t.index.Unclaimed(ctx, journal.Match{}, func(e journal.IndexEntry) error {
		if len(h.byID[e.MessageID]) > 0 {
			free = append(free, e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	headers, err := t.readHeaders(ctx, h.doubtful(free))
	for i := range free {
		if s, read := headers[free[i].UID]; read {
			free[i].Sum = &s
		}
	}
	return free, err
}

// doubtful picks mail unless there is as much of it as there are records of the same
// Message-ID and size, which all have one header.
func (h *homeless) doubtful(free []journal.IndexEntry) []uint32 {
	type face struct {
		id   string
		size int64
	}
	headers := map[face][]message.Digest{}
	for id, claims := range h.byID {
		for _, c := range claims {
			f := face{id, c.record.Sum.Size}
			headers[f] = append(headers[f], c.record.Sum.Header)
		}
	}
	mail := map[face][]uint32{}
	for _, e := range free {
		f := face{e.MessageID, e.Size}
		mail[f] = append(mail[f], e.UID)
	}
	var doubtful []uint32
	for f, uids := range mail {
		wanted := len(headers[f])
		if wanted > 0 && (wanted != len(uids) || len(slices.Compact(headers[f])) > 1) {
			doubtful = append(doubtful, uids...)
		}
	}
	return doubtful
}

// take finds the first record that the entry may be the copy of.
func (h *homeless) take(e journal.IndexEntry, exactly bool) bool {
	for i, c := range h.byID[e.MessageID] {
		r := c.record
		low, high := sizeWindow(r.Sum.Size)
		if exactly {
			low, high = r.Sum.Size, r.Sum.Size
		}
		old := r.UIDValidity == h.box.UIDValidity && e.UID < r.NextUID
		other := exactly && e.Sum != nil && e.Sum.Header != r.Sum.Header
		if old || other || e.Size < low || e.Size > high {
			continue
		}
		c.uid = e.UID
		h.byID[e.MessageID] = slices.Delete(h.byID[e.MessageID], i, i+1)
		return true
	}
	return false
}

// settleClaims records what was found.
func (t *trip) settleClaims(ctx context.Context, p *pending) error {
	var found []journal.Record
	for _, c := range p.claims {
		if c.uid == 0 {
			continue
		}
		r := c.record
		if untold(r) {
			p.untold--
		}
		r.UIDValidity, r.UID, r.Changed = t.boxNow().UIDValidity, c.uid, time.Now()
		found = append(found, r)
	}
	if err := p.ledger.Put(ctx, found); err != nil {
		return err
	}
	if p.own {
		t.relearn(found)
	}
	if p.untold > 0 {
		return nil // not there yet, or not any more
	}
	if !p.own && len(p.claims) == 0 {
		return nil // its mail is in another folder, or on its way
	}
	t.mu.Lock()
	t.unlocatedNoted = false
	t.mu.Unlock()
	return p.ledger.SetFact(ctx, factUnlocated, "")
}

// relearn keeps the trip's view of the journal in step with where mail was found: a
// record that is moved aside keeps its claim.
func (t *trip) relearn(found []journal.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range found {
		if _, known := t.known[r.Key]; known {
			t.known[r.Key] = r
		}
	}
}

// relocate looks by content for mail that is not where the journal has it. Claims
// that proved to be wrong are given up first: two records may have had each other's.
func (t *trip) relocate(ctx context.Context, due []journal.Record) error {
	lost := map[string]message.Summary{}
	at := map[string]int{}
	if err := t.match.prepare(ctx); err != nil {
		return err
	}
	before := slices.Clone(due)
	for i := range due {
		due[i].UID = 0
	}
	// Their claims are given up for the search, since two may have changed places. Who
	// dies in between has them located anew.
	if err := t.noteUnlocated(ctx, due); err != nil {
		return err
	}
	if err := t.ledger.Put(ctx, due); err != nil {
		return err
	}
	for i, r := range due {
		if !r.Sum.Content.IsZero() {
			lost[r.Key], at[r.Key] = r.Sum, i
		}
	}
	found, err := t.match.inDestination(ctx, lost, 0)
	for key, f := range found {
		r := &due[at[key]]
		r.UIDValidity, r.UID = f.UIDValidity, f.UID
	}
	for i := range due {
		if due[i].UID == 0 { // it may be there still, and not be what was sent
			due[i].UIDValidity, due[i].UID = before[i].UIDValidity, before[i].UID
		}
	}
	return errors.Join(err, t.ledger.Put(context.WithoutCancel(ctx), due))
}
