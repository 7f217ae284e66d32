package journal

import (
	"context"
	"slices"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/message"
)

// ledger implements Ledger.
type ledger struct {
	access
	scope Scope
}

// Ledger implements Journal.
func (s *store) Ledger(ctx context.Context, scope Scope) (Ledger, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	return &ledger{access{s, s.era}, scope}, nil
}

// find returns the scope's id, or 0 while nothing is stored for it.
func (l *ledger) find(q query) (id int64, err error) {
	c := &l.scope
	_, err = q.one(`SELECT id FROM scope WHERE account = ? AND source_host = ?
		AND source_user = ? AND dest_host = ? AND dest_user = ? AND folder = ?`,
		[]any{c.Account, c.SourceHost, c.SourceUser, c.DestHost, c.DestUser, c.Folder}, &id)
	return id, err
}

// ensure returns the scope's id and makes one if need be.
func (l *ledger) ensure(q query) (int64, error) {
	id, err := l.find(q)
	if err != nil || id != 0 {
		return id, err
	}
	c := &l.scope
	return q.insert(`INSERT INTO scope
		(account, source_host, source_user, dest_host, dest_user, folder)
		VALUES (?, ?, ?, ?, ?, ?)`,
		c.Account, c.SourceHost, c.SourceUser, c.DestHost, c.DestUser, c.Folder)
}

// Get implements Ledger.
func (l *ledger) Get(ctx context.Context, keys []string) (map[string]Record, error) {
	found := map[string]Record{}
	for piece := range slices.Chunk(keys, page) {
		wanted := make(map[string]bool, len(piece))
		for _, key := range piece {
			wanted[key] = true
		}
		err := l.read(ctx, func(q query) error { return l.get(q, piece, wanted, found) })
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (l *ledger) get(
	q query, keys []string, wanted map[string]bool, found map[string]Record,
) error {
	scope, err := l.find(q)
	if err != nil || scope == 0 {
		return err
	}
	return inLists(q.hashes(scope, keys), func(list string, args []any) error {
		const where = "SELECT " + rowColumns + " FROM message m" + rowJoins + " WHERE m.hash IN "
		return q.rows(where+list+" AND m.scope = ?", append(args, scope), func(r Record) error {
			if wanted[r.Key] {
				found[r.Key] = r
			}
			return nil
		})
	})
}

func (q query) hashes(scope int64, keys []string) []any {
	out := make([]any, len(keys))
	for i, key := range keys {
		out[i] = q.keyHash(scope, key)
	}
	return out
}

// rows calls fn with the records that a statement selects as rowColumns.
func (q query) rows(text string, args []any, fn func(Record) error) error {
	var w row
	return q.each(text, args, w.dest(), func() error {
		r, err := w.record()
		if err != nil {
			return err
		}
		return fn(r)
	})
}

// Put implements Ledger.
func (l *ledger) Put(ctx context.Context, rs []Record) error {
	for i := range rs {
		if err := validate(&rs[i]); err != nil {
			return err
		}
	}
	if len(rs) == 0 {
		return nil
	}
	return l.write(ctx, func(q query) error {
		b, err := l.begin(q)
		if err != nil {
			return err
		}
		known, err := b.known(rs)
		if err != nil {
			return err
		}
		for i := range rs {
			r := &rs[i]
			old, ok := known[r.Key]
			if !ok {
				known[r.Key], err = b.insert(r)
			} else {
				known[r.Key], err = b.update(old, r)
			}
			if err != nil {
				return err
			}
		}
		return b.end()
	})
}

// validate refuses a record that can't be found again or has no meaning.
func validate(r *Record) error {
	if r.Key == "" {
		return invalid("a record without a key")
	}
	if _, ok := stateCode(r.State); !ok {
		return invalid("a record in the unknown state %q", r.State)
	}
	return nil
}

// Rekey implements Ledger.
func (l *ledger) Rekey(ctx context.Context, moves map[string]Record) error {
	olds := make([]Record, 0, len(moves))
	news := make([]Record, 0, len(moves))
	taken := make(map[string]bool, len(moves))
	for old, r := range moves {
		if err := validate(&r); err != nil {
			return err
		}
		if taken[r.Key] {
			return invalid("two records would get the key %s", fault.Escape(r.Key))
		}
		taken[r.Key] = true
		olds, news = append(olds, Record{Key: old}), append(news, r)
	}
	if len(moves) == 0 {
		return nil
	}
	return l.write(ctx, func(q query) error {
		b, err := l.begin(q)
		if err != nil {
			return err
		}
		return b.rekey(olds, news)
	})
}

func (b *batch) rekey(olds, news []Record) error {
	sources, err := b.known(olds)
	if err != nil {
		return err
	}
	targets, err := b.known(news)
	if err != nil {
		return err
	}
	for _, old := range olds {
		if _, ok := sources[old.Key]; !ok {
			return invalid("no record has the key %s", fault.Escape(old.Key))
		}
		delete(targets, old.Key) // it is moved away
	}
	for key := range targets {
		return invalid("another record has the key %s already", fault.Escape(key))
	}
	for i := range news {
		if _, err := b.replace(sources[olds[i].Key], &news[i]); err != nil {
			return err
		}
	}
	return b.end()
}

// Counts implements Ledger.
func (l *ledger) Counts(ctx context.Context) (counts map[State]int, err error) {
	err = l.read(ctx, func(q query) error {
		scope, err := l.find(q)
		if err != nil {
			return err
		}
		counts, err = q.counts(scope)
		return err
	})
	return counts, err
}

func (q query) counts(scope int64) (map[State]int, error) {
	counts := make(map[State]int)
	var code int64
	var n int
	err := q.each("SELECT state, n FROM tally WHERE scope = ? AND n > 0", []any{scope},
		[]any{&code, &n}, func() error {
			state, ok := stateOf(code)
			if !ok {
				return errDamaged
			}
			counts[state] = n
			return nil
		})
	if err != nil {
		return nil, err
	}
	return counts, nil
}

// Fact implements Ledger.
func (l *ledger) Fact(ctx context.Context, name string) (value string, err error) {
	err = l.read(ctx, func(q query) error {
		scope, err := l.find(q)
		if err != nil {
			return err
		}
		value, err = q.fact(scope, name)
		return err
	})
	return value, err
}

func (q query) fact(scope int64, name string) (value string, err error) {
	_, err = q.one("SELECT value FROM fact WHERE scope = ? AND name = ?",
		[]any{scope, name}, &value)
	return value, err
}

// SetFact implements Ledger.
func (l *ledger) SetFact(ctx context.Context, name, value string) error {
	return l.write(ctx, func(q query) error {
		scope, err := l.ensure(q)
		if err != nil {
			return err
		}
		return q.exec("INSERT OR REPLACE INTO fact (scope, name, value) VALUES (?, ?, ?)",
			scope, name, value)
	})
}

// sameSum reports that what is stored of two summaries is the same.
func sameSum(a, b *message.Summary) bool {
	return a.Size == b.Size && a.Content == b.Content && a.Header == b.Header &&
		a.Body == b.Body && a.Loose == b.Loose && a.MessageID == b.MessageID
}
