package page

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/report"
)

const (
	hoursShown  = 24
	passesShown = 50
	// pastIn bounds how long the journal may take to tell.
	pastIn = 5 * time.Second
	// The journal is asked again when something changed, though not by each of many
	// readers, and now and then because time goes by.
	pastAtLeast, pastAtMost = 300 * time.Millisecond, time.Minute
	// restFor is how many times longer it is left alone than it took: years of history
	// must not keep it busy.
	restFor = 10
)

// day is what an account did in the last 24 hours.
type day struct {
	// Today counts what was delivered since midnight.
	Today int
	// Delivered and Failed are by the hour, the last one last.
	Delivered, Failed [hoursShown]int
	// Passes are the last ones, the latest last.
	Passes []journal.Pass
}

// past is what the journal told last.
type past struct {
	mu      sync.Mutex
	taken   time.Time
	took    time.Duration
	changed <-chan struct{}
	days    map[string]*day // nil: it could not
}

// days are those of all accounts; nil if the journal can't be read, which is no reason
// not to show the rest.
func (s *site) days(ctx context.Context, now time.Time) map[string]*day {
	p := &s.past
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fresh() {
		return p.days
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pastIn) // others may wait for it
	defer cancel()
	began := time.Now()
	p.changed = s.Changed()
	days, err := s.read(ctx, now)
	if err != nil {
		s.Log.Error("the status page can't read the history", "error", err)
		days = nil
	}
	p.taken, p.took, p.days = time.Now(), time.Since(began), days
	return days
}

func (p *past) fresh() bool {
	age := time.Since(p.taken)
	if age > pastAtMost {
		return false
	}
	select {
	case <-p.changed:
		return age < max(pastAtLeast, restFor*p.took)
	default:
		return true
	}
}

func (s *site) read(ctx context.Context, now time.Time) (map[string]*day, error) {
	midnight := report.DayStart(now.Local())
	since := now.Add(-hoursShown * time.Hour)
	if midnight.Before(since) { // a day with 25 hours
		since = midnight
	}
	days := map[string]*day{}
	err := s.Passes(ctx, since, func(p journal.Pass) error {
		if p.Started.After(now) {
			return nil // the clock was wrong: nobody knows when that was
		}
		d := days[p.Account]
		if d == nil {
			d = &day{}
			days[p.Account] = d
		}
		d.add(p, now, midnight)
		return nil
	})
	return days, err
}

func (d *day) add(p journal.Pass, now, midnight time.Time) {
	d.count(p, now, midnight)
	if len(d.Passes) == passesShown {
		d.Passes = slices.Delete(d.Passes, 0, 1)
	}
	d.Passes = append(d.Passes, p)
}

// with is the day with what the last pass did so far, unless the journal told of it already,
// which knows milliseconds.
func (d day) with(a bridge.AccountState, now time.Time) *day {
	started := a.Started.Truncate(time.Millisecond)
	told := func(p journal.Pass) bool { return p.Started.Truncate(time.Millisecond).Equal(started) }
	if !slices.ContainsFunc(d.Passes, told) {
		d.count(journal.Pass{Started: a.Started, Delivered: a.SoFar.Delivered}, now, report.DayStart(now.Local()))
	}
	return &d
}

func (d *day) count(p journal.Pass, now, midnight time.Time) {
	if !p.Started.Before(midnight) {
		d.Today += p.Delivered
	}
	if hour := hoursShown - 1 - int(now.Sub(p.Started)/time.Hour); hour >= 0 && hour < hoursShown {
		d.Delivered[hour] += p.Delivered
		if failed(fault.Code(p.Code)) {
			d.Failed[hour] += p.Passes
		}
	}
}

func failed(code fault.Code) bool { return code != fault.OK && code != fault.Held }
