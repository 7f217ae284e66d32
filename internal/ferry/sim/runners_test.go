//go:build !race

package sim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/voyage"
)

// meeting is how two runners of one account, each with a journal of its own, come
// together: the other begins at a step of the first, makes so many steps before the
// first goes on, and then, maybe, dies. Apart means that the first dies, and that the
// other begins when it is dead.
type meeting struct {
	at, steps   int // steps 0: as many as it has
	dies, apart bool
}

func (m meeting) String() string {
	return fmt.Sprintf("at %d for %d, dies %v, apart %v", m.at, m.steps, m.dies, m.apart)
}

// TestTwoRunners lets two runners meet at every step, and with POPFERRY_PAIRS=all at
// every two: nothing is lost, altered or deleted too early, and where they do not work
// at the same time nothing is doubled either. POPFERRY_PART is as in TestModel.
func TestTwoRunners(t *testing.T) {
	oneProcessor(t)
	part, parts := share(t)
	pairs := os.Getenv("POPFERRY_PAIRS") == "all"
	figures := map[string]int{}
	for _, m := range models {
		t.Run(m.String(), func(t *testing.T) {
			alone, _ := m.try(t, blow{}, blow{})
			for at := 1 + part; at <= alone; at += parts {
				m.refused(t, at)
				m.meet(t, meeting{at: at, apart: true}, figures)
				steps := m.meet(t, meeting{at: at}, figures)
				for n := 1; pairs && n < steps; n++ {
					m.meet(t, meeting{at: at, steps: n}, figures)
					m.meet(t, meeting{at: at, steps: n, dies: true}, figures)
				}
			}
		})
	}
	text, err := json.Marshal(figures)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("figures %s", text)
}

// refused has a second runner come to the same journal at a step of the first: it is
// told to try again later, and says nothing to any server.
func (m model) refused(t *testing.T, at int) {
	m.world(t, fmt.Sprintf("%v, refused at %d", m, at), func(s *struck) {
		talked := func() string {
			return fmt.Sprint(s.w.Drops[0].Counters(), s.w.Imap.Counters())
		}
		s.live(&voyage.Life{Who: "one"}, func(turn int, _ []string) int {
			if turn != at {
				return 0
			}
			before := talked()
			_, err := s.w.Run(context.Background(), &voyage.Life{Who: "two"})
			if fault.CodeOf(err) != fault.Temporary || talked() != before {
				s.Errorf("%s: %v, %s, before it %s", s.name, err, talked(), before)
			}
			return 0
		})
		s.end(m)
	})
}

// meet plays a meeting, and two healthy runs of each. It returns the number of steps of
// the other.
func (m model) meet(t *testing.T, how meeting, figures map[string]int) (steps int) {
	m.world(t, fmt.Sprintf("%v, %v", m, how), func(s *struck) {
		disk := voyage.NewDisk()
		e := &encounter{struck: s, how: how, other: &voyage.Life{Who: "two", Journal: disk.Lock}}
		e.play()
		s.healthy(&voyage.Life{})
		s.healthy(&voyage.Life{Journal: disk.Lock})
		s.idle(&voyage.Life{})
		s.idle(&voyage.Life{Journal: disk.Lock})
		e.verdict(figures)
		s.emptied(m)
		steps = e.made
	})
	figures["cases"]++
	return steps
}

// encounter is a meeting under way.
type encounter struct {
	*struck
	how   meeting
	other *voyage.Life
	made  int // steps of the other
}

// play has the first live until the other comes, the other until it has made its steps,
// and then the first again, as far as each of them lives and has something to do.
func (e *encounter) play() {
	first := &voyage.Life{Who: "one"}
	e.live(first, func(turn int, waiting []string) int {
		switch {
		case turn != e.how.at:
		case e.how.apart:
			first.Kill()
		default:
			e.other.Turns = first.Turns
			e.others.Go(func() { e.run(e.other) })
		}
		return e.next(waiting)
	})
	if e.how.apart {
		e.live(e.other, func(int, []string) int { return 0 })
	}
}

// next chooses whose turn it is.
func (e *encounter) next(waiting []string) int {
	theirs := slices.IndexFunc(waiting, func(step string) bool { return strings.HasPrefix(step, "two ") })
	ours := slices.IndexFunc(waiting, func(step string) bool { return strings.HasPrefix(step, "one ") })
	done := e.how.steps > 0 && e.made >= e.how.steps
	if done && e.how.dies {
		e.other.Kill()
	}
	if theirs < 0 || done && ours >= 0 {
		return max(ours, 0)
	}
	e.made++
	return theirs
}

// verdict compares what there is with what was sent. Two who work at the same time may
// both carry a mail (README, What is promised).
func (e *encounter) verdict(figures map[string]int) {
	for _, line := range e.w.Wrong() {
		if strings.HasPrefix(line, "doubled: ") && !e.how.apart {
			figures["doubled as expected"]++
			continue
		}
		e.Errorf("%s: %s", e.name, line)
	}
}
