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
	inBubble(t, func(t *testing.T) {
		w := voyage.New(voyage.Options{Keep: m.keep, Imap: imapd.Options{NoUIDPlus: !m.uidplus}})
		defer w.Close()
		w.Tune = func(o *ferry.Options) { o.Random = func() float64 { return 0.5 } }
		w.Arrive(0, letter(1), letter(1), note(2))
		s := &struck{T: t, w: w, name: fmt.Sprintf("%v, %v, then %v", m, one, two)}
		steps = s.live(one)
		if one.step > 0 {
			steps = s.live(two)
		}
		s.end(m)
		hit = s.hit
	})
	return steps, hit
}

// struck is a world that gets blows.
type struck struct {
	*testing.T
	w    *voyage.World
	name string
	hit  bool // the last blow met something
}

// live is a life with a blow. Its steps come in one order.
func (s *struck) live(b blow) (steps int) {
	life, turn, left := &voyage.Life{Who: "life"}, 0, s.w.Left()
	life.Turns = voyage.NewTurns(func(waiting []string) int {
		turn++
		if now := s.w.Left(); now != left {
			left = now
			s.none("early", s.w.Lost())
		}
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
	over := make(chan struct{})
	var giving sync.WaitGroup
	giving.Go(func() { life.Turns.Give(over) })
	report, err := s.w.Run(context.Background(), life)
	close(over)
	giving.Wait()
	if err != nil {
		s.Fatal(err)
	}
	if !life.Died() && report.ExitCode != fault.OK && report.ExitCode != fault.Temporary {
		s.Errorf("%s: exit status %d", s.name, report.ExitCode)
	}
	s.none("lost", s.w.Lost())
	return turn
}

// end is the healthy end.
func (s *struck) end(m model) {
	for _, which := range []string{"the healthy run", "one more run"} {
		before := s.w.Imap.Counters().Messages
		report, err := s.w.Run(context.Background(), &voyage.Life{})
		if err != nil || report.ExitCode != fault.OK {
			s.Errorf("%s: %s: exit status %d, %v", s.name, which, report.ExitCode, err)
		}
		if stored := s.w.Imap.Counters().Messages - before; which == "one more run" && stored > 0 {
			s.Errorf("%s: one more run stored %d", s.name, stored)
		}
		s.none(which, s.w.Wrong())
	}
	if left := s.w.Left(); m.keep.Delete && left > 0 {
		s.Errorf("%s: %d messages are left", s.name, left)
	}
}

func (s *struck) none(when string, wrong []string) {
	for _, line := range wrong {
		s.Errorf("%s: %s: %s", s.name, when, line)
	}
}
