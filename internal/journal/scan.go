package journal

import (
	"context"
	"slices"

	"github.com/popferry/popferry/internal/message"
)

// Each implements Ledger. There are three ways through the records, by what the
// query asks: by the index of a digest, by the index of what is not finished, or
// along the scope's ids. Each way takes a page, lets go of the database, and
// only then calls fn.
func (l *ledger) Each(ctx context.Context, q Query, fn func(Record) error) error {
	for _, s := range q.States {
		if _, ok := stateCode(s); !ok {
			return invalid("a query for the unknown state %q", s)
		}
	}
	s := &scan{ledger: l, want: newFilter(q), fn: fn}
	switch {
	case len(q.Contents) > 0:
		return s.digests(ctx, "content", s.want.contents)
	case len(q.Headers) > 0:
		return s.digests(ctx, "header", s.want.headers)
	case len(q.States) > 0 && !slices.ContainsFunc(q.States, isFinal):
		return s.open(ctx)
	}
	return s.spans(ctx)
}

// isFinal reports a state that the index of what is not finished leaves out.
func isFinal(s State) bool { return s == Delivered || s == Gone }

// filter is a Query to hold many records against. A nil set is no condition.
type filter struct {
	states            map[State]bool
	contents, headers map[message.Digest]bool
}

func newFilter(q Query) filter {
	return filter{setOf(q.States), setOf(q.Contents), setOf(q.Headers)}
}

func setOf[T comparable](list []T) map[T]bool {
	if len(list) == 0 {
		return nil
	}
	set := make(map[T]bool, len(list))
	for _, v := range list {
		set[v] = true
	}
	return set
}

func (f *filter) fits(r *Record) bool {
	return (f.states == nil || f.states[r.State]) &&
		fitsDigest(f.contents, r.Sum.Content) && fitsDigest(f.headers, r.Sum.Header)
}

func fitsDigest(set map[message.Digest]bool, d message.Digest) bool {
	return set == nil || !d.IsZero() && set[d]
}

// scan is one call of Each.
type scan struct {
	*ledger
	want filter
	fn   func(Record) error
}

// pages shows pages of records until one is empty. fetch reads those that come
// after an id, given the scope.
func (s *scan) pages(ctx context.Context, after int64,
	fetch func(q query, scope, after int64) ([]found, error),
) error {
	for {
		var rs []found
		err := s.read(ctx, func(q query) error {
			scope, err := s.find(q)
			if err != nil || scope == 0 {
				return err
			}
			rs, err = fetch(q, scope, after)
			return err
		})
		if err != nil || len(rs) == 0 {
			return err
		}
		after = rs[len(rs)-1].id
		if err := s.show(ctx, rs); err != nil {
			return err
		}
	}
}

func (s *scan) show(ctx context.Context, rs []found) error {
	for i := range rs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !s.want.fits(&rs[i].Record) {
			continue
		}
		if err := s.fn(rs[i].Record); err != nil {
			return err
		}
	}
	return nil
}

// open walks what is not finished.
func (s *scan) open(ctx context.Context) error {
	const text = "SELECT " + rowColumns + " FROM message m INDEXED BY message_open" + rowJoins +
		" WHERE m.scope = ? AND m.state > 1 AND m.id > ? ORDER BY m.id LIMIT ?"
	return s.pages(ctx, 0, func(q query, scope, after int64) ([]found, error) {
		return q.found(text, scope, after, page)
	})
}

// spans walks everything, along the ids that belong to the scope.
func (s *scan) spans(ctx context.Context) error {
	const text = "SELECT " + rowColumns + " FROM message m" + rowJoins +
		" WHERE m.id > ? AND m.id <= ? ORDER BY m.id LIMIT ?"
	list, err := s.listSpans(ctx)
	if err != nil {
		return err
	}
	for _, span := range list {
		err := s.pages(ctx, span.first-1, func(q query, _, after int64) ([]found, error) {
			return q.found(text, after, span.last, page)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

type span struct{ first, last int64 }

func (s *scan) listSpans(ctx context.Context) (list []span, err error) {
	err = s.read(ctx, func(q query) error {
		scope, err := s.find(q)
		if err != nil {
			return err
		}
		var next span
		return q.each("SELECT first, last FROM span WHERE scope = ? ORDER BY first", []any{scope},
			[]any{&next.first, &next.last}, func() error {
				list = append(list, next)
				return nil
			})
	})
	return list, err
}

// digests shows the records that have one of the digests in a column.
func (s *scan) digests(ctx context.Context, column string, set map[message.Digest]bool) error {
	ids, err := s.findDigests(ctx, column, set)
	if err != nil {
		return err
	}
	for piece := range slices.Chunk(ids, lookups) {
		var rs []found
		list, args := inList(anys(piece))
		err := s.read(ctx, func(q query) error {
			const where = "SELECT " + rowColumns + " FROM message m" + rowJoins + " WHERE m.id IN "
			rs, err = q.found(where+list+" ORDER BY m.id", args...)
			return err
		})
		if err != nil {
			return err
		}
		if err := s.show(ctx, rs); err != nil {
			return err
		}
	}
	return nil
}

// findDigests returns the ids of the records with digests that begin like one of
// a set.
func (s *scan) findDigests(
	ctx context.Context, column string, set map[message.Digest]bool,
) (ids []int64, err error) {
	starts := make([]any, 0, len(set))
	for d := range set {
		starts = append(starts, d[:prefixSize])
	}
	var id int64
	for piece := range slices.Chunk(starts, lookups) {
		err := s.read(ctx, func(q query) error {
			scope, err := s.find(q)
			if err != nil {
				return err
			}
			list, args := inList(piece)
			text := "SELECT id FROM message WHERE substr(" + column + ", 1, 4) IN " + list +
				" AND scope = ?"
			return q.each(text, append(args, scope), []any{&id}, func() error {
				ids = append(ids, id)
				return nil
			})
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil // two digests may begin alike
}

// prefixSize is how much of a digest its index holds, in octets.
const prefixSize = 4

func anys[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

// found is a record with its id.
type found struct {
	id int64
	Record
}

func (q query) found(text string, args ...any) (rs []found, err error) {
	var w row
	err = q.each(text, args, w.dest(), func() error {
		r, err := w.record()
		rs = append(rs, found{w.id, r})
		return err
	})
	return rs, err
}
