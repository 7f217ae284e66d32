package ferry

import (
	"context"
	"slices"
	"time"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/plan"
)

// A maildrop may have a million messages that the journal knows, and nearly all of them
// are delivered and listed as they were. Of the record of such a message nothing is kept
// but what the plan asks for; what is special about any other one is.

// unchanged is a delivered message that is listed as it was: when it was delivered, and
// read back.
type unchanged struct {
	known               bool
	delivered, verified int64 // Unix milliseconds, as the journal has them
}

// lookUp asks the journal about all messages that have a lasting name. It returns how
// many these are.
func (t *trip) lookUp(ctx context.Context) (named int, err error) {
	t.known, t.unchanged = map[string]journal.Record{}, make([]unchanged, len(t.listing))
	first := 0
	for part := range slices.Chunk(t.listing, deleteBatch) {
		keys := keysOf(part)
		records, err := t.ledger.Get(ctx, keys)
		if err != nil {
			return named, err
		}
		for i, l := range part {
			if r, ok := records[l.Key]; ok {
				t.learned(first+i, r)
			}
		}
		named, first = named+len(keys), first+len(part)
	}
	return named, nil
}

// keysOf are the lasting names of messages.
func keysOf(part []plan.Listed) (keys []string) {
	for _, l := range part {
		if trusted(l) {
			keys = append(keys, l.Key)
		}
	}
	return keys
}

func (t *trip) learned(at int, r journal.Record) {
	if r.State != journal.Delivered || r.Listed != t.listing[at].Size {
		t.known[r.Key] = r
		return
	}
	t.unchanged[at] = unchanged{true, r.DeliveredAt.UnixMilli(), r.VerifiedAt.UnixMilli()}
}

// asBefore finds the place of a message that is known as delivered and listed as it
// was. None is added or removed while messages are carried.
func (t *trip) asBefore(key string) (at int, ok bool) {
	at, listed := t.find(key)
	return at, listed && at < len(t.unchanged) && t.unchanged[at].known
}

// isAsBefore reports whether there is such a message.
func (t *trip) isAsBefore(key string) bool {
	_, ok := t.asBefore(key)
	return ok
}

// keepUnchanged takes over what is known of the messages of an earlier listing.
func (t *trip) keepUnchanged(before []plan.Listed) {
	was := t.unchanged
	t.unchanged = nil
	for i, u := range was {
		at, listed := t.find(before[i].Key)
		if !u.known || !listed || t.listing[at].Size != before[i].Size {
			continue
		}
		if t.unchanged == nil {
			t.unchanged = make([]unchanged, len(t.listing))
		}
		t.unchanged[at] = u
	}
}

// deliveredBefore tells the planner of such messages.
func (t *trip) deliveredBefore(key string) (plan.Known, bool) {
	at, ok := t.asBefore(key)
	if !ok {
		return plan.Known{}, false
	}
	u := t.unchanged[at]
	return plan.Known{
		State: string(journal.Delivered), Listed: t.listing[at].Size,
		DeliveredAt: t.clock.Counted(time.UnixMilli(u.delivered)), VerifiedAt: time.UnixMilli(u.verified),
	}, true
}

// knownAs is what the journal knew under a key when the round began. Of a message that
// is as it was that is no more than this.
func (t *trip) knownAs(key string) journal.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r, ok := t.known[key]; ok {
		return r
	}
	if at, ok := t.asBefore(key); ok {
		return journal.Record{Key: key, State: journal.Delivered, Listed: t.listing[at].Size}
	}
	return journal.Record{}
}
