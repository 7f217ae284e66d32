package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/report"
	"github.com/popferry/popferry/plan"
)

func (a *app) reportCommand() *cobra.Command {
	since := "7d"
	cmd := &cobra.Command{
		Use:   "report [ACCOUNT...]",
		Short: "what was done, and what failed, in the last days",
		Long: `Sum up the passes of run and bridge in a span of time, for the named accounts or
for all. It asks no server. --report FILE.html has pictures of each day. While a
bridge is at work, passes of the last two hours that found nothing may be
missing: it writes them once an hour.`,
		Example: `  popferry report
  popferry report --since 30d --report month.html
  popferry report --since 2026-11-01 --json`,
		RunE: func(cmd *cobra.Command, names []string) error {
			from, err := moment(since, time.Now())
			if err != nil {
				return err
			}
			r, err := a.history(cmd.Context(), from, names)
			if err != nil {
				return err
			}
			return a.show(report.History(r), fault.OK)
		},
	}
	cmd.Flags().StringVar(&since, "since", since, "a time span such as 12h or 7d, or a `DATE` such as 2026-11-01")
	return cmd
}

// moment reads a time span that ends now, or a date.
func moment(text string, now time.Time) (time.Time, error) {
	if age, ok := plan.ParseAge(text); ok && age > 0 {
		return now.Add(-age), nil
	}
	// 12:00 is there on every day, which can't be said of 0:00.
	noon, err := time.ParseInLocation("2006-01-02 15", text+" 12", now.Location())
	if day := report.DayStart(noon); err == nil && day.Before(now) {
		return day, nil
	}
	return time.Time{}, fault.New(fault.Usage, "--since %q is no time span in days, hours, minutes or seconds, nor a date that is over",
		fault.Escape(text)).WithHint("write 12h, 7d or 2026-11-01; two weeks are 14d")
}

func (a *app) history(ctx context.Context, since time.Time, names []string) (*report.HistoryReport, error) {
	r := report.NewHistory(since, time.Now())
	j, err := journal.OpenReader(a.state)
	if errors.Is(err, os.ErrNotExist) && len(names) == 0 {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	defer j.Close()
	scopes, err := j.Scopes(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkNames(scopes, names); err != nil {
		return nil, err
	}
	err = j.EachPass(ctx, since, func(p journal.Pass) error {
		if len(names) == 0 || slices.Contains(names, p.Account) {
			r.Add(p)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, s := range scopes {
		r.Succeeded(s.Scope.Account, report.NewStatusAccount(s, nil).LastSuccess)
		held, err := heldIn(ctx, j, s.Scope)
		if err != nil {
			return nil, err
		}
		r.Hold(s.Scope.Account, held)
	}
	return r, nil
}

// remembering has the pass over each account added to the history when it ends, since the run may
// be killed before its own end, and the rest with what it returns. All of that is a courtesy: what
// was delivered is durable already, so that its loss changes no exit status.
func (s *session) remembering() (rest func(ferry.Report) error) {
	recalled := s.recalling()
	told, show := map[string]bool{}, s.options.Observe
	var failed error
	remember := func(r ferry.AccountReport) {
		told[r.Name] = true
		if !r.Stopped || r.Delivered+r.Duplicate+r.Deleted > 0 { // else it says nothing, as with a bridge
			failed = cmp.Or(failed, s.remember(passOf(r)))
		}
	}
	s.options.Observe = func(ev ferry.Event) { // never twice at once
		show(ev)
		if ev.Kind == ferry.Finished {
			remember(*ev.Result)
		}
	}
	return func(all ferry.Report) error {
		for _, r := range all.Accounts {
			if !told[r.Name] {
				remember(r)
			}
		}
		return cmp.Or(failed, recalled())
	}
}

// recalling has a pass that was killed added to the history when the next one tells of it: only
// that does, also where it is none for the history itself. What it returns says whether that failed.
func (s *session) recalling() (failed func() error) {
	show := s.options.Observe
	var err error
	s.options.Observe = func(ev ferry.Event) {
		show(ev)
		if ev.Kind == ferry.Killed {
			err = cmp.Or(err, s.remember(*ev.Pass))
		}
	}
	return func() error { return err }
}

// passOf is how the history has the pass over an account that just ended.
func passOf(r ferry.AccountReport) journal.Pass {
	started := time.Now().Add(-time.Duration(r.Seconds * float64(time.Second)))
	return bridge.PassOf(bridge.Pass{Started: started, Report: r, Stopped: r.Stopped})
}

func (s *session) remember(p journal.Pass) error {
	return s.journal.RecordPasses(context.Background(), []journal.Pass{p}, s.config.Bridge.History)
}
