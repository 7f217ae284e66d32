package voyage

import (
	"context"
	"errors"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

// diary is a journal whose writer may die: a step before an account opens it, before
// and after each write, and nothing at all after death.
type diary struct {
	journal.Journal
	life *Life
}

// Ledger implements journal.Journal. Here begins what an account does: as a step it
// comes in an order that Turns choose, and not in that of the scheduler.
func (d diary) Ledger(ctx context.Context, s journal.Scope) (journal.Ledger, error) {
	if !d.life.step(s.Account, "journal open") {
		return nil, d.life.alive()
	}
	l, err := d.Journal.Ledger(ctx, s)
	return pages{l, d.life, s.Account}, err
}

// Index implements journal.Journal.
func (d diary) Index(ctx context.Context, k journal.FolderKey) (journal.Index, error) {
	if err := d.life.alive(); err != nil {
		return nil, err
	}
	x, err := d.Journal.Index(ctx, k)
	return charts{x, d.life}, err
}

// write is one write to the journal.
func (l *Life) write(place, name string, do func() error) error {
	if !l.step(place, "journal before "+name) {
		return l.alive()
	}
	if err := l.attempt(do); err != nil {
		return err
	}
	l.step(place, "journal after "+name)
	return l.alive()
}

// paper is what the journal is written on.
type paper int

const (
	sound paper = iota
	torn        // a write fails, and so do all that follow
	// smudged paper takes one more write and says that it failed.
	smudged
)

// SpoilJournal has the next write to the journal fail, and all that follow: a
// journal goes on in no other way after an error. With done the first is on disk
// all the same.
func (l *Life) SpoilJournal(done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paper = torn; done {
		l.paper = smudged
	}
}

// attempt writes, as far as that works.
func (l *Life) attempt(do func() error) error {
	l.mu.Lock()
	was := l.paper
	if was == smudged {
		l.paper = torn
	}
	l.mu.Unlock()
	failed := fault.New(fault.State, "the disk is full")
	switch was {
	case torn:
		return failed
	case smudged:
		return errors.Join(do(), failed)
	}
	return do()
}

// pages is a ledger of a diary.
type pages struct {
	journal.Ledger
	life    *Life
	account string
}

func (p pages) Get(ctx context.Context, keys []string) (map[string]journal.Record, error) {
	if err := p.life.alive(); err != nil {
		return nil, err
	}
	return p.Ledger.Get(ctx, keys)
}

func (p pages) Each(ctx context.Context, q journal.Query, fn func(journal.Record) error) error {
	if err := p.life.alive(); err != nil {
		return err
	}
	return p.Ledger.Each(ctx, q, fn)
}

func (p pages) Put(ctx context.Context, rs []journal.Record) error {
	if len(rs) == 0 {
		return p.Ledger.Put(ctx, rs) // not even a write
	}
	return p.life.write(p.account, "put "+string(rs[0].State), func() error { return p.Ledger.Put(ctx, rs) })
}

func (p pages) Rekey(ctx context.Context, moves map[string]journal.Record) error {
	if len(moves) == 0 {
		return p.Ledger.Rekey(ctx, moves)
	}
	return p.life.write(p.account, "rekey", func() error { return p.Ledger.Rekey(ctx, moves) })
}

func (p pages) Counts(ctx context.Context) (map[journal.State]int, error) {
	if err := p.life.alive(); err != nil {
		return nil, err
	}
	return p.Ledger.Counts(ctx)
}

func (p pages) Fact(ctx context.Context, name string) (string, error) {
	if err := p.life.alive(); err != nil {
		return "", err
	}
	return p.Ledger.Fact(ctx, name)
}

func (p pages) SetFact(ctx context.Context, name, value string) error {
	return p.life.write(p.account, "fact "+name, func() error { return p.Ledger.SetFact(ctx, name, value) })
}

// charts is an index of a diary.
type charts struct {
	journal.Index
	life *Life
}

func (c charts) State(ctx context.Context) (validity, next uint32, err error) {
	if err := c.life.alive(); err != nil {
		return 0, 0, err
	}
	return c.Index.State(ctx)
}

func (c charts) Reset(ctx context.Context, validity uint32) error {
	return c.life.write("index", "index reset", func() error { return c.Index.Reset(ctx, validity) })
}

func (c charts) Extend(ctx context.Context, next uint32, entries []journal.IndexEntry) error {
	return c.life.write("index", "index extend", func() error { return c.Index.Extend(ctx, next, entries) })
}

func (c charts) PutDigests(ctx context.Context, entries []journal.IndexEntry) error {
	return c.life.write("index", "index digests", func() error { return c.Index.PutDigests(ctx, entries) })
}

func (c charts) Unclaimed(ctx context.Context, m journal.Match, fn func(journal.IndexEntry) error) error {
	if err := c.life.alive(); err != nil {
		return err
	}
	return c.Index.Unclaimed(ctx, m, fn)
}

func (c charts) UnclaimedCount(ctx context.Context) (int, error) {
	if err := c.life.alive(); err != nil {
		return 0, err
	}
	return c.Index.UnclaimedCount(ctx)
}
