package ferry

import (
	"context"
	"errors"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/pop"
)

// stillListed tells of records whether POP3 still has their message: by name, size and
// header (where there is no TOP: by name and size), or what has no lasting name by header
// and size. Of what looks alike then it has none, as far as anybody can tell, if there are
// fewer messages than records, or if these are about several mails: nobody knows which of
// them is gone.
func (t *trip) stillListed(ctx context.Context) (func(journal.Record) bool, error) {
	tops, err := t.listedHeaders(ctx)
	noTop := errors.Is(err, pop.ErrNoTop)
	if err != nil && !noTop {
		return nil, err
	}
	crowds, err := t.crowds(ctx, tops)
	return func(r journal.Record) bool {
		if !named(r.Key) {
			return crowds[lookOf(r)].certain()
		}
		l, listed := t.at(r.Key)
		return listed && l.Size == r.Listed && (noTop || tops[l.Key].Header == r.Sum.Header)
	}, err
}

// listedHeaders digests the headers of all that is listed, in another session where one
// breaks.
func (t *trip) listedHeaders(ctx context.Context) (map[string]message.Summary, error) {
	for failures := 1; ; failures++ {
		tops, err := t.topHeaders(ctx, t.listing)
		if err == nil || !t.worthAnother(ctx, err, failures) {
			return tops, err
		}
		if err := t.reopen(ctx, max(t.engine.pause(failures), fault.AfterOf(err))); err != nil {
			return nil, err
		}
	}
}

func lookOf(r journal.Record) look { return look{r.Sum.Header, r.Listed} }

// crowd is what looks alike: listed messages without a lasting name, and records that may
// be about them.
type crowd struct {
	listed, records int
	content         message.Digest
	mixed           bool // the records are about several mails
}

// certain reports whether each of the records has its message.
func (c *crowd) certain() bool { return c != nil && !c.mixed && c.records <= c.listed }

func (c *crowd) join(r journal.Record) {
	c.mixed = c.mixed || c.records > 0 && r.Sum.Content != c.content
	c.records, c.content = c.records+1, r.Sum.Content
}

// crowds counts what has no lasting name. Whatever their state, records may have their
// message there: one that was never delivered is listed, too.
func (t *trip) crowds(ctx context.Context, tops map[string]message.Summary) (map[look]*crowd, error) {
	crowds := map[look]*crowd{}
	for key, s := range tops {
		l, _ := t.at(key)
		if trusted(l) {
			continue
		}
		k := look{s.Header, l.Size}
		if crowds[k] == nil {
			crowds[k] = &crowd{}
		}
		crowds[k].listed++
	}
	if len(crowds) == 0 {
		return nil, nil
	}
	return crowds, t.ledger.Each(ctx, journal.Query{}, func(r journal.Record) error {
		if _, listed := t.at(r.Key); listed {
			return nil
		}
		if c := crowds[lookOf(r)]; c != nil {
			c.join(r)
		}
		return nil
	})
}
