//go:build !race

package sim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/voyage"
	"github.com/popferry/popferry/plan"
)

// model is the smallest world that has all kinds of mail: a message, its copy, and
// one without a Message-ID.
type model struct {
	keep    plan.Keep
	uidplus bool
}

func (m model) String() string {
	return fmt.Sprintf("delete=%v,uidplus=%v", m.keep.Delete, m.uidplus)
}

var models = []model{
	{plan.Keep{}, true}, {plan.Keep{}, false}, {plan.Keep{Delete: true}, true}, {plan.Keep{Delete: true}, false},
}

// blow is what happens at a step of a life: death, or the end of the connection
// that the step is about. Step 0 is no blow.
type blow struct {
	step int
	cut  bool
}

func (b blow) String() string {
	return map[bool]string{false: "death", true: "cut"}[b.cut] + " at " + strconv.Itoa(b.step)
}

// TestModel deals every blow, and with POPFERRY_PAIRS=all every two in two lives
// that follow each other. POPFERRY_PART=i/n takes each n-th first blow of them.
func TestModel(t *testing.T) {
	oneProcessor(t)
	part, parts := share(t)
	pairs := os.Getenv("POPFERRY_PAIRS") == "all"
	cases := 0
	for _, m := range models {
		t.Run(m.String(), func(t *testing.T) {
			first, _ := m.try(t, blow{}, blow{})
			for i, one := range blows(first) {
				if i%parts != part {
					continue
				}
				second, hit := m.try(t, one, blow{})
				if !hit {
					continue
				}
				cases++
				for _, two := range blows(second) {
					if !pairs {
						break
					}
					if _, hit := m.try(t, one, two); hit {
						cases++
					}
				}
			}
		})
	}
	text, err := json.Marshal(map[string]int{"cases": cases})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("figures %s", text)
}

func share(t *testing.T) (part, parts int) {
	t.Helper()
	text := os.Getenv("POPFERRY_PART")
	if text == "" {
		return 0, 1
	}
	if _, err := fmt.Sscanf(text, "%d/%d", &part, &parts); err != nil || parts < 1 {
		t.Fatalf("POPFERRY_PART: %q", text)
	}
	return part, parts
}

// blows lists those that a life of so many steps can get.
func blows(steps int) []blow {
	var all []blow
	for step := 1; step <= steps; step++ {
		all = append(all, blow{step, false}, blow{step, true})
	}
	return all
}

// try lives two lives with a blow each, and then a healthy one, which has to put
// everything right, and one that finds nothing to do. It returns the number of steps
// of the second life, or of the first if that gets no blow, and whether the last blow
// met something: a write to the journal is no connection that could end.
func (m model) try(t *testing.T, one, two blow) (steps int, hit bool) {
	m.world(t, fmt.Sprintf("%v, %v, then %v", m, one, two), func(s *struck) {
		steps = s.suffer(one)
		if one.step > 0 {
			steps = s.suffer(two)
		}
		s.end(m)
		hit = s.hit
	})
	return steps, hit
}

// world makes one with its mail, and has something happen in it.
func (m model) world(t *testing.T, name string, happen func(*struck)) {
	inBubble(t, func(t *testing.T) {
		w := voyage.New(voyage.Options{Keep: m.keep, Imap: imapd.Options{NoUIDPlus: !m.uidplus}})
		defer w.Close()
		w.Tune = func(o *ferry.Options) { o.Random = func() float64 { return 0.5 } }
		w.Arrive(0, letter(1), letter(1), note(2))
		happen(&struck{T: t, w: w, name: name})
	})
}

// struck is a world that gets blows.
type struck struct {
	*testing.T
	w    *voyage.World
	name string
	hit  bool // the last blow met something

	others sync.WaitGroup // lives of others
}

// suffer is a life with a blow. Its steps come in one order.
func (s *struck) suffer(b blow) (steps int) {
	life := &voyage.Life{Who: "life"}
	s.live(life, func(turn int, waiting []string) int {
		steps = turn
		switch {
		case turn != b.step:
		case b.cut:
			s.hit = life.BreakAt(waiting[0])
		default:
			s.hit = true
			life.Kill()
		}
		return 0
	})
	return steps
}

// live is a life in which somebody chooses at every turn, counted from 1, which of the
// waiting steps is next.
func (s *struck) live(life *voyage.Life, choose func(turn int, waiting []string) int) {
	turn, left := 0, s.w.Left()
	life.Turns = voyage.NewTurns(func(waiting []string) int {
		turn++
		if now := s.w.Left(); now != left {
			left = now
			s.none("early", s.w.Lost())
		}
		return choose(turn, waiting)
	})
	over := make(chan struct{})
	var giving sync.WaitGroup
	giving.Go(func() { life.Turns.Give(over) })
	s.run(life)
	s.others.Wait()
	close(over)
	giving.Wait()
	s.none("lost", s.w.Lost())
}

// run is a life in which things may go wrong, to its end.
func (s *struck) run(life *voyage.Life) {
	report, err := s.w.Run(context.Background(), life)
	if err != nil {
		s.Errorf("%s: %v", s.name, err)
	}
	if !life.Died() && report.ExitCode != fault.OK && report.ExitCode != fault.Temporary {
		s.Errorf("%s: exit status %d", s.name, report.ExitCode)
	}
}

// end is the healthy end.
func (s *struck) end(m model) {
	s.healthy(&voyage.Life{})
	s.none("the healthy run", s.w.Wrong())
	s.idle(&voyage.Life{})
	s.none("one more run", s.w.Wrong())
	s.emptied(m)
}

// healthy is a life in which nothing goes wrong.
func (s *struck) healthy(life *voyage.Life) {
	report, err := s.w.Run(context.Background(), life)
	if err != nil || report.ExitCode != fault.OK {
		s.Errorf("%s: a healthy run: exit status %d, %v", s.name, report.ExitCode, err)
	}
}

// idle is one that finds nothing to do.
func (s *struck) idle(life *voyage.Life) {
	before := s.w.Imap.Counters().Messages
	s.healthy(life)
	if stored := s.w.Imap.Counters().Messages - before; stored > 0 {
		s.Errorf("%s: one more run stored %d", s.name, stored)
	}
}

// emptied looks whether all was deleted that was to be.
func (s *struck) emptied(m model) {
	if left := s.w.Left(); m.keep.Delete && left > 0 {
		s.Errorf("%s: %d messages are left", s.name, left)
	}
}

func (s *struck) none(when string, wrong []string) {
	for _, line := range wrong {
		s.Errorf("%s: %s: %s", s.name, when, line)
	}
}
