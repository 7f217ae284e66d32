package plan_test

import (
	"testing"
	"time"

	"github.com/popferry/popferry/plan"
)

// TestClockThatWasBehind (T10): what was delivered while a clock was behind counts
// from when it was right again; in all other cases from its delivery.
func TestClockThatWasBehind(t *testing.T) {
	for name, c := range map[string]struct {
		readings []time.Duration // of the runs, after the first of them
		want     time.Duration   // from when a delivery at the first counts
	}{
		"right":                  {[]time.Duration{0, day, 40 * day}, 0},
		"a long pause":           {[]time.Duration{0, 300 * day}, 0},
		"never set at first":     {[]time.Duration{0, 20000 * day, 20001 * day}, 20000 * day},
		"set back":               {[]time.Duration{0, -40 * day}, 0},
		"set back for good":      {[]time.Duration{0, -40 * day, -39 * day, -38 * day}, 0},
		"behind once":            {[]time.Duration{0, -40 * day, day, 2 * day}, day},
		"behind twice":           {[]time.Duration{0, -4000 * day, -3999 * day, 3 * day}, 3 * day},
		"ahead once":             {[]time.Duration{0, 40 * day, day, 2 * day}, 0},
		"ahead, then behind":     {[]time.Duration{0, 300 * day, day, -day, 2 * day}, 2 * day},
		"behind less and less":   {[]time.Duration{0, -4000 * day, -40 * day, 3 * day}, 3 * day},
		"behind more and more":   {[]time.Duration{0, -40 * day, -4000 * day, -40 * day, 3 * day}, 3 * day},
		"ahead, then far behind": {[]time.Duration{0, 40000 * day, -4000 * day, day}, day},
		"a little behind":        {[]time.Duration{0, -time.Minute, time.Minute}, 0},
	} {
		clock, last := plan.Clock{}, time.Time{}
		for _, at := range c.readings {
			clock = clock.Next(last, now.Add(at))
			last = now.Add(at)
		}
		if got := clock.Counted(now).Sub(now); got != c.want {
			t.Errorf("%s: counts from %v, want %v", name, got, c.want)
		}
	}
	killed := plan.Clock{}
	for _, at := range []time.Duration{0, -4000 * day, day} {
		killed = killed.Next(time.Time{}, now.Add(at))
	}
	if got := killed.Counted(now); !got.Equal(now.Add(day)) {
		t.Errorf("after runs that did not end: counts from %v", got)
	}
	if at := (plan.Clock{Since: now}).Counted(time.Time{}); !at.IsZero() {
		t.Errorf("what was never delivered counts from %v", at)
	}
}

// TestClockThatLeaps (T10): what went by while no bridge looked is believed once the clock has
// gone on for a day; until then the reading before it counts.
func TestClockThatLeaps(t *testing.T) {
	const hour = time.Hour
	for name, c := range map[string]struct {
		readings []time.Duration
		sure     time.Duration
	}{
		"goes on":                  {[]time.Duration{0, hour, 2 * hour, 4 * hour}, 4 * hour},
		"leaps":                    {[]time.Duration{0, hour, 100 * day}, hour},
		"goes on for hours":        {[]time.Duration{0, 100 * day, 100*day + hour, 101*day - hour}, 0},
		"goes on for a day":        {[]time.Duration{0, 100 * day, 100*day + 12*hour, 101*day - hour, 101 * day}, 100 * day},
		"and on":                   {[]time.Duration{0, 100 * day, 101*day - hour, 101 * day, 102 * day, 102*day + hour}, 101 * day},
		"is put right":             {[]time.Duration{0, 100 * day, hour, 2 * hour}, 2 * hour},
		"is put right a day later": {[]time.Duration{0, 100 * day, 20 * hour, 21 * hour}, 0},
		"is put right in part":     {[]time.Duration{0, 100 * day, 99 * day, 99*day + hour}, 0},
		"is set back a little":     {[]time.Duration{0, 100 * day, 100*day - time.Second, 100*day + hour}, 0},
		"leaps again and again":    {[]time.Duration{0, 100 * day, 200 * day, 300 * day, 300*day + hour}, 200 * day},
		"leaps twice in a day":     {[]time.Duration{0, 3 * hour, 100 * day, 100*day + hour}, 3 * hour},
	} {
		clock, last := plan.Clock{}, time.Time{}
		for _, at := range c.readings {
			clock = clock.Next(last, now.Add(at)).Watched(last, now.Add(at))
			last = now.Add(at)
		}
		if got := clock.Sure(last).Sub(now); got != c.sure {
			t.Errorf("%s: sure of %v, want %v; %+v", name, got, c.sure, clock.Leaps)
		}
	}
}

// TestManyLeaps: what is remembered of them is bounded, and nothing is believed too early for it.
func TestManyLeaps(t *testing.T) {
	clock, last := plan.Clock{}, now
	for range 100 {
		at := last.Add(2*time.Hour + time.Second)
		clock = clock.Next(last, at).Watched(last, at)
		last = at
	}
	if late := last.Sub(clock.Sure(last)); len(clock.Leaps) > 8 || late < day || late > 2*day {
		t.Errorf("%d leaps, sure of what was %v ago", len(clock.Leaps), late)
	}
}
