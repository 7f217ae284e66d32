package plan

import (
	"slices"
	"time"
)

// Clock is what the runs of an account know of the clock that they read. The zero value
// knows nothing bad of it.
type Clock struct {
	// Since is when days began that count: before, it may have been behind.
	Since time.Time
	// Before is what it said each time it was set back, until it says so again: the latest
	// time first, since what it is set back from after that is before it.
	Before []time.Time `json:",omitempty"`
	// Read is a reading to compare with where no run has ended yet.
	Read time.Time
	// Leaps are those that a bridge saw within the last day.
	Leaps []Leap `json:",omitempty"`
}

// Leap is time that went by while nobody looked, if it did.
type Leap struct{ From, To time.Time }

const (
	// slack is what does not matter where days are counted.
	slack = time.Hour
	// pause is how long nobody leaves popferry alone: more often a clock was not set.
	pause = 366 * day
	// maxBefore is how often a clock may be set back and stay behind.
	maxBefore = 8
	// unseen is how long a bridge that is well lets no reading be written.
	unseen = 2 * time.Hour
	// believedAfter is how long a clock has to go on after a leap: one that was set wrongly is
	// mostly put right sooner, and two passes that follow each other read the same.
	believedAfter = day
	// maxLeaps is how many are remembered; from then on the last one grows.
	maxLeaps = 8
)

// Next takes a reading, given that of the last run. A clock that goes on from where it
// was set back, or by more than a year, was behind: what it said in between makes mail
// look older than it is. After a year it may be behind still.
func (c Clock) Next(last, now time.Time) Clock {
	if last.IsZero() {
		last = c.Read
	}
	c.Leaps = inDoubt(c.Leaps, now)
	ahead := slices.DeleteFunc(slices.Clone(c.Before), func(at time.Time) bool { return !now.Before(at) })
	switch {
	case last.IsZero():
	case last.Sub(now) > slack:
		ahead = append(ahead[:min(len(ahead), maxBefore-1)], last)
	case len(ahead) < len(c.Before), now.Sub(last) > pause:
		c.Since = now
	default:
		return c
	}
	c.Before, c.Read = ahead, now
	return c
}

// Watched takes in that a bridge read the clock last, and then now.
func (c Clock) Watched(last, now time.Time) Clock {
	from := func(l Leap) bool { return l.From.Equal(last) }
	switch {
	case last.IsZero(), now.Sub(last) <= unseen, slices.ContainsFunc(c.Leaps, from):
	case len(c.Leaps) < maxLeaps:
		c.Leaps = append(slices.Clone(c.Leaps), Leap{last, now})
	default:
		c.Leaps = slices.Clone(c.Leaps)
		c.Leaps[maxLeaps-1].To = now
	}
	return c
}

// inDoubt are the leaps after which the clock has not gone on for long enough. What is left of
// one when the clock is set back is another.
func inDoubt(leaps []Leap, now time.Time) (left []Leap) {
	for _, l := range leaps {
		if now.Before(l.To) {
			l.To = now
		}
		if l.To.Sub(l.From) > unseen && now.Sub(l.To) < believedAfter {
			left = append(left, l)
		}
	}
	return left
}

// Sure is the latest reading up to now that no leap makes doubtful.
func (c Clock) Sure(now time.Time) time.Time {
	for _, l := range inDoubt(c.Leaps, now) {
		if l.From.Before(now) {
			now = l.From
		}
	}
	return now
}

// Equal reports whether both know the same.
func (c Clock) Equal(o Clock) bool {
	same := func(a, b Leap) bool { return a.From.Equal(b.From) && a.To.Equal(b.To) }
	return c.Since.Equal(o.Since) && c.Read.Equal(o.Read) && slices.EqualFunc(c.Before, o.Before, time.Time.Equal) &&
		slices.EqualFunc(c.Leaps, o.Leaps, same)
}

// Counted is when the days of a delivery began that count.
func (c Clock) Counted(delivered time.Time) time.Time {
	if delivered.IsZero() || delivered.After(c.Since) {
		return delivered
	}
	return c.Since
}
