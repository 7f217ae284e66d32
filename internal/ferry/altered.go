package ferry

import (
	"cmp"
	"context"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
)

// lookalikes is what a trip knows of mail that only an altered copy may vouch for. It is
// guarded by trip.mu.
type lookalikes struct {
	later   map[string]bool // put off until all others are matched, by listing key
	altered int             // recognised in a copy that the destination altered
}

// recogniseAltered takes out of a batch what is in the destination as that server
// altered it, so that no digest can tell. Such a copy is enough to skip a message,
// and never to delete one.
//
// At first a message that has such a copy is only put off, to be read again when
// all others are matched: until then it may be the exact copy of another one.
func (t *trip) recogniseAltered(ctx context.Context, p *pipeline, batch []*parcel) ([]*parcel, error) {
	copies, err := t.match.altered(ctx, batch)
	if err != nil || len(copies) == 0 {
		return batch, err
	}
	rest := batch[:0:0]
	var found []foundAs
	for _, c := range batch {
		r, ok := copies[c.listed.Key]
		switch {
		case !ok:
			rest = append(rest, c)
			continue
		case t.isPutOff(c.listed):
			found = append(found, foundAs{listed: c.listed, record: r, sum: c.msg.Summary})
			t.resolved(c.session)
		default:
			t.putOff(c.listed)
		}
		p.release(c)
	}
	t.countAltered(len(found))
	return rest, t.recordFound(ctx, found)
}

func (t *trip) isPutOff(l plan.Listed) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.later[l.Key]
}

func (t *trip) putOff(l plan.Listed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slot.Stay() // the next pass would put it off, too
	t.later[l.Key] = true
	t.rereads = append(t.rereads, l)
}

func (t *trip) countAltered(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.altered += n
}

// noteAltered says how many messages were recognised so.
func (t *trip) noteAltered() {
	t.mu.Lock()
	n := t.altered
	t.altered = 0
	t.mu.Unlock()
	if n > 0 {
		t.note("%s there already, as the destination altered them: not copied again, and never deleted from POP3",
			count(n, "message"))
	}
}

// manyNamesakes is how many messages must have a copy under their Message-ID, Date,
// From and Subject, and none of them one that can be compared, before the
// destination counts as one that rewrites all mail. Fewer may be other versions of
// the same mail, as mailing lists make them.
const manyNamesakes = 10

// someGrown is the same for copies that have all of the message and more fields.
const someGrown = 3

// altered finds unclaimed mail that is like messages which no digest found. Each
// witness is spent on those that were put off before, and on no others.
func (m *matcher) altered(ctx context.Context, batch []*parcel) (map[string]journal.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.foreign || len(batch) == 0 {
		return nil, nil
	}
	kin, err := m.kin(ctx, batch)
	if err != nil || len(kin) == 0 {
		return nil, err
	}
	likenesses, err := ask(ctx, m.t, spotsOf(kin), (*imapdst.Conn).Likenesses)
	if err != nil {
		return nil, err
	}
	found := map[string]journal.Record{}
	for _, c := range batch {
		at, how, err := m.likest(c, kin, likenesses)
		if err != nil {
			return nil, err
		}
		if at.uid == 0 {
			continue
		}
		m.spentAt[at] = m.t.isPutOff(c.listed)
		r := m.foundRecord(c.msg.Summary, at, how)
		r.Origin = originAltered
		found[c.listed.Key] = r
	}
	return found, nil
}

// kin lists unclaimed mail that shares its Message-ID, its header or its text with a
// message of the batch: what shares none of these is not worth reading again.
func (m *matcher) kin(ctx context.Context, batch []*parcel) ([]candidate, error) {
	sums := make(map[string]message.Summary, len(batch))
	shared := map[message.Digest]bool{}
	ids := map[string]bool{}
	for _, c := range batch {
		s := c.msg.Summary
		sums[c.listed.Key] = s
		shared[s.Header], shared[s.Body] = true, true
		ids[s.MessageID] = s.MessageID != ""
	}
	candidates, err := m.candidates(ctx, sums, m.folders)
	if err != nil {
		return nil, err
	}
	var kin []candidate
	for _, c := range candidates {
		if c.Sum != nil && !m.marked[c.at()] && !m.t.isDamaged(c.at()) && (ids[c.MessageID] || shared[c.Sum.Header] || shared[c.Sum.Body]) {
			kin = append(kin, c)
		}
	}
	return kin, nil
}

// likest gives the first mail that is like the message, or what stands for it where
// the destination seems to do so to all mail: one that has grown, or one of the
// same name and origin. UID 0 means that there is none.
func (m *matcher) likest(c *parcel, kin []candidate, likenesses map[spot]message.Likeness) (
	at spot, how string, err error) {
	own, err := c.msg.Likeness()
	if err != nil {
		return spot{}, "", err
	}
	var grown, namesake spot
	for _, k := range kin {
		l, there := likenesses[k.at()]
		if !there || m.spentAt[k.at()] {
			continue
		}
		switch own.In(l) {
		case message.Alike:
			m.compared++
			return k.at(), "likeness", nil
		case message.Grown:
			grown = cmp.Or(grown, k.at())
		}
		if c.msg.MessageID != "" && own.Loose == l.Loose && l.CameFrom(own) {
			namesake = cmp.Or(namesake, k.at())
		}
	}
	switch {
	case grown.uid != 0 && m.always(m.grown, c.listed, someGrown):
		return grown, "likeness but for added fields", nil
	case namesake.uid != 0 && m.always(m.namesakes, c.listed, manyNamesakes):
		return namesake, "Message-ID, Date, From and Subject", nil
	}
	return spot{}, "", nil
}

func spotsOf(candidates []candidate) []spot {
	spots := make([]spot, len(candidates))
	for i, c := range candidates {
		spots[i] = c.at()
	}
	return spots
}

// always notes a message whose copy is not what was sent, and reports whether the
// destination seems to do that to all mail, or may turn out to. Once a first pass was
// completed it is no question: then the journal knows our own copies, and what
// somebody else put there is another version.
func (m *matcher) always(such map[string]bool, l plan.Listed, many int) bool {
	such[l.Key] = true
	return !m.t.baseline && m.compared == 0 && (len(such) >= many || !m.t.isPutOff(l))
}
