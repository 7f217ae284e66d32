package ferry

import (
	"context"
	"sync"

	"github.com/popferry/popferry/plan"
)

// Plans says what a run would do. It writes nothing on either server: folders
// are not made, messages are listed and their headers read at most.
func Plans(ctx context.Context, o Options) ([]plan.Plan, Report) {
	var mu sync.Mutex
	byName := map[string]plan.Plan{}
	e := newEngine(o)
	report := e.each(ctx, func(t *trip, ctx context.Context) error {
		p, err := t.foresee(ctx)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			byName[t.account.Name] = p
		}
		return err
	})
	var plans []plan.Plan
	for _, a := range e.chosen() {
		if p, ok := byName[a.Name]; ok {
			plans = append(plans, p)
		}
	}
	return plans, report
}

// foresee draws the plan of one account and leaves everything as it is.
func (t *trip) foresee(ctx context.Context) (plan.Plan, error) {
	t.silent = true
	if err := t.open(ctx, false); err != nil {
		return plan.Plan{}, err
	}
	if err := t.resumeUndo(ctx, false); err != nil {
		return plan.Plan{}, err
	}
	p, err := t.drawPatiently(ctx, false)
	if err != nil {
		return p, err
	}
	if t.report.Estimate, err = t.estimate(ctx, p); err != nil {
		return p, err
	}
	if err := t.foreseeNames(ctx, &p); err != nil {
		return p, err
	}
	t.leave(ctx)
	return p, nil
}

// drawPatiently surveys and draws until no message spoils the session any more.
func (t *trip) drawPatiently(ctx context.Context, act bool) (plan.Plan, error) {
	for {
		before := t.progress()
		err := t.survey(ctx)
		var p plan.Plan
		if err == nil {
			p, err = t.draw(ctx, act)
		}
		if err == nil || t.progress() == before || !t.worthAnother(ctx, err, 0) {
			return p, err
		}
		if err := t.reopen(ctx, 0); err != nil {
			return p, err
		}
	}
}
