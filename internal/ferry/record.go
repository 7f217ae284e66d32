package ferry

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
)

// recorded is what a trip wrote into the journal. It is guarded by trip.mu.
type recorded struct {
	own        map[string]bool // delivered in it, by key of the record
	recognised map[string]bool // records counted as known, or false: as duplicate; by key
	ordinals   map[string]int  // of content keys given in this trip
	undone     int             // messages that are there although QUIT, which was to delete them, was answered
}

func newRecorded() recorded {
	return recorded{own: map[string]bool{}, recognised: map[string]bool{}, ordinals: map[string]int{}}
}

// foundAs is a listed message that turned out to be delivered.
type foundAs struct {
	listed plan.Listed
	record journal.Record // of the journal, or made up from unclaimed mail
	sum    message.Summary
	key    string // what the record is called from now on
}

// origin is that of the record, once the content of the message was compared with it.
func (f foundAs) origin() string {
	if f.sum.Content.IsZero() {
		return f.record.Origin
	}
	origin := strings.TrimSuffix(strings.TrimSuffix(f.record.Origin, byHeader), butLines)
	if _, same := f.sum.Same(f.record.Sum); !same && !f.record.Sum.Content.IsZero() {
		return origin + butLines
	}
	return origin
}

// recordFound makes the journal know found messages under their present names.
func (t *trip) recordFound(ctx context.Context, found []foundAs) error {
	if len(found) == 0 {
		return nil
	}
	moves := map[string]journal.Record{}
	var puts, arriving []journal.Record
	for i, f := range found {
		r, old := f.record, f.record.Key
		r.Listed, r.UIDL, r.Changed = f.listed.Size, f.listed.UIDL, time.Now()
		if r.State == journal.Gone || r.State == journal.DeleteSent {
			r.State = journal.Delivered // it is back, or the deletion never was
			if r.Reason == quitOK {
				r.Reason = notDeleted
			}
		}
		if otherHeader(f) {
			r.Sum.Header = f.sum.Header
		}
		r.Origin = f.origin()
		r.Origin = markLength(markNUL(r.Origin, f.sum), f.listed, f.sum)
		if err := t.name(ctx, f.listed, &r, f.sum); err != nil {
			return err
		}
		if named(old) && old != r.Key {
			r.Origin = markRenamed(r.Origin)
		}
		found[i].key = r.Key
		t.match.taken(r.Key)
		if old != r.Key {
			arriving = append(arriving, r)
		}
		switch {
		case old != "" && old != r.Key:
			moves[old] = r
		case old == "" || changed(f):
			puts = append(puts, r)
		}
	}
	if err := t.makeRoom(ctx, moves, arriving); err != nil {
		return err
	}
	if err := t.noteProven(ctx, moves); err != nil {
		return err
	}
	if err := t.ledger.Rekey(ctx, moves); err != nil {
		return err
	}
	t.sayRenumbered(moves)
	t.forget(moves)
	if err := t.ledger.Put(ctx, puts); err != nil {
		return err
	}
	t.countFound(found)
	return nil
}

// sayRenumbered tells why mail that is known goes under other names all at once.
func (t *trip) sayRenumbered(moves map[string]journal.Record) {
	for old, r := range moves {
		if t.renumbered && named(old) && named(r.Key) {
			t.noteOnce("UIDLs were renumbered: what was delivered under an old one is recognised " +
				"by its content and not copied again")
			return
		}
	}
}

// makeRoom adds moves for records whose key goes to another message now and that
// have no new key of their own: they still say what became of their message.
func (t *trip) makeRoom(ctx context.Context, moves map[string]journal.Record, arriving []journal.Record) error {
	for _, r := range arriving {
		if _, leaves := moves[r.Key]; leaves {
			continue
		}
		holder := t.knownAs(r.Key)
		if holder.Key == "" {
			continue
		}
		aside, err := t.aside(ctx, holder)
		if err != nil {
			return err
		}
		moves[r.Key] = aside
	}
	return nil
}

// aside gives a record a key that no message can have.
func (t *trip) aside(ctx context.Context, r journal.Record) (journal.Record, error) {
	base := r.Key
	if !delivered(r) {
		r.State = journal.Listed // what was known of it is void
	}
	for n := 1; ; n++ {
		r.Key = fmt.Sprintf("%s%s#%d", asidePrefix, base, n)
		taken, err := t.ledger.Get(ctx, []string{r.Key})
		if err != nil || len(taken) == 0 {
			return r, err
		}
	}
}

// forget keeps the trip's view of the journal in step with moved records.
func (t *trip) forget(moves map[string]journal.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for old := range moves {
		delete(t.known, old)
	}
	follow(t.own, moves)
	follow(t.recognised, moves)
}

// follow keeps what is noted of records by their keys.
func follow(noted map[string]bool, moves map[string]journal.Record) {
	moved := map[string]bool{}
	for old, r := range moves {
		if value, ok := noted[old]; ok {
			delete(noted, old)
			moved[r.Key] = value
		}
	}
	maps.Copy(noted, moved)
}

// changed reports whether a record says less than is known by now.
func changed(f foundAs) bool {
	r := f.record
	compared := onlyByHeader(r) && !f.sum.Content.IsZero()
	return compared || otherHeader(f) || r.Listed != f.listed.Size || r.UIDL != f.listed.UIDL || r.State != journal.Delivered
}

// otherHeader reports a record of an earlier version, which digested the header of the same
// content in another way: TOP would never know it.
func otherHeader(f foundAs) bool {
	return !f.sum.Content.IsZero() && f.sum.Content == f.record.Sum.Content && f.sum.Header != f.record.Sum.Header
}

// name gives a record the key that its message has now. A record that keeps a
// key of its own (its message has no lasting name) stays as it is, unless that is a
// UIDL which others share by now, or that says nothing: it would wait for a message of
// that name.
func (t *trip) name(ctx context.Context, l plan.Listed, r *journal.Record, sum message.Summary) error {
	r.FirstSeen = firstSeen(*r)
	switch {
	case trusted(l):
		r.Key = l.Key
	case r.Key == "", strings.HasPrefix(r.Key, asidePrefix), r.Key == uidlKey(l.UIDL), t.unnamed && named(r.Key):
		if sum.Content.IsZero() {
			sum = r.Sum
		}
		key, err := t.contentKey(ctx, sum)
		r.Key = key
		return err
	}
	return nil
}

func firstSeen(r journal.Record) time.Time {
	if r.FirstSeen.IsZero() {
		return time.Now()
	}
	return r.FirstSeen
}

// vacate moves aside the record of another message that had the same name before.
func (t *trip) vacate(ctx context.Context, l plan.Listed) error {
	r := t.knownAs(l.Key)
	if !delivered(r) {
		return nil
	}
	aside, err := t.aside(ctx, r)
	if err != nil {
		return err
	}
	moves := map[string]journal.Record{l.Key: aside}
	if err := t.ledger.Rekey(ctx, moves); err != nil {
		return err
	}
	t.forget(moves)
	return nil
}

// contentKey makes the key of a message without a lasting name: its digest, and
// an ordinal among those with the same one.
func (t *trip) contentKey(ctx context.Context, s message.Summary) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	base := contentPrefix + s.Content.String()
	if s.Content.IsZero() {
		base = "h:" + s.Header.String()
	}
	for {
		t.ordinals[base]++
		key := fmt.Sprintf("%s#%d", base, t.ordinals[base])
		taken, err := t.ledger.Get(ctx, []string{key})
		if err != nil || len(taken) == 0 {
			return key, err
		}
	}
}

func (t *trip) countFound(found []foundAs) {
	var octets int64
	t.mu.Lock()
	for _, f := range found {
		octets += f.sum.Size
		_, counted := t.recognised[f.key] // nameless mail is recognised anew in every round
		if f.record.Reason == quitOK && !counted {
			t.undone++
		}
		switch {
		case counted, t.own[f.key]:
		case f.record.Key == "":
			t.report.Duplicate++
			t.recognised[f.key] = false
		default:
			t.report.Known++
			t.recognised[f.key] = true
		}
	}
	t.mu.Unlock()
	t.emit(Event{Kind: Skipped, Messages: len(found), Bytes: octets})
}

// mark marks the origin of a record with what keeps its message on POP3. The original of a
// wrapping stays there anyway.
func (c *parcel) mark(origin string) string {
	if c.original != nil {
		return origin
	}
	return markLength(markNUL(origin, c.msg.Summary), c.listed, c.msg.Summary)
}

// intend records, durably, what is about to be appended to a folder and from which UID
// on it would be found (I3).
func (t *trip) intend(ctx context.Context, batch []*parcel) error {
	box := batch[0].to.toAppend()
	records := make([]journal.Record, len(batch))
	for i, c := range batch {
		if c.record.State == journal.Intent {
			records[i] = c.record
			continue
		}
		r := journal.Record{
			UIDL: c.listed.UIDL, Listed: c.listed.Size, Sum: c.msg.Summary,
			State: journal.Intent, Folder: box.Mailbox, UIDValidity: box.UIDValidity,
			NextUID: box.UIDNext, Changed: time.Now(), Attempts: c.record.Attempts,
			FirstSeen: c.record.FirstSeen,
		}
		if origin := c.mark(originAppended); origin != originAppended {
			r.Origin = origin
		}
		if !trusted(c.listed) {
			r.Key = c.record.Key // of an earlier attempt, or none
		}
		if wasSilent(c.record) {
			r.Reason = c.record.Reason
		}
		if err := t.name(ctx, c.listed, &r, c.msg.Summary); err != nil {
			return err
		}
		if err := t.vacate(ctx, c.listed); err != nil {
			return err
		}
		c.record, records[i] = r, r
		t.match.taken(r.Key)
	}
	return t.ledger.Put(ctx, records)
}
