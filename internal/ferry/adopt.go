package ferry

import (
	"context"
	"errors"
	"maps"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
)

// adopt marks what the destination has as delivered: by headers where they
// suffice, else by content, and copies nothing.
func (t *trip) adopt(ctx context.Context, loose bool) error {
	t.origin = originAdopted
	if err := t.open(ctx, false); err != nil {
		return err
	}
	if err := t.resumeUndo(ctx, true); err != nil {
		return err
	}
	err := t.adoptListed(ctx, loose)
	if errors.Is(err, errUnnamed) {
		t.rounds++
		t.adapt()
		err = t.adoptListed(ctx, loose)
	}
	if err != nil {
		return err
	}
	t.leave(ctx)
	return nil
}

func (t *trip) adoptListed(ctx context.Context, loose bool) error {
	p, err := t.drawPatiently(ctx, true)
	if err != nil {
		return err
	}
	todo := listedOf(p, plan.Copy)
	if loose {
		if todo, err = t.adoptLoosely(ctx, todo); err != nil {
			return err
		}
	}
	return t.adoptByContent(ctx, todo)
}

// adoptByContent retrieves what headers could not decide and compares it with
// the destination. The session then ends without QUIT unless all was found.
func (t *trip) adoptByContent(ctx context.Context, todo []plan.Listed) error {
	if !t.match.foreign {
		return nil
	}
	for len(todo) > 0 {
		if err := t.sessionForReading(ctx); err != nil {
			return err
		}
		if err := t.compareAll(ctx, todo); err != nil {
			return err
		}
		if todo = t.takeRereads(); len(todo) == 0 && !t.comeback.judged {
			todo = t.judgeComeback()
		}
	}
	t.noteAltered()
	return nil
}

// compareAll is carry without the carrying.
func (t *trip) compareAll(ctx context.Context, todo []plan.Listed) error {
	p, end := t.newPipeline(ctx)
	defer end()
	p.run(func() error { return p.fetch(todo) })
	p.run(p.compareOnly)
	p.parts.Wait()
	return errors.Join(p.err, p.later)
}

// compareOnly takes the place of pack where nothing is to be appended.
func (p *pipeline) compareOnly() error {
	return p.eachBatch(func(batch []*parcel) error {
		rest, err := p.t.sift(p.hard, p, batch)
		p.releaseAll(rest)
		return err
	})
}

// adoptLoosely accepts an equal Message-ID, one for one. Such records never
// permit a deletion (I5).
func (t *trip) adoptLoosely(ctx context.Context, todo []plan.Listed) ([]plan.Listed, error) {
	headers, err := t.topHeaders(ctx, todo)
	if err != nil {
		return nil, err
	}
	byID, err := t.unclaimedByID(ctx, headers)
	if err != nil {
		return nil, err
	}
	var rest []plan.Listed
	var found []foundAs
	for _, l := range todo {
		h := headers[l.Key]
		mail := byID[h.MessageID]
		if h.MessageID == "" || len(mail) == 0 {
			rest = append(rest, l)
			continue
		}
		byID[h.MessageID] = mail[1:]
		found = append(found, foundAs{listed: l, record: t.looseRecord(h, mail[0]), sum: h})
	}
	return rest, t.recordFound(ctx, found)
}

// unclaimedByID lists unclaimed mail that has the Message-ID of one of the headers, is
// still there and is not marked as deleted.
func (t *trip) unclaimedByID(ctx context.Context, headers map[string]message.Summary) (map[string][]candidate, error) {
	named := maps.Clone(headers)
	maps.DeleteFunc(named, func(_ string, s message.Summary) bool { return s.MessageID == "" })
	candidates, err := t.match.candidates(ctx, named, t.match.folders)
	if err != nil {
		return nil, err
	}
	there, err := askApart(ctx, t, spotsOf(candidates), (*imapdst.Conn).Headers)
	byID := map[string][]candidate{}
	for _, c := range candidates {
		if s, ok := there[c.at()]; ok && !s.Deleted {
			byID[c.MessageID] = append(byID[c.MessageID], c)
		}
	}
	return byID, err
}

func (t *trip) looseRecord(h message.Summary, c candidate) journal.Record {
	r := t.match.foundRecord(h, c.at(), "message-id")
	r.Origin, r.Sum.Size, r.DeliveredAt = originLoose, c.Size, t.now()
	t.match.spentAt[c.at()] = true
	return r
}
