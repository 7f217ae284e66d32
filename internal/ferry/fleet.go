package ferry

import (
	"context"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/places"
	"github.com/popferry/popferry/plan"
)

// Fleet passes over accounts again and again. What passes share, such as the places of
// limits.per_host, lives as long as it does.
type Fleet struct {
	engine   *engine
	requests chan request
	ended    chan struct{}
	over     sync.WaitGroup

	mu     sync.Mutex
	passes sync.WaitGroup
	closed bool
}

// NewFleet makes one. Options.Accounts and Stored say nothing here.
func NewFleet(o Options) *Fleet { return startFleet(newEngine(o)) }

func startFleet(e *engine) *Fleet {
	e.keeps = true
	f := &Fleet{engine: e, requests: make(chan request), ended: make(chan struct{}, 1)}
	f.over.Go(func() { f.engine.serve(f.requests, f.ended) })
	return f
}

// Next makes the fleet for another configuration. Passes of this one may still be under
// way: limits hold for both together, and who is to carry into a folder into which one
// of them still carries, perhaps the same account under a new name, waits for it.
func (f *Fleet) Next(o Options) *Fleet {
	if o.Learned == nil {
		o.Learned = f.engine.Learned
	}
	o.Learned.Again()
	e := newEngine(o)
	e.common = f.engine.common
	e.rates.Inherit(f.engine.rates)
	e.remember(f.engine.owners)
	e.slots.Resize(o.Config.Limits.Accounts)
	e.hosts.Resize(places.Limit(o.Config.Limits))
	return startFleet(e)
}

// Pass takes one pass over an account, once limits.accounts and limits.per_host permit
// it: at the source first, and where there is nothing new it ends there. With held set
// it tries held messages again.
func (f *Fleet) Pass(ctx context.Context, name string, held bool) AccountReport {
	if !f.enter() {
		return notPassed(name, stopped(nil))
	}
	defer f.passes.Done()
	for _, account := range f.engine.Config.Accounts {
		if account.Name != name {
			continue
		}
		f.engine.emit(Event{Kind: Queued, Account: name})
		t := f.await(ctx, account, held)
		if t == nil {
			return notPassed(name, stopped(ctx.Err()))
		}
		defer tellEnd(f.ended)
		return t.one(ctx, (*trip).run)
	}
	return notPassed(name, fault.New(fault.Usage, "there is no account %q", fault.Escape(name)).WithHint("check the name"))
}

// await asks for a trip, and waits until it may begin; nil: no longer.
func (f *Fleet) await(ctx context.Context, account plan.Account, held bool) *trip {
	begun := make(chan *trip)
	_, long := f.engine.long.LoadAndDelete(account.Name)
	ask := request{account: account, glance: true, held: held, asked: time.Now(), long: long, over: ctx.Done(),
		begin: func(t *trip) {
			select {
			case begun <- t:
			case <-ctx.Done():
				t.close()
			}
		}}
	select {
	case f.requests <- ask:
	case <-ctx.Done():
		return nil
	}
	select {
	case t := <-begun:
		return t
	case <-ctx.Done():
		return nil
	}
}

func notPassed(name string, err *fault.Error) AccountReport {
	return AccountReport{Name: name, ExitCode: err.Code, Error: NewErrorReport(err)}
}

func (f *Fleet) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.passes.Add(1)
	}
	return !f.closed
}

// Close ends a fleet once its passes are over. Later ones do nothing.
func (f *Fleet) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.passes.Wait()
	f.engine.hosts.Forget(f.engine)
	close(f.requests)
	f.over.Wait()
}
