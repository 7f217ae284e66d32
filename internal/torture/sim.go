package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// simPackage has the tests that play histories; they print figures.
const simPackage = "./internal/ferry/sim"

// simulator runs such a test in several processes, since each uses one processor.
type simulator struct {
	bench *bench
	test  string // the test and the binary that has it
	bin   string

	mu      sync.Mutex
	figures part
	counts  map[string]int
}

func (b *bench) simulator(ctx context.Context, test string, p part) (*simulator, error) {
	s := &simulator{bench: b, test: test, figures: p, counts: map[string]int{}}
	s.bin = filepath.Join(b.dir, "sim.test")
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", s.bin, simPackage)
	cmd.Stderr = b.log
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("build the simulation: %w", err)
	}
	return s, nil
}

// histories is the part of that name.
func histories(ctx context.Context, b *bench) (part, error) {
	s, err := b.simulator(ctx, "TestHistories", part{
		Title: "Invented histories",
		About: "From each seed comes a history: what the servers can do, up to four lives of the program, and what\n" +
			"goes wrong in them: death at any step, connections cut at any octet (FIN, RST, silence, or the\n" +
			"last octets arrive later), servers that refuse, stall or die, a journal that can't be written\n" +
			"or is lost, new UIDVALIDITY and UIDLs, other clients and other runners, and a clock that is set by\n" +
			"hours, days or ten years. All is in memory, one thing at a time, so that each seed can be played\n" +
			"again. A healthy run follows, and one more that must copy nothing.",
		Command: fmt.Sprintf("go run ./internal/torture -seed %d -histories %d histories", b.Seed, b.Histories),
	})
	if err != nil {
		return part{}, err
	}
	const share = 500
	err = s.all(ctx, (b.Histories+share-1)/share, func(n int) []string {
		return []string{
			fmt.Sprintf("POPFERRY_FIRST=%d", int(b.Seed)+n*share),
			fmt.Sprintf("POPFERRY_HISTORIES=%d", min(share, b.Histories-n*share)),
		}
	})
	s.figures.Cases, s.figures.Kills = s.counts["seeds"], s.counts["kills"]
	s.figures.Verdict = verdict{
		Lost: s.counts["lost"], Doubled: s.counts["doubled"], Altered: s.counts["altered"], Early: s.counts["early"],
	}
	s.figures.note("%d lives; what happened in them: %s", s.counts["lives"], s.kinds())
	return s.figures, err
}

// kinds says how often what happened.
func (s *simulator) kinds() string {
	var list []string
	for _, kind := range slices.Sorted(maps.Keys(s.counts)) {
		switch kind {
		case "seeds", "lives", "kills", "lost", "doubled", "altered", "early":
		default:
			list = append(list, fmt.Sprintf("%s %d", kind, s.counts[kind]))
		}
	}
	return strings.Join(list, ", ")
}

// model is the part of that name.
func model(ctx context.Context, b *bench) (part, error) {
	s, err := b.simulator(ctx, "TestModel", part{
		Title: "Every step, and every two",
		About: "Three messages, of which one is a copy of another and one has no Message-ID, are carried, kept or\n" +
			"deleted, with and without UIDPLUS. At every step of a life the program dies, or the connection\n" +
			"that it is using is reset, and in the life after that again, at every step of it. A healthy run\n" +
			"has to put everything right, and one more must copy nothing.",
		Command: "go run ./internal/torture model",
	})
	if err != nil {
		return part{}, err
	}
	err = s.pairs(ctx)
	return s.figures, err
}

// runners is the part of that name.
func runners(ctx context.Context, b *bench) (part, error) {
	s, err := b.simulator(ctx, "TestTwoRunners", part{
		Title: "Two runners of one account",
		About: "The same three messages are carried by two popferrys, kept or deleted, with and without UIDPLUS. The\n" +
			"second comes at every step of the first. With the same state directory it is refused. With another it\n" +
			"goes on until every step of its own, where it waits for the first to end, or dies. Nothing may be lost,\n" +
			"altered or deleted too early. Mail that both carry at the same time may be doubled (README, Limits), and\n" +
			"is counted apart; where the first died before the second came, nothing may. Then each runs in health,\n" +
			"and once more, which must copy nothing.",
		Command: "go run ./internal/torture runners",
	})
	if err != nil {
		return part{}, err
	}
	err = s.pairs(ctx)
	s.figures.note("in the cases in which both were at work, %d times a mail was doubled, as expected",
		s.counts["doubled as expected"])
	return s.figures, err
}

// pairs has the test try every two steps, in shares.
func (s *simulator) pairs(ctx context.Context) error {
	const shares = 16
	err := s.all(ctx, shares, func(n int) []string {
		return []string{"POPFERRY_PAIRS=all", fmt.Sprintf("POPFERRY_PART=%d/%d", n, shares)}
	})
	s.figures.Cases = s.counts["cases"]
	return err
}

// all runs the test several times, with an environment for each.
func (s *simulator) all(ctx context.Context, times int, environment func(n int) []string) error {
	var work errgroup.Group
	work.SetLimit(s.bench.Parallel)
	for n := range times {
		work.Go(func() error { return s.one(ctx, environment(n)) })
	}
	return work.Wait()
}

func (s *simulator) one(ctx context.Context, environment []string) error {
	cmd := exec.CommandContext(ctx, s.bin, "-test.run", "^"+s.test+"$", "-test.v", "-test.timeout", "1h")
	cmd.Env = append(os.Environ(), environment...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(out, err != nil, strings.Join(environment, " "))
}

// read takes the figures of a test from what it printed.
func (s *simulator) read(out []byte, failed bool, environment string) error {
	told, before := 0, s.figures.Failed
	for line := range bytes.Lines(out) {
		line := strings.TrimSpace(string(line))
		if _, text, ok := strings.Cut(line, ": figures "); ok {
			counts := map[string]int{}
			if err := json.Unmarshal([]byte(text), &counts); err != nil {
				return fmt.Errorf("%s: figures: %w", environment, err)
			}
			for kind, n := range counts {
				s.counts[kind] += n
			}
			told++
		}
		if _, again, ok := strings.Cut(line, "again: "); ok {
			s.figures.fail("%s", again)
		}
	}
	if failed && s.figures.Failed == before {
		s.figures.fail("%s: %s", environment, tail(string(out)))
	}
	if told != 1 {
		return fmt.Errorf("%s: %d lines of figures in %s", environment, told, tail(string(out)))
	}
	s.bench.say("%s done", environment)
	return nil
}
