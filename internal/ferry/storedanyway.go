package ferry

import (
	"context"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// storedAnyway parts a refused batch from what the destination has all the same. A refusal
// means that nothing was stored (RFC 3501 §6.3.11, RFC 3502 §6.3.11), but servers exist
// that store first and fail then; what is sent again there arrives again. An answer was
// given, so that nothing is under way any more, and one look is enough; one that fails
// leaves it at what the server said.
func (t *trip) storedAnyway(ctx context.Context, batch []*parcel) (rest, stored []*parcel) {
	if len(batch) == 0 || batch[0].to.closed() != nil {
		return batch, nil
	}
	found, err := t.match.sinceIntent(ctx, batch)
	if err != nil {
		return batch, nil
	}
	for _, c := range batch {
		at, there := found[c.record.Key]
		if !there {
			rest = append(rest, c)
			continue
		}
		c.record.UIDValidity, c.record.UID = at.UIDValidity, at.UID
		stored = append(stored, c)
	}
	if len(stored) > 0 {
		t.noteOnce("the destination stores messages that it refuses: they are looked for before they are sent again")
	}
	return rest, stored
}

// sinceIntent finds messages among the mail that came since their intent was recorded. What
// may be the copy of another append is left alone.
func (m *matcher) sinceIntent(ctx context.Context, batch []*parcel) (map[string]journal.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in, sums := batch[0].to, map[string]message.Summary{}
	from, validity := batch[0].record.NextUID, batch[0].record.UIDValidity
	for _, c := range batch {
		sums[c.record.Key] = c.msg.Summary
		from = min(from, c.record.NextUID)
	}
	grown, err := m.t.grew(ctx, in, from, validity)
	if err != nil || !grown {
		return nil, err
	}
	if err := m.t.extendIndex(ctx, in); err != nil {
		return nil, err
	}
	found, err := m.inDestination(ctx, sums, []*folder{in}, from)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found, m.t.dropClaimed(ctx, batch, found)
}

// grew looks whether a folder has mail from a UID on. Servers that refuse much end the
// session (Exchange, after ten times); one that refuses to show the folder has not, and
// may have other batches under way.
func (t *trip) grew(ctx context.Context, f *folder, from, validity uint32) (grown bool, err error) {
	look := func(c *imapdst.Conn, box imapdst.Folder) error {
		fresh, err := c.Refresh(ctx, box)
		if err == nil {
			f.set(fresh)
		}
		return err
	}
	conn, err := t.dest.ask(ctx, f, look)
	if err != nil && conn != nil && conn.Alive(ctx) != nil {
		if err = t.dest.renew(ctx, conn); err == nil {
			_, err = t.dest.ask(ctx, f, look)
		}
	}
	box := f.now()
	return err == nil && box.Exists && box.UIDValidity == validity && (box.UIDNext == 0 || box.UIDNext > from), err
}

// dropClaimed leaves out what another append may have put there: one of the same content
// that is under way, or of which nobody knows where its copy is, or that claims it. It is
// asked last, since an intent is older than its copy (I3).
func (t *trip) dropClaimed(ctx context.Context, batch []*parcel, found map[string]journal.Record) error {
	byContent, refused := map[message.Digest][]string{}, map[string]bool{}
	var q journal.Query
	for _, c := range batch {
		content := c.record.Sum.Content
		q.Contents = append(q.Contents, content)
		byContent[content] = append(byContent[content], c.record.Key)
		refused[c.record.Key] = true
	}
	return t.eachNeighbour(ctx, func(ledger journal.Ledger, own bool) error {
		return ledger.Each(ctx, q, func(r journal.Record) error {
			if own && refused[r.Key] || !delivered(r) && r.State != journal.Intent {
				return nil
			}
			for _, key := range byContent[r.Sum.Content] {
				if f := found[key]; r.State == journal.Intent || r.UID == 0 || r.UIDValidity != f.UIDValidity ||
					r.UID == f.UID {
					delete(found, key)
				}
			}
			return nil
		})
	})
}
