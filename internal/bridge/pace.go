package bridge

import (
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
)

const (
	// soonCeiling is the longest wait after what may work later: a network that was
	// away should not cost more than this.
	soonCeiling = 15 * time.Minute
	// lateCeiling is the longest wait after what a person has to mend.
	lateCeiling = time.Hour
	// secondTry is when refused credentials are tried once more, in case it was the
	// server's mistake; refused again, the account is parked.
	secondTry = 5 * time.Minute
	// parkedFor is how long that lasts: one bad login a day locks nobody out, and an
	// account whose provider came to its senses goes on by itself.
	parkedFor = 24 * time.Hour
	// longestPause is the longest that a server is left alone because it asks for it.
	longestPause = 24 * time.Hour
)

// outcome is what a pass means for the next one.
type outcome struct {
	code      fault.Code
	delivered int
	// gaveWay: there is more, and others had to have its place.
	gaveWay bool
	// resting: limits of the account's own ended it.
	resting bool
	// untried: a login that was refused to another account was not tried.
	untried bool
	// notBefore is how long the servers want to be left alone; 0: they did not say.
	notBefore time.Duration
}

// ok reports whether nothing failed: held mail is no failure of the account.
func (o outcome) ok() bool { return o.code == fault.OK || o.code == fault.Held || o.resting }

// proves reports whether the account is known to work now: a pass that its own limits ended
// may have asked no server, unless it brought something.
func (o outcome) proves() bool { return o.ok() && (!o.resting || o.delivered > 0) }

// outcomeOf reads a report; now is when the pass ended.
func outcomeOf(r ferry.AccountReport, now time.Time) outcome {
	return outcome{r.ExitCode, r.Delivered, r.GaveWay, r.Resting, r.Untried, r.NotBefore.Sub(now)}
}

// pace decides how long an account waits.
type pace struct {
	interval, fastest time.Duration

	current  time.Duration // between passes that bring nothing; 0 before the first
	failures int           // in a row
	refusals int           // of the credentials, in a row
}

// parked reports whether the account waits because its credentials were refused.
func (p *pace) parked() bool { return p.refusals >= 2 }

// next takes in how a pass ended and returns how long to wait; random is in [0, 1).
func (p *pace) next(o outcome, random float64) time.Duration {
	var wait time.Duration
	switch {
	case o.ok():
		wait = p.afterSuccess(o.delivered > 0 || o.gaveWay, random)
	case o.code == fault.Credentials && !o.untried:
		wait = p.afterRefusal(random)
	default:
		wait = p.afterFailure(o.code, random)
	}
	return max(wait, p.fastest, min(o.notBefore, longestPause))
}

// afterSuccess is the interval at most: mail that arrives has to be there within it. It
// is less while mail flows. Jitter spreads accounts that began together, within the bounds.
func (p *pace) afterSuccess(flows bool, random float64) time.Duration {
	p.failures, p.refusals = 0, 0
	switch {
	case flows:
		p.current = p.fastest
	case p.current == 0:
		p.current = p.interval
	default:
		p.current = min(2*p.current, p.interval)
	}
	jitter := time.Duration(random * float64(p.current) / 10)
	if p.current == p.fastest {
		return min(p.current+jitter, p.interval)
	}
	return p.current - jitter
}

func (p *pace) afterRefusal(random float64) time.Duration {
	p.refusals++
	wait := secondTry
	if p.parked() {
		wait = parkedFor
	}
	return wait + time.Duration(random*float64(wait)/10)
}

// afterFailure doubles with each failure in a row, up to a ceiling.
func (p *pace) afterFailure(code fault.Code, random float64) time.Duration {
	p.failures++
	ceiling := lateCeiling
	if code == fault.Temporary {
		ceiling = soonCeiling
	}
	longest := max(p.interval, ceiling)
	wait := longest
	if doublings := p.failures - 1; doublings < 16 && p.interval < wait>>doublings {
		wait = p.interval << doublings
	}
	return min(longest, wait*3/4+time.Duration(random*float64(wait)/2))
}
