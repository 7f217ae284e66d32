package check

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/signin"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// Options say what to check. Config is required.
type Options struct {
	// Config is the loaded accounts.yaml, with its secrets resolved.
	Config *plan.Config
	// Accounts names those to check; empty means all.
	Accounts []string
	// Observe is told how many accounts are done, of how many, and how many of those
	// failed, at the start and with each; nil means nobody looks. It is called by one
	// goroutine at a time.
	Observe func(done, all, failed int)
	// Delivered says which messages of a listing are known as delivered, by key; nil
	// means that nothing is known. Accounts call it at the same time.
	Delivered func(context.Context, plan.Account, []plan.Listed) (map[string]bool, error)
	// Tokens gives the tokens of the sides that log in with OAuth.
	Tokens signin.Tokens
	// DialSource and DialDestination replace the dialling, and Now the clock, for tests.
	DialSource      func(context.Context, plan.Account) (*pop.Maildrop, error)
	DialDestination func(context.Context, plan.Account) (*imapdst.Conn, error)
	Now             func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Observe == nil {
		o.Observe = func(int, int, int) {}
	}
	if o.Delivered == nil {
		o.Delivered = func(context.Context, plan.Account, []plan.Listed) (map[string]bool, error) { return nil, nil }
	}
	dial := signin.Dial{Tokens: o.Tokens}
	if o.DialSource == nil {
		o.DialSource = dial.Source
	}
	if o.DialDestination == nil {
		o.DialDestination = dial.Destination
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Run checks the chosen accounts, limits.accounts at a time. What is wrong is in the
// report; an error means that an account was named which is not there.
func Run(ctx context.Context, o Options) (Report, error) {
	o = o.withDefaults()
	chosen, err := o.Config.Select(o.Accounts)
	if err != nil {
		return Report{}, err
	}
	started := o.Now()
	c := &checker{Options: o, visits: newVisits(o.Config.Limits)}
	accounts := make([]Account, len(chosen))
	o.Observe(0, len(chosen), 0)
	var g errgroup.Group
	g.SetLimit(max(1, o.Config.Limits.Accounts))
	for i, a := range chosen {
		g.Go(func() error {
			accounts[i] = c.account(ctx, *a)
			c.finished(len(chosen), accounts[i])
			return nil
		})
	}
	g.Wait()
	lint(o.Config.Accounts, accounts, started)
	return newReport(started, accounts, o.Config.Path, lintLimits(o.Config)), nil
}

// checker is what the accounts of one check share.
type checker struct {
	Options
	visits *visits

	mu           sync.Mutex
	done, failed int
}

func (c *checker) finished(all int, a Account) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done++
	if a.Source.Problem != nil || a.Destination.Problem != nil {
		c.failed++
	}
	c.Observe(c.done, all, c.failed)
}

// account looks at both sides of an account at once.
func (c *checker) account(ctx context.Context, a plan.Account) Account {
	out := Account{Name: a.Name}
	var both sync.WaitGroup
	both.Go(func() { out.Source = c.source(ctx, a) })
	both.Go(func() { out.Destination = c.destination(ctx, a) })
	both.Wait()
	out.judge(a, c.Now())
	c.judgeSignIn(&out, out.Source.Side, a.Source)
	c.judgeSignIn(&out, out.Destination.Side, a.Destination)
	return out
}

// judgeSignIn warns of tokens that somebody has to sign in for again soon. Only those of
// a login that was good have an end worth telling.
func (c *checker) judgeSignIn(out *Account, s Side, e plan.Endpoint) {
	if !s.OK || e.OAuth == nil || c.Tokens == nil {
		return
	}
	end, _ := c.Tokens.Ends(e)
	if days := daysLeft(end, c.Now()); !end.IsZero() && days < soon {
		out.warn("sign-in-expiring", "the sign-in of %s for the %s %s", fault.Escape(e.Username), s.Server, ends(days))
	}
}

// Stopped is the topic of what there was no time for.
const Stopped = "stopped"

// ended makes the end of a visit part of what is told of the side.
func (s *Side) ended(ctx context.Context, e plan.Endpoint, started time.Time, err error) {
	s.Seconds = time.Since(started).Seconds()
	switch {
	case err == nil:
		s.OK = true
	case ctx.Err() != nil && (errors.Is(err, context.Canceled) || fault.CodeOf(err) == fault.Temporary):
		err = &fault.Error{Code: fault.Temporary, Message: s.Server + ": stopped before it was looked at",
			Hint: "run the check again", Err: context.Canceled}
		s.Problem = &Problem{fault.Temporary, Finding{Topic: Stopped, Symptom: messageOf(err),
			Cause: "the check was stopped", Check: fault.HintOf(err)}}
	default:
		s.Problem = diagnose(e, err)
	}
}
