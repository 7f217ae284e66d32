package plan

import "time"

// Clock is what the runs of an account know of the clock that they read. The zero value
// knows nothing bad of it.
type Clock struct {
	// Since is when days began that count: before, it may have been behind.
	Since time.Time
	// Before is what it said when it was set back, until it says so again.
	Before time.Time
	// Read is a reading to compare with where no run has ended yet.
	Read time.Time
}

const (
	// slack is what does not matter where days are counted.
	slack = time.Hour
	// pause is how long nobody leaves popferry alone: more often a clock was not set.
	pause = 366 * day
)

// Next takes a reading, given that of the last run. A clock that goes on from where it
// was set back, or by more than a year, was behind: what it said in between makes mail
// look older than it is.
func (c Clock) Next(last, now time.Time) Clock {
	if last.IsZero() {
		last = c.Read
	}
	switch {
	case last.IsZero():
	case last.Sub(now) > slack:
		c.Before = last
	case !c.Before.IsZero() && !now.Before(c.Before), now.Sub(last) > pause:
		c.Since, c.Before = now, time.Time{}
	default:
		return c
	}
	c.Read = now
	return c
}

// Counted is when the days of a delivery began that count.
func (c Clock) Counted(delivered time.Time) time.Time {
	if delivered.IsZero() || delivered.After(c.Since) {
		return delivered
	}
	return c.Since
}
