package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/proxy"
)

const (
	// usualStride makes the part last about a quarter of an hour on two cores.
	usualStride = 1
	// atOnce is how many cases each core has under way: they mostly wait.
	atOnce = 48
	// perJournal is how many cases share a journal, which takes longer to make than a case.
	perJournal = 50
	// cutLimit is how long a run may take at the very most; nearly all take two seconds.
	cutLimit = 45 * time.Second
	// silenceFor is when a silent line to IMAP is reset. Limits for IMAP are minutes and cannot
	// be set; that they hold is for the tests of imapdst to show.
	silenceFor = 700 * time.Millisecond
)

// place is where a line is cut: behind so many octets of one direction of one connection.
type place struct {
	side   protocol
	conn   int // from 1
	dir    proxy.Direction
	offset int64
}

// cutCase is one cut.
type cutCase struct {
	place
	kind proxy.Kind
}

func (c cutCase) String() string {
	return fmt.Sprintf("%v connection %d %v, octet %d, %v", c.side, c.conn, c.dir, c.offset, c.kind)
}

// cutter is the part "cuts".
type cutter struct {
	bench *bench
	mails [][]byte

	mu      sync.Mutex
	figures part
	struck  int
	longest time.Duration
}

func cuts(ctx context.Context, b *bench) (part, error) {
	stride := b.Stride
	if stride == 0 {
		stride = usualStride
	}
	c := &cutter{bench: b, mails: cargo(), figures: part{
		Title: "Cut at every octet",
		About: fmt.Sprintf("A session that carries %d small mails and deletes them from POP3, but for one with a NUL, is recorded: all octets that\n"+
			"each connection carries, in both directions. Then the line is cut behind the n-th of them, by\n"+
			"FIN, by RST, or by silence, for every %s n, and the run goes on as it can; a healthy run\n"+
			"follows. Engine and servers are inside one process here, with a proxy on each line. A silent\n"+
			"IMAP line is reset after %v.", len(cargo()), ordinal(stride), silenceFor),
		Command: fmt.Sprintf("go run ./internal/torture -seed %d -stride %d cuts", b.Seed, stride),
	}}
	lengths, err := c.record(ctx)
	if err != nil {
		return c.figures, err
	}
	cases := enumerate(lengths, int64(stride), int64(b.Seed))
	total := int64(0)
	for _, n := range lengths {
		total += n
	}
	b.say("%d octets, %d cases", total, len(cases))
	err = c.all(ctx, cases)
	c.figures.note("the session has %d octets on %d connections; %d of %d cuts struck, the others lay "+
		"behind the end of a session that was shorter this time", total, len(lengths)/2, c.struck, len(cases))
	c.figures.note("the longest run took %.1f s", c.longest.Seconds())
	return c.figures, err
}

func ordinal(n int) string {
	switch {
	case n == 1:
		return "single"
	case n%10 == 1 && n%100 != 11:
		return fmt.Sprintf("%dst", n)
	case n%10 == 2 && n%100 != 12:
		return fmt.Sprintf("%dnd", n)
	case n%10 == 3 && n%100 != 13:
		return fmt.Sprintf("%drd", n)
	}
	return fmt.Sprintf("%dth", n)
}

// enumerate lists the cuts of a session: all kinds, at every stride-th octet, and at another of
// them for each kind. lengths says how many octets went each way (offset 0 in the key).
func enumerate(lengths map[place]int64, stride, seed int64) []cutCase {
	var cases []cutCase
	for at, n := range lengths {
		for _, kind := range []proxy.Kind{proxy.FIN, proxy.RST, proxy.Silence} {
			for offset := (int64(kind) + seed) % stride; offset <= n; offset += stride {
				at.offset = offset
				cases = append(cases, cutCase{at, kind})
			}
		}
	}
	return cases
}

// record runs once without a cut and counts.
func (c *cutter) record(ctx context.Context) (map[place]int64, error) {
	var mu sync.Mutex
	lengths := map[place]int64{}
	counter := func(side protocol) func(int) []proxy.Fault {
		return func(conn int) []proxy.Fault {
			var faults []proxy.Fault
			for _, dir := range []proxy.Direction{proxy.Up, proxy.Down} {
				at := place{side: side, conn: conn, dir: dir}
				faults = append(faults, proxy.Fault{Dir: dir, When: func(offset int64, data []byte) int {
					mu.Lock()
					defer mu.Unlock()
					lengths[at] = offset + int64(len(data))
					return -1
				}})
			}
			return faults
		}
	}
	err := c.withJournal(func(j journal.Journal, spool string) error {
		s, err := openStrait("record", spool, j, c.mails, 100*time.Millisecond,
			[2]proxy.Options{{Plan: counter(pop3)}, {Plan: counter(imap)}})
		if err != nil {
			return err
		}
		if e := s.run(ctx, cutLimit); e.Exit != 0 {
			err = fmt.Errorf("the run to be recorded ended with %d: %s", e.Exit, e.Output)
		}
		return errors.Join(err, s.close())
	})
	mu.Lock()
	defer mu.Unlock()
	return lengths, err
}

// withJournal makes a journal in memory for a while: what a disk does is not the question here.
func (c *cutter) withJournal(use func(j journal.Journal, spool string) error) error {
	dir, err := os.MkdirTemp(memory(c.bench.dir), "popferry-cuts-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	j, err := journal.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(use(j, dir), j.Close())
}

// memory is a directory whose files live in memory, or another.
func memory(other string) string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return other
}

// all carries out the cases, many at once.
func (c *cutter) all(ctx context.Context, cases []cutCase) error {
	queue := make(chan []cutCase)
	var workers errgroup.Group
	for range atOnce * c.bench.Parallel {
		workers.Go(func() error {
			var errs error
			for batch := range queue {
				if errs == nil {
					errs = c.batch(ctx, batch)
				}
			}
			return errs
		})
	}
	// Dealt out like cards: neighbours take equally long, and batches should.
	batches := max(1, len(cases)/perJournal)
	for first := range batches {
		var batch []cutCase
		for n := first; n < len(cases); n += batches {
			batch = append(batch, cases[n])
		}
		queue <- batch
		if first%20 == 19 {
			c.bench.say("%d of %d cases begun", (first+1)*perJournal, len(cases))
		}
	}
	close(queue)
	return workers.Wait()
}

func (c *cutter) batch(ctx context.Context, cases []cutCase) error {
	return c.withJournal(func(j journal.Journal, spool string) error {
		for n, one := range cases {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := c.one(ctx, fmt.Sprintf("cut%d", n), one, j, spool); err != nil {
				return fmt.Errorf("%v: %w", one, err)
			}
		}
		return nil
	})
}

// one runs with a cut, and once more without.
func (c *cutter) one(ctx context.Context, name string, one cutCase, j journal.Journal, spool string) error {
	struck := make(chan struct{})
	var lines [2]proxy.Options
	var healed atomic.Bool
	lines[one.side] = proxy.Options{
		Plan: func(conn int) []proxy.Fault {
			if conn != one.conn || healed.Load() {
				return nil
			}
			return []proxy.Fault{{Dir: one.dir, When: proxy.At(one.offset), Kind: one.kind}}
		},
		OnFault: func(int, proxy.Fault) { close(struck) },
	}
	s, err := openStrait(name, spool, j, c.mails, 100*time.Millisecond, lines)
	if err != nil {
		return err
	}
	over := make(chan struct{})
	var reset sync.WaitGroup
	if one.kind == proxy.Silence && one.side == imap {
		reset.Go(func() { resetAfter(s.lines[imap], struck, over) })
	}
	first := s.run(ctx, cutLimit)
	close(over)
	reset.Wait()
	early := s.early()
	healed.Store(true) // a first run that met no cut left it to the next one
	s.heal()
	last := s.run(ctx, cutLimit)
	v := s.sent.compare(s.arrived())
	v.Early = max(early, s.early())
	c.count(one, closed(struck), first, last, v, s.pop.Messages())
	return s.close()
}

// staying is what may never be deleted from POP3, since nobody can read it back: mail with a
// NUL.
func staying(mails [][]byte) (n int) {
	for _, m := range mails {
		if bytes.IndexByte(m, 0) >= 0 {
			n++
		}
	}
	return n
}

// resetAfter ends a silence, unless the run is over before.
func resetAfter(line *proxy.Proxy, struck, over <-chan struct{}) {
	select {
	case <-struck:
	case <-over:
		return
	}
	select {
	case <-time.After(silenceFor):
		line.Reset()
	case <-over:
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (c *cutter) count(one cutCase, struck bool, first, last ended, v verdict, left [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.figures.Cases++
	if struck {
		c.struck++
	}
	c.figures.exit(first)
	c.longest = max(c.longest, first.Took, last.Took)
	c.figures.judge(v, one.String())
	// A silence within the line that ends a message looks like a server that ends it wrongly.
	garbled := one.kind == proxy.Silence && one.side == pop3 && one.dir == proxy.Down &&
		(first.Exit == 65 || first.Exit == 76)
	if first.Exit != 0 && first.Exit != 75 && !garbled {
		c.figures.fail("%v: ended with %d: %s", one, first.Exit, first.Output)
	}
	if last.Exit != 0 {
		c.figures.fail("%v: the healthy run ended with %d: %s", one, last.Exit, last.Output)
	}
	if first.Took > cutLimit {
		c.figures.fail("%v: it took %v", one, first.Took)
	}
	if want := staying(c.mails); len(left) != want || staying(left) != want {
		c.figures.fail("%v: %d mails were left on POP3", one, len(left))
	}
}
