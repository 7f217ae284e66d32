package ferry

import (
	"context"
	"errors"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// repairWrap is the value of `repair` that asks for wrapping.
const repairWrap = "wrap"

// wrapped is the last step of a refused message where `repair: wrap` asks for
// it: the original octets travel inside an attachment, and in another form if the
// destination refuses that, too. A wrapping is the same octets every time, so that
// one which arrived before is recognised. Whoever is told that it is done has the
// parcel no more, whatever the error.
func (l *lane) wrapped(ctx context.Context, c *parcel) (done bool, err error) {
	t := l.p.t
	if t.account.Repair != repairWrap {
		return false, nil
	}
	w, err := c.wrapNext(t.engine.spool())
	if err != nil {
		return true, errors.Join(err, l.giveUp([]*parcel{c}))
	}
	if w == nil {
		return false, nil
	}
	there, err := t.match.seek(ctx, c.listed.Key, w.Summary)
	if err != nil {
		w.Close()
		return true, errors.Join(err, l.giveUp([]*parcel{c}))
	}
	c.travelAs(w)
	c.record.Origin = originWrapped
	if there == nil {
		return true, l.deliver([]*parcel{c})
	}
	defer l.p.release(c)
	t.resolved(c.session)
	c.record.State, c.record.UIDValidity, c.record.UID = journal.Delivered, there.UIDValidity, there.UID
	c.record.DeliveredAt, c.record.Changed = there.DeliveredAt, there.Changed
	if err := t.ledger.Put(ctx, []journal.Record{c.record}); err != nil {
		return true, err
	}
	t.countFound([]foundAs{{listed: c.listed, sum: c.record.Sum, key: c.record.Key}})
	return true, nil
}

// wrapNext wraps the original in the next of the forms that it may have; nil when none
// is left.
func (c *parcel) wrapNext(spool *message.Spool) (w *message.Message, err error) {
	original := c.original
	if original == nil {
		original = c.msg
		if c.forms, err = original.Attachments(); err != nil {
			return nil, err
		}
	}
	if len(c.forms) == 0 {
		return nil, nil
	}
	form := c.forms[0]
	c.forms = c.forms[1:]
	return spool.Wrap(original, form)
}

// travelAs puts a wrapping in the place of the original, or of an earlier wrapping.
func (c *parcel) travelAs(w *message.Message) {
	if c.original == nil {
		c.original = c.msg
	} else {
		c.msg.Close()
	}
	c.msg, c.bare = w, false
}

// seek looks for one message in the destination only.
func (m *matcher) seek(ctx context.Context, key string, s message.Summary) (*journal.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.foreign {
		return nil, nil
	}
	found, err := m.inDestination(ctx, map[string]message.Summary{key: s}, m.folders, 0)
	if r, ok := found[key]; ok {
		return &r, err
	}
	return nil, err
}
