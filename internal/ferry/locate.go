package ferry

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// factUnlocated names the folders, one a line, of which records exist whose UID no
// server told, or told under another UIDVALIDITY.
const factUnlocated = "unlocated"

// locate gives UIDs to delivered mail in a folder of a server without UIDPLUS (RFC 4315),
// or with a new UIDVALIDITY, for every account that delivers to this destination: what
// one of them appended must not look like foreign mail to another, or to itself.
//
// It goes by Message-ID, size and order of arrival, and reads no more than headers,
// where those leave a doubt, but for what an append of unknown outcome may have brought:
// it only has to keep each record's claim on one message, so that a second copy of the
// same mail is not mistaken for the first. What is deleted from POP3 is read back before,
// whatever is claimed here.
func (t *trip) locate(ctx context.Context, f *folder) error {
	h := &homeless{in: f, box: f.now(), byID: map[string][]*claim{}, open: map[string][]journal.Record{}}
	err := t.eachNeighbour(ctx, func(ledger journal.Ledger, own bool) error {
		if f.past && !own {
			return nil // its account may be at work there
		}
		return h.gather(ctx, ledger, own)
	})
	if err != nil || len(h.pending) == 0 {
		return err
	}
	if err := t.eachNeighbour(ctx, h.gatherOpen(ctx)); err != nil {
		return err
	}
	if err := h.assign(ctx, t); err != nil {
		return err
	}
	for _, p := range h.pending {
		if err := t.settleClaims(ctx, h.box, p); err != nil {
			return err
		}
	}
	return nil
}

// unlocate says that the UIDVALIDITY of a folder has changed: no record is where it was.
func (t *trip) unlocate(ctx context.Context, mailbox string) error {
	return t.eachNeighbour(ctx, func(ledger journal.Ledger, _ bool) error {
		return t.engine.unlocated(ctx, ledger, mailbox, true)
	})
}

// unlocated notes that a ledger has unlocated records in a folder, or that it has none.
func (e *engine) unlocated(ctx context.Context, ledger journal.Ledger, mailbox string, has bool) error {
	e.facts.Lock()
	defer e.facts.Unlock()
	folders, err := unlocatedFolders(ctx, ledger)
	if err != nil || slices.Contains(folders, mailbox) == has {
		return err
	}
	if has {
		folders = append(folders, mailbox)
	} else {
		folders = slices.DeleteFunc(folders, func(f string) bool { return f == mailbox })
	}
	return ledger.SetFact(ctx, factUnlocated, strings.Join(folders, "\n"))
}

func unlocatedFolders(ctx context.Context, ledger journal.Ledger) ([]string, error) {
	fact, err := ledger.Fact(ctx, factUnlocated)
	if err != nil || fact == "" {
		return nil, err
	}
	return strings.Split(fact, "\n"), nil
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
	if len(t.unlocatedNoted) == 0 {
		return nil
	}
	for _, f := range t.folders {
		if !t.unlocatedNoted[f.now().Mailbox] || f.isHidden() {
			continue
		}
		if err := t.dest.refresh(ctx, f); err != nil {
			return err
		}
		if err := t.dest.refresh(ctx, f); err != nil {
			return err
		}
	}
	return t.match.prepare(ctx)
}

// locateDue does so for records whose messages are to be deleted. Otherwise relocate
// would have them give up claims that they do not have yet, and it finds nothing of
// which only the header is known.
func (t *trip) locateDue(ctx context.Context, due []journal.Record) error {
	stray := false
	for _, r := range due {
		at, ok, err := t.spotOf(ctx, r)
		if err != nil {
			return err
		}
		stray = stray || !ok && at.in.now().Exists
	}
	if !stray {
		return nil
	}
	if err := t.match.prepare(ctx); err != nil { // in all folders that spotOf has met
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
	in      *folder
	box     imapdst.Folder      // what it was when the search began
	byID    map[string][]*claim // by Message-ID, in the order of arrival
	open    map[string][]journal.Record
	pending []*pending
}

// pending is a ledger that has such records.
type pending struct {
	ledger journal.Ledger
	own    bool // it is that of this trip
	claims []*claim
	untold int // records of whose UID no server ever told
}

// claim is a record and where it was found; UID 0: nowhere.
type claim struct {
	record journal.Record
	uid    uint32
}

func (h *homeless) gather(ctx context.Context, ledger journal.Ledger, own bool) error {
	folders, err := unlocatedFolders(ctx, ledger)
	if err != nil || !slices.Contains(folders, h.box.Mailbox) {
		return err
	}
	p := &pending{ledger: ledger, own: own}
	h.pending = append(h.pending, p)
	states := []journal.State{journal.Delivered, journal.DeleteSent, journal.Gone}
	return ledger.Each(ctx, journal.Query{States: states}, func(r journal.Record) error {
		if r.Folder != h.box.Mailbox {
			return nil
		}
		if untold(r) {
			p.untold++
		}
		if r.UID == 0 || r.UIDValidity != h.box.UIDValidity {
			c := &claim{record: r}
			p.claims = append(p.claims, c)
			h.byID[arrivesAs(r)] = append(h.byID[arrivesAs(r)], c)
		}
		return nil
	})
}

// gatherOpen gathers the appends of unknown outcome, by Message-ID: what became of them,
// settle finds out.
func (h *homeless) gatherOpen(ctx context.Context) func(journal.Ledger, bool) error {
	q := journal.Query{States: []journal.State{journal.Intent}}
	return func(ledger journal.Ledger, _ bool) error {
		return ledger.Each(ctx, q, func(r journal.Record) error {
			if id := r.Sum.MessageID; r.Folder == h.box.Mailbox {
				h.open[id] = append(h.open[id], r)
			}
			return nil
		})
	}
}

// arrivesAs is the Message-ID that the copy of a record has.
func arrivesAs(r journal.Record) string {
	if r.Origin == originWrapped {
		return r.Sum.WrappedID()
	}
	return r.Sum.MessageID
}

func untold(r journal.Record) bool { return r.UID == 0 && r.State == journal.Delivered }

// assign goes through the mail that nobody claims: first for records that it fits
// exactly, then for those that it may be the copy of, and at last for those of which it may
// be what the server left.
func (h *homeless) assign(ctx context.Context, t *trip) error {
	for _, claims := range h.byID {
		// Servers keep the order; what has no UID yet (0-1 is the largest) came last.
		slices.SortStableFunc(claims, func(a, b *claim) int { return cmp.Compare(a.record.UID-1, b.record.UID-1) })
	}
	free, err := h.free(ctx, t)
	if err != nil {
		return err
	}
	if free, err = h.leaveOpen(ctx, t, free); err != nil {
		return err
	}
	for _, fits := range []fit{exactly, nearly, shrunk} {
		free = slices.DeleteFunc(free, func(e journal.IndexEntry) bool { return h.take(e, fits) })
	}
	return h.assignNameless(ctx, t, free)
}

// leaveOpen leaves to settle what an append of unknown outcome brought, which would be sent
// again if another record took it for its own. Where that may have brought it as well, the
// record goes first: its mail is delivered, and the other one may never have arrived.
func (h *homeless) leaveOpen(ctx context.Context, t *trip, free []journal.IndexEntry) ([]journal.IndexEntry, error) {
	var contested []spot
	for _, e := range free {
		mayBe := func(r journal.Record) bool { return !h.isOld(e, r) && (e.MessageID != "" || isNear(e, r)) }
		if slices.ContainsFunc(h.open[e.MessageID], mayBe) {
			contested = append(contested, spot{h.in, e.UID})
		}
	}
	copies, err := t.readBack(ctx, contested)
	return slices.DeleteFunc(free, func(e journal.IndexEntry) bool {
		s, read := copies[spot{h.in, e.UID}]
		same := func(_ journal.IndexEntry, r journal.Record) bool { return sameMail(r, s.Summary) }
		return read && (h.take(e, same) || h.isOpen(e, s.Summary))
	}), err
}

// isOpen finds the first append of unknown outcome that brought an entry.
func (h *homeless) isOpen(e journal.IndexEntry, s message.Summary) bool {
	for i, r := range h.open[e.MessageID] {
		if _, same := r.Sum.Same(s); same && !h.isOld(e, r) {
			h.open[e.MessageID] = slices.Delete(h.open[e.MessageID], i, i+1)
			return true
		}
	}
	return false
}

// assignNameless does so for mail without a Message-ID, of which the header has to be read.
func (h *homeless) assignNameless(ctx context.Context, t *trip, free []journal.IndexEntry) error {
	var nameless []spot
	for _, e := range free {
		mayBe := func(c *claim) bool { return !h.isOld(e, c.record) && (isNear(e, c.record) || isSmaller(e, c.record)) }
		if e.MessageID == "" && slices.ContainsFunc(h.byID[""], mayBe) {
			nameless = append(nameless, spot{h.in, e.UID})
		}
	}
	headers, err := t.readHeaders(ctx, nameless)
	for _, like := range []func(journal.IndexEntry, message.Summary, journal.Record) bool{mayBeWhole, mayBeRest} {
		free = slices.DeleteFunc(free, func(e journal.IndexEntry) bool {
			s, read := headers[spot{h.in, e.UID}]
			return read && h.take(e, func(e journal.IndexEntry, r journal.Record) bool { return like(e, s.Summary, r) })
		})
	}
	return err
}

// free lists mail that nobody claims and that has the Message-ID of a record; with
// the header, where others have the Message-ID and the size too.
func (h *homeless) free(ctx context.Context, t *trip) ([]journal.IndexEntry, error) {
	var free []journal.IndexEntry
	err := h.in.known().Unclaimed(ctx, journal.Match{}, func(e journal.IndexEntry) error {
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
		if s, read := headers[spot{h.in, free[i].UID}]; read {
			free[i].Sum = &s.Summary
		}
	}
	return free, err
}

// doubtful picks mail unless it has a Message-ID and there is as much of it as there are
// records of the same Message-ID and size, which all have one header.
func (h *homeless) doubtful(free []journal.IndexEntry) []spot {
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
	mail := map[face][]spot{}
	for _, e := range free {
		f := face{e.MessageID, e.Size}
		mail[f] = append(mail[f], spot{h.in, e.UID})
	}
	var doubtful []spot
	for f, spots := range mail {
		wanted := len(headers[f])
		if wanted > 0 && (f.id == "" || wanted != len(spots) || len(slices.Compact(headers[f])) > 1) {
			doubtful = append(doubtful, spots...)
		}
	}
	return doubtful
}

// isOld reports whether the entry was there before the record's append.
func (h *homeless) isOld(e journal.IndexEntry, r journal.Record) bool {
	return r.UIDValidity == h.box.UIDValidity && e.UID < r.NextUID
}

// take finds the first record that the entry may be the copy of.
func (h *homeless) take(e journal.IndexEntry, fits fit) bool {
	for i, c := range h.byID[e.MessageID] {
		if h.isOld(e, c.record) || !fits(e, c.record) {
			continue
		}
		c.uid = e.UID
		h.byID[e.MessageID] = slices.Delete(h.byID[e.MessageID], i, i+1)
		return true
	}
	return false
}

// fit compares mail that has the Message-ID of a record's copy with the record.
type fit func(journal.IndexEntry, journal.Record) bool

// exactly goes by size and header. The Message-ID of a wrapping says all that there is to say.
func exactly(e journal.IndexEntry, r journal.Record) bool {
	return r.Origin == originWrapped || e.Size == r.Sum.Size && (e.Sum == nil || e.Sum.Header == r.Sum.Header)
}

func nearly(e journal.IndexEntry, r journal.Record) bool { return e.MessageID != "" && isNear(e, r) }

func isNear(e journal.IndexEntry, r journal.Record) bool {
	low, high := sizeWindow(r.Sum.Size)
	return low <= e.Size && e.Size <= high
}

// shrunk takes what is smaller for what is left of a mail that the server altered: some drop
// CRs that are part of no line end, others what follows a NUL in its line.
func shrunk(e journal.IndexEntry, r journal.Record) bool {
	return e.MessageID != "" && isSmaller(e, r)
}

func isSmaller(e journal.IndexEntry, r journal.Record) bool {
	low, _ := sizeWindow(r.Sum.Size)
	return e.Size < low
}

// mayBeWhole is nearly without a Message-ID: what has another header, and another Date, From
// or Subject in it, is another mail.
func mayBeWhole(e journal.IndexEntry, s message.Summary, r journal.Record) bool {
	return isNear(e, r) && (s.Header == r.Sum.Header || s.Loose == r.Sum.Loose)
}

// mayBeRest is shrunk without one: by Date, From and Subject, or where the mail is a
// header without an end, as that of old Macs, of which CRs can't make up more than half.
func mayBeRest(e journal.IndexEntry, s message.Summary, r journal.Record) bool {
	sameOrigin := !s.Loose.IsZero() && s.Loose == r.Sum.Loose
	return isSmaller(e, r) && (sameOrigin || s.HeaderOpen && r.Sum.NoText() && 2*e.Size >= r.Sum.Size)
}

// settleClaims records what was found.
func (t *trip) settleClaims(ctx context.Context, box imapdst.Folder, p *pending) error {
	var found []journal.Record
	for _, c := range p.claims {
		if c.uid == 0 {
			continue
		}
		r := c.record
		if untold(r) {
			p.untold--
		}
		r.UIDValidity, r.UID, r.Changed = box.UIDValidity, c.uid, time.Now()
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
	if p.own {
		t.mu.Lock()
		delete(t.unlocatedNoted, box.Mailbox)
		t.mu.Unlock()
	}
	return t.engine.unlocated(ctx, p.ledger, box.Mailbox, false)
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
