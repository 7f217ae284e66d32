package voyage

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
)

// Disk is what a journal in memory is kept on: what was put there is there when
// the journal is opened again. It promises what the interfaces of package journal
// promise, and passes their conformance suite.
type Disk struct {
	mu      sync.Mutex
	scopes  []*scope
	passes  []journal.Pass
	folders map[journal.FolderKey]*folder
	writer  *memory // who holds the lock
}

// NewDisk returns an empty one.
func NewDisk() *Disk { return &Disk{folders: map[journal.FolderKey]*folder{}} }

// Open opens the journal that is kept there.
func (d *Disk) Open() journal.Journal { return &memory{disk: d} }

// Lock opens it for its only writer.
func (d *Disk) Lock() (journal.Journal, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writer != nil && !d.writer.closed {
		return nil, fault.New(fault.Temporary, "popferry is already running")
	}
	d.writer = &memory{disk: d}
	return d.writer, nil
}

// scope holds the records of a journal.Scope in the order of their first put.
type scope struct {
	name    journal.Scope
	records []journal.Record
	at      map[string]int // in records, by key
	facts   map[string]string
}

func (d *Disk) scope(name journal.Scope) *scope {
	for _, s := range d.scopes {
		if s.name == name {
			return s
		}
	}
	return nil
}

// memory is an open journal.
type memory struct {
	disk   *Disk
	closed bool // guarded by disk.mu
}

// locked runs fn with the disk to itself.
func (m *memory) locked(ctx context.Context, fn func() error) error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.closed {
		return fault.New(fault.Internal, "the journal is closed")
	}
	return fn()
}

// Ledger implements journal.Journal.
func (m *memory) Ledger(ctx context.Context, name journal.Scope) (journal.Ledger, error) {
	return &ledger{m, name}, m.locked(ctx, func() error { return nil })
}

// Index implements journal.Journal.
func (m *memory) Index(ctx context.Context, k journal.FolderKey) (journal.Index, error) {
	return &index{memory: m, key: k}, m.locked(ctx, func() error { return nil })
}

// Scopes implements journal.Journal.
func (m *memory) Scopes(ctx context.Context) (all []journal.Status, err error) {
	err = m.locked(ctx, func() error {
		for _, s := range m.disk.scopes {
			all = append(all, journal.Status{
				Scope: s.name, Counts: s.counts(), LastRun: s.facts[journal.LastRun],
			})
		}
		return nil
	})
	return all, err
}

// RecordPasses implements journal.Journal.
func (m *memory) RecordPasses(ctx context.Context, passes []journal.Pass, keep time.Duration) error {
	return m.locked(ctx, func() error {
		for _, p := range passes {
			if p.Account == "" || p.Passes < 1 {
				return fault.New(fault.Internal, "a pass without an account, or of none")
			}
		}
		for _, p := range passes {
			p.Started = p.Started.UTC().Truncate(time.Millisecond)
			p.Error, p.Hint = told(p.Error), told(p.Hint)
			m.disk.passes = slices.DeleteFunc(m.disk.passes, func(old journal.Pass) bool {
				return old.Account == p.Account && old.Started.Equal(p.Started)
			})
			m.disk.passes = append(m.disk.passes, p)
		}
		if len(passes) > 0 {
			m.disk.forget(passes[len(passes)-1].Started.Add(-24*time.Hour), keep)
		}
		return nil
	})
}

// forget drops what is older than keep, seen from the last pass that began until a moment.
func (d *Disk) forget(until time.Time, keep time.Duration) {
	var last time.Time
	for _, p := range d.passes {
		if !p.Started.After(until) && p.Started.After(last) {
			last = p.Started
		}
	}
	d.passes = slices.DeleteFunc(d.passes, func(p journal.Pass) bool { return p.Started.Before(last.Add(-keep)) })
}

// told leaves whole characters of what a pass has to say.
func told(text string) string { return strings.ToValidUTF8(text[:min(len(text), 4096)], "") }

// EachPass implements journal.Journal.
func (m *memory) EachPass(ctx context.Context, since time.Time, fn func(journal.Pass) error) error {
	var passes []journal.Pass
	if err := m.locked(ctx, func() error {
		passes = slices.Clone(m.disk.passes)
		return nil
	}); err != nil {
		return err
	}
	for _, p := range passes {
		if p.Started.Before(since) {
			continue
		}
		if err := fn(p); err != nil {
			return err
		}
	}
	return nil
}

// Renew implements journal.Journal.
func (m *memory) Renew(ctx context.Context) ([]string, error) {
	return nil, m.locked(ctx, func() error { return nil })
}

// Rebuilt implements journal.Journal.
func (*memory) Rebuilt() bool { return false }

// Notes implements journal.Journal.
func (*memory) Notes() []string { return nil }

// Close implements journal.Journal.
func (m *memory) Close() error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	m.closed = true
	return nil
}

// ledger is a scope of an open journal.
type ledger struct {
	*memory
	name journal.Scope
}

// stored returns the scope, which is made if need be.
func (l *ledger) stored() *scope {
	s := l.disk.scope(l.name)
	if s == nil {
		s = &scope{name: l.name, at: map[string]int{}, facts: map[string]string{}}
		l.disk.scopes = append(l.disk.scopes, s)
	}
	return s
}

// Get implements journal.Ledger.
func (l *ledger) Get(ctx context.Context, keys []string) (map[string]journal.Record, error) {
	found := map[string]journal.Record{}
	err := l.locked(ctx, func() error {
		s := l.disk.scope(l.name)
		for _, key := range keys {
			if s == nil {
				break
			}
			if at, ok := s.at[key]; ok {
				found[key] = s.records[at]
			}
		}
		return nil
	})
	return found, err
}

// Each implements journal.Ledger: it shows the records as they are when it begins.
func (l *ledger) Each(ctx context.Context, q journal.Query, fn func(journal.Record) error) error {
	var records []journal.Record
	err := l.locked(ctx, func() error {
		for _, state := range q.States {
			if !slices.Contains(journal.States(), state) {
				return fault.New(fault.Internal, "unknown state %q", state)
			}
		}
		s := l.disk.scope(l.name)
		if s == nil {
			return nil
		}
		for _, r := range s.records {
			if wanted(q, &r) {
				records = append(records, r)
			}
		}
		return nil
	})
	for _, r := range records {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = fn(r)
		}
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

func wanted(q journal.Query, r *journal.Record) bool {
	return (len(q.States) == 0 || slices.Contains(q.States, r.State)) &&
		among(q.Contents, r.Sum.Content) && among(q.Headers, r.Sum.Header)
}

func among(list []message.Digest, d message.Digest) bool {
	return len(list) == 0 || !d.IsZero() && slices.Contains(list, d)
}

// Put implements journal.Ledger.
func (l *ledger) Put(ctx context.Context, rs []journal.Record) error {
	return l.locked(ctx, func() error {
		for i := range rs {
			if err := valid(&rs[i]); err != nil {
				return err
			}
		}
		if len(rs) == 0 {
			return nil
		}
		s := l.stored()
		for _, r := range rs {
			if at, ok := s.at[r.Key]; ok {
				s.records[at] = kept(r)
				continue
			}
			s.at[r.Key] = len(s.records)
			s.records = append(s.records, kept(r))
		}
		return nil
	})
}

func valid(r *journal.Record) error {
	if r.Key == "" || !slices.Contains(journal.States(), r.State) {
		return fault.New(fault.Internal, "a record with the key %q and the state %q", r.Key, r.State)
	}
	return nil
}

// Rekey implements journal.Ledger.
func (l *ledger) Rekey(ctx context.Context, moves map[string]journal.Record) error {
	return l.locked(ctx, func() error {
		if len(moves) == 0 {
			return nil
		}
		s := l.stored()
		if err := s.movable(moves); err != nil {
			return err
		}
		places := map[string]int{}
		for old := range moves {
			places[old] = s.at[old]
		}
		for old := range moves {
			delete(s.at, old)
		}
		for old, r := range moves {
			s.records[places[old]] = kept(r)
			s.at[r.Key] = places[old]
		}
		return nil
	})
}

// movable refuses what would merge records or move what is not there.
func (s *scope) movable(moves map[string]journal.Record) error {
	given := map[string]bool{}
	for old, r := range moves {
		if err := valid(&r); err != nil {
			return err
		}
		_, there := s.at[old]
		_, taken := s.at[r.Key]
		_, leaves := moves[r.Key]
		if !there || given[r.Key] || taken && !leaves {
			return fault.New(fault.Internal, "can't move %q to %q", old, r.Key)
		}
		given[r.Key] = true
	}
	return nil
}

// Counts implements journal.Ledger.
func (l *ledger) Counts(ctx context.Context) (counts map[journal.State]int, err error) {
	err = l.locked(ctx, func() error {
		counts = map[journal.State]int{}
		if s := l.disk.scope(l.name); s != nil {
			counts = s.counts()
		}
		return nil
	})
	return counts, err
}

func (s *scope) counts() map[journal.State]int {
	counts := map[journal.State]int{}
	for i := range s.records {
		counts[s.records[i].State]++
	}
	return counts
}

// Fact implements journal.Ledger.
func (l *ledger) Fact(ctx context.Context, name string) (value string, err error) {
	err = l.locked(ctx, func() error {
		if s := l.disk.scope(l.name); s != nil {
			value = s.facts[name]
		}
		return nil
	})
	return value, err
}

// SetFact implements journal.Ledger.
func (l *ledger) SetFact(ctx context.Context, name, value string) error {
	return l.locked(ctx, func() error {
		l.stored().facts[name] = value
		return nil
	})
}

// kept is a record as a journal keeps it.
func kept(r journal.Record) journal.Record {
	s := r.Sum
	r.Sum = message.Summary{
		Size: s.Size, Content: s.Content, Header: s.Header, Body: s.Body, Loose: s.Loose,
		MessageID: s.MessageID,
	}
	for _, at := range []*time.Time{
		&r.Ended, &r.FirstSeen, &r.DeliveredAt, &r.VerifiedAt, &r.Changed,
	} {
		if !at.IsZero() {
			*at = time.UnixMilli(at.UnixMilli()).UTC()
		}
	}
	return r
}
