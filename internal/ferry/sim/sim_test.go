//go:build !race

package sim_test

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// verbose tells every step, where a single history is played.
var verbose = os.Getenv("POPFERRY_SEED") != ""

// number reads a setting.
func number(t *testing.T, name string, usual uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestHistories plays many histories.
func TestHistories(t *testing.T) {
	oneProcessor(t)
	first, n := number(t, "POPFERRY_FIRST", 1), number(t, "POPFERRY_HISTORIES", 500)
	if verbose {
		first, n = number(t, "POPFERRY_SEED", 0), 1
	}
	figures := map[string]int{}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := newHistory(seed)
			defer func() { // a bubble that failed does not return
				for kind, n := range h.total() {
					figures[kind] += n
				}
				if t.Failed() || verbose {
					t.Logf("%s\nagain: POPFERRY_SEED=%d go test ./internal/ferry/sim -run TestHistories -v",
						strings.Join(h.story, "\n"), seed)
				}
			}()
			h.tellAll(t)
		})
	}
	if first == 1 && n >= 500 {
		allKinds(t, figures)
	}
	figures["seeds"] = int(n)
	text, err := json.Marshal(figures)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("figures %s", text)
}

// TestReplay plays each history twice: all that happens in it is the same, and when.
func TestReplay(t *testing.T) {
	oneProcessor(t)
	first := number(t, "POPFERRY_FIRST", 1)
	for seed := first; seed < first+number(t, "POPFERRY_REPLAYS", 30); seed++ {
		one, two := newHistory(seed), newHistory(seed)
		one.tellAll(t)
		two.tellAll(t)
		if one.trace.Sum64() != two.trace.Sum64() {
			t.Errorf("seed %d: %s", seed, parting(one.story, two.story))
		}
	}
}

// parting is where two stories part.
func parting(one, two []string) string {
	for i := range min(len(one), len(two)) {
		if one[i] != two[i] {
			return fmt.Sprintf("line %d:\n%s\n%s", i, one[i], two[i])
		}
	}
	return "the same, as far as it is told"
}

// oneProcessor is what voyage.Turns wants. The garbage collector waits until a bubble
// is over (inBubble): it holds goroutines up, which then look as if they had come to
// rest.
func oneProcessor(t *testing.T) {
	before, percent := runtime.GOMAXPROCS(1), debug.SetGCPercent(-1)
	t.Cleanup(func() {
		runtime.GOMAXPROCS(before)
		debug.SetGCPercent(percent)
	})
}

// inBubble does something on a day in spring.
func inBubble(t *testing.T, do func(*testing.T)) {
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)))
		do(t)
	})
}

func newHistory(seed uint64) *history {
	return &history{rnd: rand.New(rand.NewPCG(seed, 0)), roads: rand.New(rand.NewPCG(seed, 1)), trace: fnv.New64a(), figures: map[string]int{}}
}

// tellAll plays a history.
func (h *history) tellAll(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h.T = t
		h.begin()
		defer h.w.Close()
		h.play()
	})
}
