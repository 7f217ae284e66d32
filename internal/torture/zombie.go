package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/proxy"
)

const (
	// maxHold is how late the end of an append arrives at most.
	maxHold = 3 * time.Second
	// enough is a settling time that is longer, and tooShort one that is not.
	enough   = 4 * time.Second
	tooShort = 200 * time.Millisecond
)

// zombie is an append whose end arrives late.
type zombie struct {
	offset int64 // of the client's octets, behind which the line is cut
	hold   time.Duration
	settle time.Duration
}

func (z zombie) String() string {
	return fmt.Sprintf("octet %d held for %v, settle %v", z.offset, z.hold, z.settle)
}

// graveyard is the part "zombie".
type graveyard struct {
	*cutter
	from, to int64 // where the append is in what the client sends

	short, doubled int // cases with too short a settling time, and mails doubled then
}

func zombies(ctx context.Context, b *bench) (part, error) {
	g := &graveyard{cutter: &cutter{bench: b, mails: cargo(), figures: part{
		Title: "Appends that arrive late",
		About: fmt.Sprintf("The client's connection is reset somewhere within an append of %d mails, mostly in its last\n"+
			"octets, and what it had sent arrives at the server up to %v later. With a longer `settle` (%v)\n"+
			"nothing may be doubled. With a shorter one (%v) something may be: that is what `settle` is for,\n"+
			"and it is counted apart. Nothing is ever lost.", len(cargo()), maxHold, enough, tooShort),
		Command: fmt.Sprintf("go run ./internal/torture -seed %d -zombies %d zombie", b.Seed, b.Zombies),
	}}}
	if err := g.find(ctx); err != nil {
		return g.figures, err
	}
	err := g.all(ctx, g.choose())
	g.figures.note("with `settle: %v`, shorter than the delay: %d cases, %d mails doubled, as expected",
		tooShort, g.short, g.doubled)
	return g.figures, err
}

// find learns where the append is in a session without a fault.
func (g *graveyard) find(ctx context.Context) error {
	var mu sync.Mutex
	var said []byte
	listen := func(conn int) []proxy.Fault {
		return []proxy.Fault{{Dir: proxy.Up, When: func(_ int64, data []byte) int {
			mu.Lock()
			defer mu.Unlock()
			if conn == 1 {
				said = append(said, data...)
			}
			return -1
		}}}
	}
	err := g.withJournal(func(j journal.Journal, spool string) error {
		s, err := openStrait("find", spool, j, g.mails, time.Second, [2]proxy.Options{imap: {Plan: listen}})
		if err != nil {
			return err
		}
		e := s.run(ctx, cutLimit)
		if e.Exit != 0 {
			err = fmt.Errorf("ended with %d: %s", e.Exit, e.Output)
		}
		return errors.Join(err, s.close())
	})
	if err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	last := g.mails[len(g.mails)-1]
	start, end := bytes.Index(said, []byte(" APPEND ")), bytes.LastIndex(said, last)
	if start < 0 || end < start {
		return errors.New("no append was seen")
	}
	g.from, g.to = int64(start), int64(end+len(last)+len("\r\n"))
	return nil
}

// choose makes the cases: one in ten has too short a settling time.
func (g *graveyard) choose() []zombie {
	random := rand.New(rand.NewPCG(g.bench.Seed, seedOf("zombie")))
	list := make([]zombie, g.bench.Zombies+g.bench.Zombies/10)
	for i := range list {
		z := zombie{settle: enough, hold: time.Duration(random.Int64N(int64(maxHold)))}
		switch random.IntN(4) {
		case 0:
			z.offset = g.from + random.Int64N(g.to-g.from)
		default:
			z.offset = g.to - random.Int64N(40)
		}
		if i >= g.bench.Zombies {
			z.settle, z.hold = tooShort, maxHold/2+z.hold/2
		}
		list[i] = z
	}
	return list
}

// all carries out the cases, many at once: they do nothing but wait.
func (g *graveyard) all(ctx context.Context, list []zombie) error {
	var work errgroup.Group
	work.SetLimit(atOnce * g.bench.Parallel)
	for n, z := range list {
		work.Go(func() error {
			return g.withJournal(func(j journal.Journal, spool string) error {
				return g.one(ctx, fmt.Sprintf("zombie%d", n), z, j, spool)
			})
		})
	}
	return work.Wait()
}

func (g *graveyard) one(ctx context.Context, name string, z zombie, j journal.Journal, spool string) error {
	plan := func(conn int) []proxy.Fault {
		if conn != 1 {
			return nil
		}
		return []proxy.Fault{{Dir: proxy.Up, When: proxy.At(z.offset), Kind: proxy.Zombie, For: z.hold}}
	}
	s, err := openStrait(name, spool, j, g.mails, z.settle, [2]proxy.Options{imap: {Plan: plan}})
	if err != nil {
		return err
	}
	began := time.Now()
	first := s.run(ctx, cutLimit)
	early := s.early()
	select {
	case <-time.After(maxHold + time.Second - time.Since(began)): // all has arrived by then
	case <-ctx.Done():
	}
	s.heal()
	last := s.run(ctx, cutLimit)
	v := s.sent.compare(s.arrived())
	v.Early = max(early, s.early())
	g.mourn(z, first, last, v)
	return s.close()
}

func (g *graveyard) mourn(z zombie, first, last ended, v verdict) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.figures.Cases++
	g.figures.exit(first)
	g.figures.exit(last)
	if z.settle < z.hold {
		g.short++
		g.doubled += v.Doubled
		v.Doubled = 0
	}
	g.figures.judge(v, z.String())
	if first.Exit != 0 && first.Exit != 75 || last.Exit != 0 {
		g.figures.fail("%v: ended with %d (%s), then %d (%s)", z, first.Exit, first.Output, last.Exit, last.Output)
	}
}
