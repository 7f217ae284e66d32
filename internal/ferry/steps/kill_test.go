//go:build !race

package steps_test

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/voyage"
)

// usual is how many steps of a combination are tried when not all are, few where
// one attempt takes long; patience is how long a recovery may take beside the
// settling time.
const (
	usual    = 16
	few      = 6
	patience = 3 * time.Minute
)

func full() bool { return os.Getenv("POPFERRY_SWEEP") == "full" }

// seed chooses the sample. It is fixed, so that a failure comes back.
func seed(t testing.TB) uint64 {
	t.Helper()
	text := os.Getenv("POPFERRY_SEED")
	if text == "" {
		return 1
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("POPFERRY_SEED: %v", err)
	}
	return n
}

// TestStepKill kills the program at its steps: whatever it was doing, the next
// run brings every message to its destination once, and the one after that
// copies nothing.
func TestStepKill(t *testing.T) {
	if !full() {
		t.Logf("a sample of the steps, POPFERRY_SEED=%d; POPFERRY_SWEEP=full takes all", seed(t))
	}
	for _, s := range scenarios() {
		for _, c := range s.combinations() {
			t.Run(s.name+"/"+c.String(), func(t *testing.T) {
				t.Parallel()
				sweep(t, s, c, nil)
			})
		}
	}
}

// TestEverywhere counts the scenarios that are run with every combination: others say little of
// what they leave out.
func TestEverywhere(t *testing.T) {
	const wanted = 40
	names := map[string]bool{}
	for _, s := range scenarios() {
		if len(s.combinations()) == 8 {
			names[s.name] = true
		}
	}
	if len(names) < wanted {
		t.Errorf("%d scenarios with every combination, want %d", len(names), wanted)
	}
}

// TestOneRun lets one run do all that there is to do: what is delivered is also
// deleted in it, and it says that all is well.
func TestOneRun(t *testing.T) {
	for _, group := range [][]scenario{amounts(), identities(), abilities(), routings()} {
		for _, s := range group {
			for _, c := range s.combinations() {
				t.Run(s.name+"/"+c.String(), func(t *testing.T) {
					t.Parallel()
					inBubble(t, s, c, nil, (*player).once)
				})
			}
		}
	}
}

func (p *player) once() {
	if p.prior {
		p.live(&voyage.Life{})
		p.after(p.w)
	}
	report := p.live(&voyage.Life{})
	if report.ExitCode != p.code {
		p.Errorf("exit status %d, want %d", report.ExitCode, p.code)
	}
	p.expect("after the run", p.w.Wrong())
	if left := p.w.Left(); p.delete && left != p.left {
		p.Errorf("%d messages are still in the maildrop, want %d", left, p.left)
	}
}

// quietly runs the program for what it does, not for what it says.
func quietly(w *voyage.World) {
	if _, err := w.Run(context.Background(), &voyage.Life{}); err != nil {
		panic(err)
	}
}

// sweep measures how many steps a life has when nobody ends it, and then ends it
// at each of them, or at some.
func sweep(t *testing.T, s scenario, c combination, change func(*voyage.Options)) {
	steps := 0
	t.Run("undisturbed", func(t *testing.T) { steps = attempt(t, s, c, 0, change) })
	if t.Failed() {
		return
	}
	for _, k := range chosen(t, steps, cmp.Or(s.sample, usual)) {
		t.Run(fmt.Sprintf("step=%d", k), func(t *testing.T) { attempt(t, s, c, k, change) })
	}
}

// chosen picks the steps to die at.
func chosen(t *testing.T, steps, most int) []int {
	all := make([]int, steps)
	for i := range all {
		all[i] = i + 1
	}
	if full() || steps <= most {
		return all
	}
	name := fnv.New64a()
	name.Write([]byte(t.Name()))
	rnd := rand.New(rand.NewPCG(seed(t), name.Sum64()))
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = all[:most]
	slices.Sort(all)
	return all
}

// attempt plays a scenario with a death at step k, 0 for none, and returns how
// many steps the life had that was to die.
func attempt(t *testing.T, s scenario, c combination, k int, change func(*voyage.Options)) (steps int) {
	inBubble(t, s, c, change, func(p *player) { steps = p.play(k) })
	return steps
}

// inBubble has a player act in the world of a scenario, on a day in spring.
func inBubble(t *testing.T, s scenario, c combination, change func(*voyage.Options), act func(*player)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)))
		w := s.world(c, change)
		defer w.Close()
		p := &player{T: t, w: w, scenario: s, delete: c.delete}
		act(p)
		if t.Failed() {
			t.Log(strings.Join(p.story, "\n"))
		}
	})
}

// player plays a scenario.
type player struct {
	*testing.T
	w *voyage.World
	scenario
	delete bool
	story  []string // told if the test fails
}

func (p *player) play(k int) (steps int) {
	if p.prior {
		p.live(&voyage.Life{})
	}
	if p.after != nil {
		p.after(p.w)
	}
	life := &voyage.Life{KillAt: k}
	p.die(life)
	return life.Steps()
}

// die lives a life that ends, and has the next ones go on from there.
func (p *player) die(life *voyage.Life) {
	p.live(life)
	p.tell("ended at step %d, to be killed at %d: %s", life.Steps(), life.KillAt, life.Name(life.Steps()))
	p.expect("at the death", p.w.Lost())
	if p.settled {
		time.Sleep(time.Minute)
	}
	if p.between != nil {
		p.between(p.w)
	}
	p.recover()
	p.idle()
}

// live runs the program and looks at every step whether something left the
// maildrop too early.
func (p *player) live(life *voyage.Life) ferry.Report {
	p.Helper()
	guard := &guard{w: p.w, left: p.w.Left()}
	life.Watch = guard.watch
	report, err := p.w.Run(context.Background(), life)
	if err != nil {
		p.Fatal(err)
	}
	p.expect("deleted early", guard.seen())
	p.expect("dialled elsewhere", p.w.Strays())
	p.tell("exit status %d: %+v", report.ExitCode, report.Totals)
	for _, a := range report.Accounts {
		for _, note := range a.Notes {
			p.tell("%s: %s", a.Name, note)
		}
		if a.Error != nil {
			p.tell("%s: %d %s", a.Name, a.Error.Code, a.Error.Message)
		}
		for _, m := range a.Messages {
			p.tell("%s: message %d %s: %s", a.Name, m.Number, m.State, m.Reason)
		}
	}
	return report
}

// guard looks at the servers whenever the number of messages in the maildrops has
// changed. It belongs to one life.
type guard struct {
	w    *voyage.World
	mu   sync.Mutex
	left int
	late []string
}

func (g *guard) watch(step string) {
	left := g.w.Left()
	g.mu.Lock()
	defer g.mu.Unlock()
	if left == g.left {
		return
	}
	g.left = left
	if lost := g.w.Lost(); len(lost) > 0 {
		g.late = append(g.late, step+": "+strings.Join(lost, ", "))
	}
}

func (g *guard) seen() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.late
}

func (p *player) tell(format string, args ...any) {
	p.story = append(p.story, fmt.Sprintf(format, args...))
}

func (p *player) expect(when string, wrong []string) {
	p.Helper()
	if len(wrong) > 0 {
		p.Errorf("%s: %s", when, strings.Join(wrong[:min(len(wrong), 5)], "\n\t"))
	}
}

// recover is the run after the death: it has to put everything right, and soon.
func (p *player) recover() {
	p.Helper()
	began := time.Now()
	report := p.live(&voyage.Life{})
	if report.ExitCode != p.code {
		p.Errorf("recovery: exit status %d, want %d: %+v", report.ExitCode, p.code, report.Totals)
	}
	limit := p.patience
	if limit == 0 {
		limit = patience
	}
	if took := time.Since(began); took > voyage.Settle+limit {
		p.Errorf("recovery took %v", took)
	}
	p.expect("after the recovery", p.w.Wrong())
}

// idle is a run that has nothing left to do.
func (p *player) idle() {
	p.Helper()
	before := p.w.Imap.Counters().Messages
	report := p.live(&voyage.Life{})
	copied := p.w.Imap.Counters().Messages - before
	if report.Totals.Delivered != 0 || copied != 0 {
		p.Errorf("the run after it: %d delivered, %d stored", report.Totals.Delivered, copied)
	}
	if report.ExitCode != p.code {
		p.Errorf("the run after it: exit status %d, want %d", report.ExitCode, p.code)
	}
	p.expect("after the run after it", p.w.Wrong())
	if left := p.w.Left(); p.delete && left != p.left {
		p.Errorf("%d messages are still in the maildrop, want %d", left, p.left)
	}
}
