package limits

import (
	"errors"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// ErrLater is the cause when what is left to carry is left to another run.
var ErrLater = errors.New("left to another run")

// InHours is the error for a time at which the hours of all, or those of one of the hosts of an
// account, let nothing be carried.
func InHours(l plan.Limits, a plan.Account, now time.Time) error {
	if err := outside("limits.hours", l.Hours, now); err != nil {
		return err
	}
	for _, host := range []string{a.Source.Host, a.Destination.Host} {
		if err := outside("hours of limits.hosts."+host, l.Host(host).Hours, now); err != nil {
			return err
		}
	}
	return nil
}

func outside(name string, hours plan.Hours, now time.Time) error {
	open, until := hours.Open(now)
	if open {
		return nil
	}
	return fault.New(fault.Temporary, "%s let nothing be carried now: %w", name, ErrLater).
		WithHint("run again after %s", until.Format("Mon 2 Jan 15:04")).WithAfter(until.Sub(now))
}
