package ferry

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
)

// openState is what a trip knows of appends whose outcome is open. It is guarded by trip.mu.
type openState struct {
	parked  map[string]journal.Record
	doubts  map[string]doubt // by key of the record
	unsure  bool             // a message may be there that the journal has as held, or as not sent
	settled int              // listed messages whose open append was found to have arrived
}

func newOpenState() openState {
	return openState{parked: map[string]journal.Record{}, doubts: map[string]doubt{}}
}

// settleOpen looks up every append whose outcome an earlier run left open. The
// journal's lock proves that the process which left it is dead, or is this one, whose
// pass before is over. So its connections ended before now at the latest.
func (t *trip) settleOpen(ctx context.Context) error {
	var open []journal.Record
	err := t.ledger.Each(ctx, journal.Query{States: []journal.State{journal.Intent}},
		func(r journal.Record) error {
			open = append(open, r)
			return nil
		})
	if err != nil || len(open) == 0 {
		return err
	}
	now := t.now()
	var unended []journal.Record
	for i := range open {
		// A time ahead of the clock was written before the clock was set back.
		if open[i].Ended.IsZero() || open[i].Ended.After(now) {
			open[i].Ended = now
			unended = append(unended, open[i])
		}
	}
	if len(unended) > 0 {
		if err := t.ledger.Put(ctx, unended); err != nil {
			return err
		}
	}
	return t.settle(ctx, open)
}

// settle asks the destination about appends of unknown outcome. Found: they are
// delivered. Absent for longer than the settling time after their connection
// ended: they never arrived and may be sent again. Else they are parked: octets
// may still be on their way to the server's disk (exactly-once window W3).
func (t *trip) settle(ctx context.Context, open []journal.Record) error {
	// The time is taken before the look: only an absence seen after the settling
	// time proves anything. What the folder had when it was opened does not: POP3 may
	// have taken its time since.
	now, look := t.now(), time.Now()
	if err := t.lookAgain(ctx); err != nil {
		return err
	}
	if err := t.match.prepare(ctx); err != nil {
		return err
	}
	found, err := t.match.lookup(ctx, open)
	if err != nil {
		return err
	}
	open, err = t.inOpenFolders(ctx, open)
	if err != nil {
		return err
	}
	var changed []journal.Record
	for _, r := range open {
		at, there := found[r.Key]
		doubt := t.match.doubtOf(r.Key)
		switch {
		case there:
			r.State, r.UIDValidity, r.UID = journal.Delivered, at.UIDValidity, at.UID
			r.DeliveredAt, r.Changed, r.Attempts = now, now, 0
			if r.Origin = cmp.Or(r.Origin, originAppended); at.Origin == originAltered {
				r.Origin = originAltered
			}
		case look.Sub(t.doubtOf(r, now, look).since) < t.engine.Config.Settle:
			t.park(r)
			continue
		case doubt != "":
			r.State, r.Changed, r.Reason = journal.Held, now, doubt
		case t.doubts[r.Key].own && mayBeCause(r, t.doubts[r.Key].first) && t.hopeless(r): // tried in this run
			r.State, r.Changed = journal.Held, now
			r.Reason = reasonSilent + ", and it is not there"
		default:
			r.State, r.Changed = journal.Listed, now
		}
		delete(t.doubts, r.Key)
		changed = append(changed, r)
	}
	if len(changed) == 0 {
		return nil
	}
	if err := t.ledger.Put(ctx, changed); err != nil {
		return err
	}
	for _, r := range changed {
		t.learn(r)
		if r.State == journal.Held {
			t.heldSilent(r)
		}
	}
	return nil
}

// doubt is an append of unknown outcome. The journal has when its connection ended by a
// clock that may be set; within a run that is known by the one which only goes on.
type doubt struct {
	since time.Time
	own   bool // it was sent in this run
	first bool // alone, and before all other mail of its connection, which nothing else ended
}

// doubted says since when an append is in doubt.
func (t *trip) doubted(key string, d doubt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doubts[key] = d
}

// doubtOf is the doubt about an append. One that an earlier run left is as old as the
// journal says, at the first look.
func (t *trip) doubtOf(r journal.Record, now, look time.Time) doubt {
	d, ok := t.doubts[r.Key]
	if !ok {
		// A clock that is set back meanwhile makes no end in the future.
		d.since = look.Add(-max(0, min(now.Sub(r.Ended), t.engine.Config.Settle)))
		t.doubted(r.Key, d)
	}
	return d
}

// heldSilent keeps a message from being tried again in this run.
func (t *trip) heldSilent(r journal.Record) {
	l, _ := t.at(r.Key) // of a nameless one only the size is known here
	l.Key, l.Size = r.Key, r.Listed
	t.countHeld(l, r.Reason)
}

// inOpenFolders leaves out appends to a folder that can't be looked at: nobody knows
// what became of these, and they stay as they are.
func (t *trip) inOpenFolders(ctx context.Context, open []journal.Record) ([]journal.Record, error) {
	var known []journal.Record
	for _, r := range open {
		f, err := t.folderOf(ctx, r)
		if err != nil {
			return nil, err
		}
		if !f.isHidden() {
			known = append(known, r)
			continue
		}
		t.awaits(f, r.Key)
	}
	return known, nil
}

// lookup finds appends of unknown outcome in their folders: in the UID window that was
// open when they were sent, or everywhere where that window is void.
func (m *matcher) lookup(ctx context.Context, open []journal.Record) (map[string]journal.Record, error) {
	windows := map[spot]map[string]message.Summary{}
	for _, r := range open {
		f, err := m.t.folderOf(ctx, r)
		if err == nil {
			err = m.lookInto(ctx, f)
		}
		if err != nil {
			return nil, err
		}
		from := spot{f, r.NextUID}
		if r.UIDValidity != f.now().UIDValidity {
			from.uid = 0
		}
		if windows[from] == nil {
			windows[from] = map[string]message.Summary{}
		}
		windows[from][r.Key] = r.Sum
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.doubtful)
	found := map[string]journal.Record{}
	for _, from := range slices.SortedFunc(maps.Keys(windows), inTurn) {
		if !slices.Contains(m.folders, from.in) {
			continue // it does not exist, and so they are not there
		}
		at, err := m.inDestination(ctx, windows[from], []*folder{from.in}, from.uid)
		if err != nil {
			return nil, err
		}
		maps.Copy(found, at)
		maps.DeleteFunc(windows[from], func(key string, _ message.Summary) bool { return found[key].UID != 0 })
	}
	if m.compared > 0 {
		return found, nil // the destination stores what it is sent
	}
	for _, from := range slices.SortedFunc(maps.Keys(windows), inTurn) {
		if from.uid == 0 || !slices.Contains(m.folders, from.in) {
			continue
		}
		altered, err := m.inWindow(ctx, windows[from], from)
		if err != nil {
			return nil, err
		}
		maps.Copy(found, altered)
	}
	return found, nil
}

// inWindow finds appends in what came since they were sent, as a destination that
// rewrites mail has it: by Message-ID and text; where some are there so, by Date, From,
// Subject and text what has no Message-ID or no text; and where it goes for many, by
// Message-ID, Date, From and Subject. Fewer may be versions that others put there, such as
// mailing lists, or mail that has nothing to do with it. It is enough to not send them
// again, and never to delete one from POP3.
func (m *matcher) inWindow(ctx context.Context, sums map[string]message.Summary, from spot) (map[string]journal.Record, error) {
	candidates, err := m.candidates(ctx, sums, []*folder{from.in})
	if err != nil {
		return nil, err
	}
	candidates = slices.DeleteFunc(candidates, func(c candidate) bool { return c.UID < from.uid || m.t.isDamaged(c.at()) })
	likenesses, err := ask(ctx, m.t, spotsOf(candidates), (*imapdst.Conn).Likenesses)
	if err != nil {
		return nil, err
	}
	sameText := func(s message.Summary, c candidate) bool {
		_, there := likenesses[c.at()]
		return there && c.Sum != nil && !s.Body.IsZero() && s.Body == c.Sum.Body
	}
	sameOrigin := func(s message.Summary, c candidate) bool {
		l, there := likenesses[c.at()]
		return there && !s.Loose.IsZero() && s.Loose == l.Loose
	}
	found := m.pair(sums, candidates, 1, func(s message.Summary, c candidate) bool {
		return s.MessageID != "" && !s.NoText() && sameText(s, c)
	})
	if len(found) >= someGrown {
		maps.Copy(found, m.pair(sums, candidates, 1, func(s message.Summary, c candidate) bool {
			return sameOrigin(s, c) && sameText(s, c)
		}))
	}
	maps.Copy(found, m.pair(sums, candidates, manyNamesakes, func(s message.Summary, c candidate) bool {
		return s.MessageID != "" && sameOrigin(s, c)
	}))
	return found, nil
}

// pair gives each message the first free candidate of its Message-ID that is like it, if
// at least so many have one, and takes them out.
func (m *matcher) pair(sums map[string]message.Summary, candidates []candidate, least int,
	alike func(message.Summary, candidate) bool) map[string]journal.Record {
	found, taken := map[string]journal.Record{}, map[spot]bool{}
	for _, key := range inOrder(sums) {
		s := sums[key]
		for _, c := range candidates {
			if c.MessageID != s.MessageID || m.spentAt[c.at()] || taken[c.at()] || !alike(s, c) {
				continue
			}
			taken[c.at()] = true
			r := m.foundRecord(s, c.at(), "Message-ID, behind an append whose answer was lost")
			r.Origin = originAltered
			found[key] = r
			break
		}
	}
	if len(found) < least {
		return map[string]journal.Record{}
	}
	maps.Copy(m.spentAt, taken)
	maps.DeleteFunc(sums, func(key string, _ message.Summary) bool { return found[key].UID != 0 })
	return found
}

func inTurn(a, b spot) int { return cmp.Or(byMailbox(a.in, b.in), cmp.Compare(a.uid, b.uid)) }

// learn keeps the trip's view of the journal in step with what was just decided.
func (t *trip) learn(r journal.Record) {
	if r.State == journal.Delivered {
		t.arrived(r)
	}
	if listed, ok := t.at(r.Key); ok {
		if r.State == journal.Delivered {
			t.settled++
		}
		t.known[r.Key] = r
		t.match.spent[r.Key] = sameListing(r, listed)
	}
}

func (t *trip) park(r journal.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parked[r.Key] = r
}

// arrived counts an append that turned out to have arrived.
func (t *trip) arrived(r journal.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.Delivered++
	t.report.Bytes += r.Sum.Size
	t.gotLocked(r.Folder, r.Sum.Size)
	t.room = t.room.Less(plan.Count{Messages: 1, Bytes: r.Sum.Size})
}

// waitToSettle waits until the settling time of every parked append has passed.
func (t *trip) waitToSettle(ctx context.Context) error {
	var until time.Time
	for key := range t.parked {
		if end := t.doubts[key].since.Add(t.engine.Config.Settle); end.After(until) {
			until = end
		}
	}
	if t.engine.NoWait {
		return fault.New(fault.Temporary, "%s unresolved: the answer was lost and may still take effect",
			count(len(t.parked), "append")).WithHint("run again after %s", until.Format(time.TimeOnly))
	}
	t.emit(Event{Kind: Waiting, Messages: len(t.parked), Until: until,
		Text: count(len(t.parked), "append") + " whose answer was lost to show up"})
	return t.slot.Sleep(ctx, time.Until(until)+time.Millisecond)
}
