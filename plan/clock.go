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
}

const (
	// slack is what does not matter where days are counted.
	slack = time.Hour
	// pause is how long nobody leaves popferry alone: more often a clock was not set.
	pause = 366 * day
	// maxBefore is how often a clock may be set back and stay behind.
	maxBefore = 8
)

// Next takes a reading, given that of the last run. A clock that goes on from where it
// was set back, or by more than a year, was behind: what it said in between makes mail
// look older than it is. After a year it may be behind still.
func (c Clock) Next(last, now time.Time) Clock {
	if last.IsZero() {
		last = c.Read
	}
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

// Equal reports whether both know the same.
func (c Clock) Equal(o Clock) bool {
	return c.Since.Equal(o.Since) && c.Read.Equal(o.Read) && slices.EqualFunc(c.Before, o.Before, time.Time.Equal)
}

// Counted is when the days of a delivery began that count.
func (c Clock) Counted(delivered time.Time) time.Time {
	if delivered.IsZero() || delivered.After(c.Since) {
		return delivered
	}
	return c.Since
}
