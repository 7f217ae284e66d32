package ferry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/limits"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/internal/places"
	"github.com/popferry/popferry/internal/signin"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// grace is how long appends in flight may take to finish after the run was
// cancelled.
const grace = 25 * time.Second

// Options say what to do and with what. Config and Journal are required.
type Options struct {
	// Config is the loaded accounts.yaml, with its secrets resolved.
	Config *plan.Config
	// Accounts names those to work on; empty means all.
	Accounts []string
	// Journal is the durable record.
	Journal journal.Journal
	// Spool is the directory for large messages in flight.
	Spool string
	// MaxMessage is the largest message that is taken in, in octets; 0 means 1 GiB.
	MaxMessage int64
	// SpoolRoom is how many octets they may take there at once; 0 means 2 GiB.
	SpoolRoom int64
	// NoWait ends with a temporary error where the run would wait for appends
	// to settle.
	NoWait bool
	// Held also tries messages again that are held.
	Held bool
	// ConfirmDelete permits the first deletion from an account's maildrop.
	ConfirmDelete bool
	// KeepHeld, unless nil, puts a held message where a person can take it from, and
	// returns the name of its file. Of a message that it has already it makes no
	// second file. Accounts call it at the same time; an error has the class
	// [fault.State].
	KeepHeld func(account string, m *message.Message) (file string, err error)
	// EveryMessage lists all messages in the report, not only those held.
	EveryMessage bool
	// Stored is a plan made earlier, by account; the trip ends with
	// [fault.Config] and does nothing where reality has drifted from it.
	Stored map[string]plan.Plan
	// Observe gets the events; nil means nobody looks.
	Observe func(Event)
	// Tokens gives the tokens of the sides that log in with OAuth.
	Tokens signin.Tokens
	// Learned keeps what logins taught beyond a run; nil keeps it for one.
	Learned *signin.Learned
	// DialSource and DialDestination replace the dialling, for tests.
	DialSource      func(context.Context, plan.Account) (*pop.Maildrop, error)
	DialDestination func(context.Context, plan.Account) (*imapdst.Conn, error)
	// Clock replaces time.Now for times that the journal keeps and that are compared by
	// another run, for tests. Waits ask the clock that can't be set.
	Clock func() time.Time
	// Random replaces rand.Float64 in the waits before a reconnect, for tests.
	Random func() float64
}

// Run takes one pass over the accounts: it plans, carries, and deletes what
// `keep` says. It returns when all are done; errors are in the report.
func Run(ctx context.Context, o Options) Report {
	return newEngine(o).each(ctx, (*trip).run)
}

// Adopt marks what the destination already has as delivered and copies nothing.
// With loose set, an equal Message-ID is enough; mail adopted so is never
// deleted from POP3.
func Adopt(ctx context.Context, o Options, loose bool) Report {
	return newEngine(o).each(ctx, func(t *trip, ctx context.Context) error {
		return t.adopt(ctx, loose)
	})
}

// engine is what the trips of one run share.
type engine struct {
	Options
	*common
	owners map[string]owner // by mailboxUser
	keeps  bool             // connections are kept between passes
	// left are the scopes that no account of the list has, and that have a message to be put
	// back; as they are when somebody asks first.
	leftMu    sync.Mutex
	leftKnown bool
	left      []journal.Scope
	// retired are the scopes that no account of the list has.
	retiredMu    sync.Mutex
	retiredKnown bool
	retired      []journal.Scope
	// sharing says how many accounts need what may expire.
	sharing map[string]int
	rates   *limits.Rates
}

// common is what a change of the configuration leaves as it is, for the trips that are
// under way: the places they have, and the turns they take.
type common struct {
	slots    *places.Slots
	hosts    *places.Hosts
	standing *places.Standing
	gates    *places.Gates
	disk     *semaphore.Weighted // octets of SpoolRoom
	// folders lets accounts with one folder take turns: what one appends must not
	// look like foreign mail to another.
	folders *places.Hosts
	observe sync.Mutex
	facts   sync.Mutex // guards facts that several trips change
	// vain has when it was last tried in vain, by account, to delete from POP3.
	vain sync.Map
	// signedIn has when a quiet destination's token was last got, by account.
	signedIn sync.Map
	// long has the accounts whose last pass gave way with much left to do.
	long    sync.Map
	budgets *limits.Budgets
}

func newEngine(o Options) *engine {
	if o.Learned == nil {
		o.Learned = &signin.Learned{}
	}
	dial := signin.Dial{Tokens: o.Tokens, Learned: o.Learned}
	if o.DialSource == nil {
		o.DialSource = dial.Source
	}
	if o.DialDestination == nil {
		o.DialDestination = dial.Destination
	}
	if o.Clock == nil {
		o.Clock = func() time.Time { return time.Now().Round(0) } // as it is set, not as time goes on
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	if o.SpoolRoom == 0 {
		o.SpoolRoom = message.MaxRoom
	}
	e := &engine{Options: o, owners: ownersOf(o.Config.Accounts), rates: limits.NewRates(o.Config.Limits),
		common: &common{budgets: limits.NewBudgets(),
			slots: places.NewSlots(o.Config.Limits.Accounts, flightOctets), hosts: places.NewHosts(places.Limit(o.Config.Limits)),
			folders: places.NewHosts(places.One), standing: places.NewStanding(o.Learned), gates: places.NewGates(), disk: semaphore.NewWeighted(o.SpoolRoom)}}
	e.sharing = sharing(e.chosen())
	return e
}

func (e *engine) chosen() []plan.Account {
	if len(e.Accounts) == 0 {
		return e.Config.Accounts
	}
	var chosen []plan.Account
	for _, a := range e.Config.Accounts {
		if slices.Contains(e.Accounts, a.Name) {
			chosen = append(chosen, a)
		}
	}
	return chosen
}

// one makes a trip and turns its end, whatever it is, into a report.
func (t *trip) one(ctx context.Context, work func(*trip, context.Context) error) AccountReport {
	started := time.Now()
	t.emit(Event{Kind: Started})
	err := t.safely(ctx, work)
	if wasStopped(ctx, err) {
		end := stopped(context.Canceled)
		end.Refusals = fault.RefusalsOf(err)
		err = end
	}
	t.noteHeld()
	report := t.finish(err, time.Since(started))
	t.emit(Event{Kind: Finished, Result: &report})
	return report
}

// wasStopped reports an error that comes of being told to stop, as far as anybody can tell: what
// else is amiss for now says the next pass.
func wasStopped(ctx context.Context, err error) bool {
	temporary := fault.CodeOf(err) == fault.Temporary && !errors.Is(err, limits.ErrLater)
	return errors.Is(err, context.Canceled) || ctx.Err() != nil && temporary
}

// stopped is the error of what was told to end.
func stopped(cause error) *fault.Error {
	return &fault.Error{Code: fault.Temporary, Message: "stopped before all was done",
		Hint: "run again: nothing is copied twice", Err: cause}
}

// safely makes a panic an error of this account: the others go on.
func (t *trip) safely(ctx context.Context, work func(*trip, context.Context) error) error {
	defer t.close()
	err := fault.Guard(func() error { return work(t, ctx) })
	t.well = err == nil
	t.dest.note(err)
	return err
}

// spool is where the messages of a trip rest.
func (e *engine) spool() *message.Spool {
	return &message.Spool{Dir: e.Spool, Memory: spoolMemory, Max: e.MaxMessage, Now: e.Clock}
}

func (e *engine) emit(ev Event) {
	e.observe.Lock()
	defer e.observe.Unlock()
	e.Observe(ev)
}

// count says "1 message", "2 messages".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
