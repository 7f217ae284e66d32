package ferry

import (
	"context"
	"errors"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// pack gathers parcels into batches, drops what is delivered already, records
// the intent for the rest and hands them to the lanes.
func (p *pipeline) pack() error {
	defer close(p.batches)
	return p.eachBatch(p.dispatch)
}

// eachBatch calls fn with one batch after the other. Its failure ends the fetcher
// first, and then what that still hands over is released.
func (p *pipeline) eachBatch(fn func([]*parcel) error) error {
	err := fault.Guard(func() error {
		for open := true; open; {
			var batch []*parcel
			batch, open = p.gather()
			if err := fn(batch); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		p.fail(err)
	}
	for c := range p.parcels {
		p.release(c)
	}
	return err
}

// gather collects a batch: until it is full, until the source has no more, or
// until the source pauses. A parcel that broke a connection before travels
// alone, so that it harms no other.
func (p *pipeline) gather() (batch []*parcel, open bool) {
	var octets int64
	pause := time.NewTimer(lull)
	defer pause.Stop()
	for len(batch) < p.t.batch && octets < batchOctets {
		select {
		case c, ok := <-p.parcels:
			if !ok {
				return batch, false
			}
			batch = append(batch, c)
			octets += c.msg.Size
			if suspect(c) {
				return batch, true
			}
		case <-pause.C:
			if len(batch) > 0 {
				return batch, true
			}
			pause.Reset(lull)
		}
	}
	return batch, true
}

// After so many appends of it that ended without an answer a message travels
// alone, and after so many it is held.
const (
	suspectAttempts = 2
	maxAttempts     = 3
)

// suspect reports a message that may be what ends the connections.
func suspect(c *parcel) bool { return c.record.Attempts >= suspectAttempts }

// dispatch sends a batch on its way.
func (p *pipeline) dispatch(batch []*parcel) error {
	if err := p.t.direct(p.hard, batch); err != nil {
		p.releaseAll(batch)
		return err
	}
	batch, err := p.t.sift(p.hard, p, batch)
	if err != nil || len(batch) == 0 {
		p.releaseAll(batch)
		return err
	}
	var parts [][]*parcel
	for _, part := range byFolder(batch) {
		parts = append(parts, apart(part)...)
	}
	for i, part := range parts {
		if err := p.send(part); err != nil {
			for _, unsent := range parts[i+1:] {
				p.releaseAll(unsent)
			}
			return err
		}
	}
	return nil
}

func (p *pipeline) send(batch []*parcel) error {
	if p.soft.Err() != nil { // nothing new is begun
		p.releaseAll(batch)
		return p.soft.Err()
	}
	if to := batch[0].to; to.closed() != nil {
		return p.t.holdAll(p.hard, p, batch)
	} else if err := p.t.provide(p.hard, to); err != nil && to.closed() != nil {
		return p.t.holdAll(p.hard, p, batch)
	} else if err != nil {
		p.releaseAll(batch)
		return err
	}
	if err := p.t.intend(p.hard, batch); err != nil {
		p.releaseAll(batch)
		return err
	}
	select {
	case p.batches <- batch:
		return nil
	case <-p.soft.Done():
		defer p.releaseAll(batch)
		return errors.Join(p.soft.Err(), p.t.unsent(context.WithoutCancel(p.hard), batch))
	}
}

func (p *pipeline) releaseAll(batch []*parcel) {
	for _, c := range batch {
		p.release(c)
	}
}

// apart gives every suspect a batch of its own, behind the others.
func apart(batch []*parcel) [][]*parcel {
	var innocent []*parcel
	var parts [][]*parcel
	for _, c := range batch {
		if suspect(c) {
			parts = append(parts, []*parcel{c})
		} else {
			innocent = append(innocent, c)
		}
	}
	if len(innocent) == 0 {
		return parts
	}
	return append([][]*parcel{innocent}, parts...)
}

// sift takes out of a batch what needs no append: what is delivered already,
// what may be (its append is still open), and what can't be sent at all.
func (t *trip) sift(ctx context.Context, p *pipeline, batch []*parcel) ([]*parcel, error) {
	sums := make(map[string]message.Summary, len(batch))
	for _, c := range batch {
		sums[c.listed.Key] = c.msg.Summary
	}
	matches, err := t.match.find(ctx, sums)
	if err != nil {
		return batch, err
	}
	if err := t.formerly(ctx, batch, matches); err != nil {
		return batch, err
	}
	var rest []*parcel
	var found []foundAs
	for _, c := range batch {
		r, ok := matches[c.listed.Key]
		switch {
		case ok && r.State == journal.Intent:
			p.release(c) // parked: settle decides, and the session ends without QUIT
		case ok && t.putOffDoubted(c.listed, r):
			p.release(c)
		case ok:
			found = append(found, foundAs{listed: c.listed, record: r, sum: c.msg.Summary})
			t.resolved(c.session)
			p.release(c)
		default:
			rest = append(rest, c)
		}
	}
	if err := t.recordFound(ctx, found); err != nil {
		return rest, err
	}
	if rest, err = t.recogniseAltered(ctx, p, rest); err != nil {
		return rest, err
	}
	if rest, err = t.remember(ctx, p, rest); err != nil {
		return rest, err
	}
	return t.holdUnfit(ctx, p, rest)
}

// remember gives messages without a lasting name back what the journal knows of
// earlier attempts, by their content. What is held stays held unless this run is
// to try it again.
func (t *trip) remember(ctx context.Context, p *pipeline, batch []*parcel) ([]*parcel, error) {
	nameless := map[message.Digest][]*parcel{}
	var contents []message.Digest
	for _, c := range batch {
		if !trusted(c.listed) {
			contents = append(contents, c.msg.Content)
			nameless[c.msg.Content] = append(nameless[c.msg.Content], c)
		}
	}
	if len(contents) == 0 {
		return batch, nil
	}
	q := journal.Query{Contents: contents, States: []journal.State{journal.Listed, journal.Held}}
	err := t.ledger.Each(ctx, q, func(r journal.Record) error {
		waiting := nameless[r.Sum.Content]
		if len(waiting) > 0 && !named(r.Key) && t.match.take(r.Key) {
			waiting[0].record = r
			nameless[r.Sum.Content] = waiting[1:]
		}
		return nil
	})
	if err != nil {
		return batch, err
	}
	rest := batch[:0:0]
	for _, c := range batch {
		if c.record.State != journal.Held || t.heldToo || trusted(c.listed) ||
			retriable(c.record, c.to.now().AppendLimit) && !t.isHeld(c.record.Key) {
			rest = append(rest, c)
			continue
		}
		t.countHeld(c.listed, c.record.Reason)
		t.resolved(c.session)
		p.release(c)
	}
	return rest, nil
}
