//go:build !race

package steps_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/mailtest/voyage"
)

// TestLateArrival has what the dead program wrote last arrive up to 85 seconds
// later, while the next run is at work already: within the settling time nothing
// is sent twice because of that.
func TestLateArrival(t *testing.T) {
	kinds := []string{"five messages", "no Message-IDs", "identical copies", "no MULTIAPPEND", "no LITERAL+",
		"stores at the last octet of a literal"}
	runs := 40
	if full() {
		runs = 200
	}
	for _, s := range scenarios() {
		if !slices.Contains(kinds, s.name) {
			continue
		}
		for _, c := range s.combinations() {
			t.Run(s.name+"/"+c.String(), func(t *testing.T) {
				t.Parallel()
				lateArrivals(t, s, c, runs/len(s.combinations()))
			})
		}
	}
}

// completing likes the writes that end a literal or the command with it. Where
// literals wait for permission they begin a write, else APPEND does.
func completing(step string) bool {
	ends := strings.HasPrefix(step, "imap wrote 3/4") || strings.HasPrefix(step, "imap wrote 4/4")
	return ends && (strings.Contains(step, "APPEND") || strings.Contains(step, "of Received:") ||
		strings.Contains(step, "of From:"))
}

func lateArrivals(t *testing.T, s scenario, c combination, runs int) {
	writes := 0
	inBubble(t, s, c, nil, func(p *player) {
		life := &voyage.Life{}
		p.live(life)
		for n := range life.Steps() {
			if completing(life.Name(n + 1)) {
				writes++
			}
		}
	})
	if writes == 0 {
		t.Fatal("nothing was appended")
	}
	rnd := rand.New(rand.NewPCG(seed(t), uint64(len(t.Name()))))
	for range runs {
		k, late := 1+rnd.IntN(writes), time.Duration(rnd.IntN(85_000)+1)*time.Millisecond
		t.Run(fmt.Sprintf("write=%d,late=%v", k, late), func(t *testing.T) {
			inBubble(t, s, c, nil, func(p *player) {
				p.patience = 4 * time.Minute
				p.die(&voyage.Life{KillAt: k, Only: completing, Late: late})
				time.Sleep(late)
				p.expect("when all has arrived", p.w.Wrong())
			})
		})
	}
}
