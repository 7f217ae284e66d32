package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
)

// stateCase does something to the state of an account that has been ferried, and to which new
// mail has come, and runs popferry. After it a run has to end with 0 and all has to be there once.
type stateCase struct {
	name string
	want []int // exit statuses of the run, any of them
	does func(context.Context, *world) (ended, error)
	says string // popferry has to say this
	// after looks at what the run left behind; nil: at nothing.
	after func(*world) error
	// heals makes the state usable again; nil: it has to be.
	heals func(*world) error
}

// errSkipped says that a case cannot be carried out here; why, is wrapped around it.
var errSkipped = errors.New("left out")

// stater is the part "state".
type stater struct {
	bench  *bench
	server *dovecot.Server

	mu      sync.Mutex
	figures part
}

func states(ctx context.Context, b *bench) (part, error) {
	s := &stater{bench: b, figures: part{
		Title: "Damaged, missing and foreign state",
		About: "An account is ferried, new mail comes, something happens to the journal, and popferry runs\n" +
			"again, against Dovecot. Then the state is made usable where popferry refused it, a last run has\n" +
			"to end with 0, and everything has to be there once.",
		Command: fmt.Sprintf("go run ./internal/torture -seed %d state", b.Seed),
	}}
	var err error
	if s.server, err = dovecot.Start(dovecot.Options{}); err != nil {
		return s.figures, err
	}
	var g errgroup.Group
	g.SetLimit(b.Parallel)
	for i, c := range stateCases() {
		if strings.HasPrefix(c.name, b.Only) {
			g.Go(func() error { return s.one(ctx, i, c) })
		}
	}
	err = errors.Join(g.Wait(), s.server.Stop())
	slices.SortFunc(s.figures.Rows, func(a, b row) int { return strings.Compare(a.Name, b.Name) })
	return s.figures, err
}

// one carries out a case with keep: forever and, where nothing has to be known of deletions, with
// keep: delivered.
func (s *stater) one(ctx context.Context, number int, c stateCase) error {
	for _, keep := range []string{keepForever, keepDelivered} {
		w, err := s.bench.newWorld(s.server, fmt.Sprintf("state%d%s", number, keep), keep)
		if err != nil {
			return err
		}
		if err := s.carryOut(ctx, w, c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func (s *stater) carryOut(ctx context.Context, w *world, c stateCase) error {
	if err := w.deliverAll(corpus.Ordinary(25, int64(s.bench.Seed))); err != nil {
		return err
	}
	if e, err := w.run(ctx); err != nil || e.Exit != 0 {
		return errors.Join(err, fmt.Errorf("the first run ended with %d: %s", e.Exit, tail(e.Output)))
	}
	if err := w.deliverAll(smallOnes(corpus.Hard())[:40]); err != nil {
		return err
	}
	e, err := c.does(ctx, w)
	if errors.Is(err, errSkipped) {
		s.skip(c, err)
		return nil
	}
	if err != nil && c.heals != nil {
		return errors.Join(err, c.heals(w)) // no mount may stay behind
	}
	if err != nil {
		return err
	}
	var found error
	if c.after != nil {
		found = c.after(w)
	}
	if c.heals != nil {
		if err := c.heals(w); err != nil {
			return err
		}
	}
	last, err := w.run(ctx)
	if err == nil && last.Exit == 65 && strings.Contains(last.Output, "damaged") {
		last, err = w.run(ctx) // the one before began a new journal, and deleted nothing
	}
	if err != nil {
		return err
	}
	v, err := w.oracle.judge(w.keep)
	if err != nil {
		return err
	}
	s.record(c, w, outcome{e, last, v, found})
	return nil
}

// outcome is what came of a case.
type outcome struct {
	run, last ended
	verdict   verdict
	found     error // what after found wrong
}

func (s *stater) skip(c stateCase, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addRow(c, why.Error())
}

// addRow leaves out what is told already by the same words.
func (s *stater) addRow(c stateCase, got string) {
	r := row{Name: c.name, Want: wanted(c.want), Got: got}
	if !slices.Contains(s.figures.Rows, r) {
		s.figures.Rows = append(s.figures.Rows, r)
	}
}

func (s *stater) record(c stateCase, w *world, o outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.figures
	f.Cases++
	f.exit(o.run)
	f.exit(o.last)
	name := fmt.Sprintf("%s, keep %s", c.name, w.keep)
	f.judge(o.verdict, name)
	if !slices.Contains(c.want, o.run.Exit) {
		f.fail("%s: ended with %d, not %s: %s", name, o.run.Exit, wanted(c.want), tail(o.run.Output))
	}
	if !strings.Contains(o.run.Output, c.says) {
		f.fail("%s: it does not say %q: %s", name, c.says, tail(o.run.Output))
	}
	if o.found != nil {
		f.fail("%s: %v", name, o.found)
	}
	if o.last.Exit != 0 {
		f.fail("%s: the last run ended with %d: %s", name, o.last.Exit, tail(o.last.Output))
	}
	s.addRow(c, fmt.Sprintf("%d, then %d", o.run.Exit, o.last.Exit))
}

func wanted(exits []int) string {
	words := strings.Fields(strings.Trim(fmt.Sprint(exits), "[]"))
	for i, word := range words {
		if word == "-1" {
			words[i] = "killed"
		}
	}
	return strings.Join(words, " or ")
}
