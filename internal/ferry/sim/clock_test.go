//go:build !race

package sim_test

import (
	"fmt"
	"time"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/voyage"
)

const (
	day   = 24 * time.Hour
	month = 30 * day
)

// clock is how far the program's clock can be relied on.
type clock int

const (
	right     clock = iota
	wrongOnce       // in one life, from its beginning or from some turn on
	wild            // it is set again and again, and may stay wrong
)

func (c clock) String() string { return [...]string{"right", "wrong once", "wild"}[c] }

// jumps are by how much it may be wrong: a clock that was never set or is ahead by
// years, daylight saving, a machine that slept, a correction.
var jumps = []time.Duration{
	-10 * 365 * day, 10 * 365 * day, -40 * day, 40 * day, -time.Hour, time.Hour,
	-voyage.Settle, voyage.Settle, -9 * time.Hour, 9 * time.Hour,
}

// jump draws one. A clock that is behind, and yet says more than at the last run that the
// journal remembers, is beyond what can be noticed (README, Limits).
func (h *history) jump() time.Duration {
	by := jumps[h.rnd.IntN(len(jumps))]
	if by < 0 && h.traits.clock == wrongOnce && !time.Now().Add(by).Before(h.remembered) {
		return jumps[0]
	}
	return by
}

// tune gives the program its clock, and chance no say.
func (h *history) tune(held bool) {
	h.w.Tune = func(o *ferry.Options) {
		o.Random, o.Held = func() float64 { return 0.5 }, held
		o.Clock = func() time.Time { return time.Now().Add(time.Duration(h.skew.Load())).Round(0) }
	}
}

// setClock puts it to so much more, or less, than the time.
func (h *history) setClock(skew time.Duration) string {
	if skew == time.Duration(h.skew.Swap(int64(skew))) {
		return ""
	}
	return fmt.Sprintf("off by %v", skew)
}

// changeClock sets the clock while the program runs.
func (h *history) changeClock() string {
	switch {
	case h.traits.clock == wild && h.maybe(30):
		return h.setClock(0)
	case h.traits.clock == wild, h.traits.clock == wrongOnce && h.lives == h.wrongLife:
		return h.setClock(h.jump())
	}
	return ""
}

// resetClock sets it between two lives. Of what the last one left open the program
// knows by this clock only how long ago it was, so that this has to have arrived.
func (h *history) resetClock() string {
	next := time.Duration(0)
	switch {
	case h.traits.clock == wild && h.maybe(70):
		next = time.Duration(h.skew.Load())
		if h.maybe(40) {
			next = h.jump()
		}
	case h.traits.clock == wrongOnce && h.lives == h.wrongLife && h.maybe(60):
		next = h.jump()
	}
	if h.doubt && next > time.Duration(h.skew.Load()) {
		time.Sleep(voyage.Settle)
	}
	return h.setClock(next)
}

// hasty is what was deleted before its days were over, as far as anybody can tell: a
// clock that is wrong more than once may say anything.
func (h *history) hasty() []string {
	if h.traits.keep.For == 0 || h.traits.clock == wild || h.traits.uncounted() {
		return nil
	}
	return h.w.Hasty(h.traits.keep.For - 2*time.Hour)
}

// received is the date of the first letter.
var received = time.Date(2026, 3, 3, 5, 6, 0, 0, time.UTC)

// misdated lists mail whose INTERNALDATE is neither its own nor that of its arrival.
func (h *history) misdated() (wrong []string) {
	for _, m := range h.w.Imap.User("").Mailbox("INBOX") {
		date := m.InternalDate
		own := !date.Before(received) && date.Before(received.Add(time.Minute))
		if !own && (date.Before(h.began) || date.After(time.Now())) {
			wrong = append(wrong, fmt.Sprintf("uid %d is of %v", m.UID, date))
		}
	}
	return wrong
}

// wait lets the days pass after which nothing is to be left, and finds that out twice;
// where twins lose their names by it, once more.
func (h *history) wait() {
	for n := 0; n < 3 && h.traits.keep.For > 0 && h.w.Left() > h.staying(); n++ {
		time.Sleep(h.traits.keep.For)
		for range 2 {
			time.Sleep(day)
			h.run(&voyage.Life{Who: "later", Turns: h.turns})
		}
	}
}
