package bridge

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
)

// heldEvery is how often held mail is tried again.
const heldEvery = 24 * time.Hour

// glance is how often an account that rests looks at the wall clock, and one that waits for
// somebody whether they did it.
const glance = time.Minute

// stagger spreads the first passes: so many accounts begin in a second.
const stagger = 20

// Account is one account of a bridge.
type Account struct {
	Name string
	// Interval is the longest time between two passes that succeed, Fastest the
	// shortest, while mail flows.
	Interval, Fastest time.Duration
	// Hash changes with what is configured: an account that has another one than
	// before begins anew.
	Hash string
	// Servers tells those that it asks from others.
	Servers string
	// Mended reports whether somebody did what the last pass failed for want of; nil: nobody can
	// tell.
	Mended func() bool
	// Pass takes one pass, with held mail tried again if held is set. It returns soon
	// after ctx ends, with what was in hand finished.
	Pass func(ctx context.Context, held bool) ferry.AccountReport
}

// Options are how a bridge works.
type Options struct {
	// Random replaces rand.Float64, and Wall the clock that can be set, for tests.
	Random func() float64
	Wall   func() time.Time
	// Finished is told of every pass, but not of one that did nothing before it was told to
	// stop; nil means nobody is.
	Finished func(Pass)
	// Load and Save keep a text for an account, which has to survive a restart: else
	// each restart is another login with what was refused, and held mail waits for a
	// day that never comes. Nil means that nothing is kept.
	Load func(account string) string
	Save func(account, text string)
	// Past tells what is known of an account from before this bridge. Nil knows nothing.
	Past func(account string) Past
}

// Past is how an account was before a bridge.
type Past struct {
	// Success is when a pass last succeeded, and Held how many messages were held then.
	Success time.Time
	Held    int
	// Failing is since when all passes failed; zero: the last one did not.
	Failing time.Time
}

// Pass is one pass that is over.
type Pass struct {
	Started time.Time
	Report  ferry.AccountReport
	// Next is when the next one is due; zero: not known.
	Next time.Time
	// Parked tells that the credentials were refused, and that it will be long.
	Parked bool
	// Stopped tells that it was told to stop, amid what it did.
	Stopped bool
}

// Bridge keeps a set of accounts.
type Bridge struct {
	options Options
	started time.Time

	ctx  context.Context // of Run
	work sync.WaitGroup

	mu      sync.Mutex
	keepers []*keeper          // in the order of the configuration
	leaving map[string]*keeper // that were told to end, and may not have yet
	changed chan struct{}
}

// New makes a bridge that has no accounts yet.
func New(o Options) *Bridge {
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Wall == nil {
		o.Wall = func() time.Time { return time.Now().Round(0) }
	}
	if o.Finished == nil {
		o.Finished = func(Pass) {}
	}
	if o.Load == nil || o.Save == nil {
		o.Load, o.Save = func(string) string { return "" }, func(string, string) {}
	}
	if o.Past == nil {
		o.Past = func(string) Past { return Past{} }
	}
	return &Bridge{options: o, started: time.Now(), leaving: map[string]*keeper{}, changed: make(chan struct{})}
}

// Start keeps accounts until ctx ends.
func (b *Bridge) Start(ctx context.Context, set []Account) {
	b.ctx = ctx
	b.Adopt(set)
}

// Wait returns once all passes are over, which they are soon after the end of the
// context of [Bridge.Start].
func (b *Bridge) Wait() { b.work.Wait() }

// Adopt goes over to another set of accounts: those that are in both as they were go
// on, others end or begin, and those for which somebody had to do something, or that rest
// by limits which may be others now, are tried again, as far as that is not one bad login
// too many.
func (b *Bridge) Adopt(set []Account) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := map[string]*keeper{}
	for _, k := range b.keepers {
		old[k.account.Name] = k
	}
	b.keepers = make([]*keeper, 0, len(set))
	for i, account := range set {
		k := old[account.Name]
		if k != nil && k.account.Hash == account.Hash {
			delete(old, account.Name)
			k.goOn(account)
		} else {
			if k == nil {
				k = b.leaving[account.Name]
			}
			delete(b.leaving, account.Name)
			k = newKeeper(b, account, k)
			b.work.Go(func() { k.keep(b.ctx, time.Duration(i)*time.Second/stagger) })
		}
		b.keepers = append(b.keepers, k)
	}
	for name, k := range old {
		k.end()
		if !slices.ContainsFunc(set, func(a Account) bool { return a.Name == name }) {
			b.leaving[name] = k
		}
	}
	b.tellLocked()
}

// tell announces that there is something new to see.
func (b *Bridge) tell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tellLocked()
}

func (b *Bridge) tellLocked() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Changed is closed when the next snapshot differs from those before.
func (b *Bridge) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// Turn takes in that the pass over an account waits for its turn, or no longer does.
func (b *Bridge) Turn(account string, queued bool) {
	if k := b.keeperOf(account); k != nil {
		k.change(func(s *AccountState) { s.turn(queued, time.Now()) })
	}
}

// Await takes in that the pass over an account waits for something until a time.
func (b *Bridge) Await(account, something string, until time.Time) {
	if k := b.keeperOf(account); k != nil {
		k.change(func(s *AccountState) { s.WaitsFor, s.WaitsUntil = something, until })
	}
}

// Progress takes in what the pass over an account does: what it is to bring, and what it brought.
func (b *Bridge) Progress(ev ferry.Event) {
	if k := b.keeperOf(ev.Account); k != nil {
		k.change(func(s *AccountState) { s.progress(ev) })
	}
}

// keeperOf is nil for an account that is not kept.
func (b *Bridge) keeperOf(account string) *keeper {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.IndexFunc(b.keepers, func(k *keeper) bool { return k.account.Name == account }); i >= 0 {
		return b.keepers[i]
	}
	return nil
}

// keeper looks after one account.
type keeper struct {
	bridge  *Bridge
	account Account // Pass changes; guarded by mu
	before  *keeper // of an account with the same name, which has to end first
	stop    chan struct{}
	over    chan struct{}
	wake    chan struct{}

	pace   pace
	recall *recall

	mu      sync.Mutex
	state   AccountState
	renewed bool // how to pass was taken over since the last pass began
}

func newKeeper(b *Bridge, a Account, before *keeper) *keeper {
	k := &keeper{bridge: b, account: a, before: before, stop: make(chan struct{}), over: make(chan struct{}),
		wake: make(chan struct{}, 1), pace: pace{interval: a.Interval, fastest: a.Fastest},
		state: AccountState{Name: a.Name, Phase: Waiting}}
	if before != nil {
		k.recall = before.recall // which it uses until it is over, and then not any more
		k.state = before.known()
		return k
	}
	past := b.options.Past(a.Name)
	k.state.Success, k.state.Held, k.state.failing = past.Success, past.Held, past.Failing
	k.recall = &recall{load: func() string { return b.options.Load(a.Name) },
		save: func(text string) { b.options.Save(a.Name, text) }}
	k.recall.read()
	if k.recall.pause() > 0 {
		k.state.park(k.recall)
	}
	return k
}

// known is what the next keeper of the account takes over.
func (k *keeper) known() AccountState {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.state
	s.Queued = false
	if s.Phase = Waiting; s.Error != nil {
		s.Phase = Failing
	}
	return s
}

// end makes the keeper finish what is in hand.
func (k *keeper) end() { close(k.stop) }

// goOn takes over how to pass from now on, and makes an account try at once that is stuck, or
// is so after the pass under way.
func (k *keeper) goOn(a Account) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.account, k.renewed = a, true
	k.rouseLocked()
}

// rouseLocked ends what the keeper waits for, or will wait for next, if that is what another
// way to pass may change.
func (k *keeper) rouseLocked() {
	if !k.renewed || !k.state.stuck() {
		return
	}
	select {
	case k.wake <- struct{}{}:
	default: // is awake already
	}
}

// keep passes and waits until its account or the bridge ends.
func (k *keeper) keep(parent context.Context, delay time.Duration) {
	defer close(k.over)
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	go func() {
		select {
		case <-k.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	if k.before != nil {
		<-k.before.over
		k.change(func(s *AccountState) { *s = k.before.known() })
		k.before = nil
	}
	k.mu.Lock()
	k.recall.serve(k.account.Servers)
	k.mu.Unlock()
	k.pace.refusals = passesOf(k.recall.refused)
	if !k.refrain(ctx) {
		return
	}
	for k.wait(ctx, delay) && k.refrain(ctx) {
		delay = k.pass(ctx)
	}
}

// refrain waits, whoever wakes it, for as long as one more bad login would be too many,
// and shows that, and for as long as the servers asked for.
func (k *keeper) refrain(ctx context.Context) bool {
	for {
		pause, left := k.recall.pause(), time.Until(k.recall.notBefore)
		if pause > 0 {
			k.change(func(s *AccountState) { s.park(k.recall) })
		}
		if pause = max(pause, left); pause <= 0 {
			return true
		}
		if !k.wait(ctx, pause) {
			return false
		}
	}
}

// wait returns false when there is no more to wait for.
func (k *keeper) wait(ctx context.Context, delay time.Duration) bool {
	var resting, stuck bool
	k.change(func(s *AccountState) { s.Next, resting, stuck = time.Now().Add(delay), s.Resting, s.stuck() })
	switch {
	case resting:
		k.rest(ctx, delay)
	case stuck:
		k.attend(ctx, delay)
	default:
		k.sleep(ctx, delay)
	}
	return ctx.Err() == nil
}

// attend is sleep until somebody did what the account waits for.
func (k *keeper) attend(ctx context.Context, delay time.Duration) {
	for ; delay > 0 && k.sleep(ctx, min(delay, glance)); delay -= glance {
		if k.mended() {
			k.recall.forgive()
			return
		}
	}
}

func (k *keeper) mended() bool {
	k.mu.Lock()
	mended := k.account.Mended
	k.mu.Unlock()
	return mended != nil && mended()
}

// rest is sleep until a time of day, which is there when either clock says so: one stands
// still while the machine is suspended, and the other may be set back.
func (k *keeper) rest(ctx context.Context, delay time.Duration) {
	due, until := time.Now().Add(delay), k.bridge.options.Wall().Add(delay)
	for delay > 0 && k.sleep(ctx, min(delay, glance)) {
		delay = min(time.Until(due), until.Sub(k.bridge.options.Wall()))
	}
}

// sleep reports whether nobody ended it.
func (k *keeper) sleep(ctx context.Context, delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-k.wake:
	case <-ctx.Done():
	}
	return false
}

// pass takes one pass and returns how long to wait.
func (k *keeper) pass(ctx context.Context) time.Duration {
	started := time.Now()
	held := started.Sub(k.recall.held) >= heldEvery
	k.recall.begin(started, held)
	var pass func(context.Context, bool) ferry.AccountReport
	k.change(func(s *AccountState) {
		s.Phase, s.Started, s.WaitsFor, s.WaitsUntil, s.SoFar = Passing, started, "", time.Time{}, SoFar{}
		pass, k.renewed = k.account.Pass, false
	})
	r := pass(ctx, held)
	r.Error = unattended(r.Error)
	k.remember(ctx, r)
	k.recall.asked(r.Asked, started)
	if ctx.Err() != nil {
		k.stopped(r, started)
		return 0
	}
	now := time.Now()
	wait := k.pace.next(outcomeOf(r, now), k.bridge.options.Random())
	k.change(func(s *AccountState) {
		s.after(r, started, now, k.pace.parked())
		started = s.Started // since when it had its turn
		k.rouseLocked()
	})
	k.bridge.options.Finished(Pass{Started: started, Report: r, Next: now.Add(wait), Parked: k.pace.parked()})
	return wait
}

// stopped takes in a pass that was told to stop, which says nothing about the account: what
// it did until then counts.
func (k *keeper) stopped(r ferry.AccountReport, started time.Time) {
	if r.Delivered+r.Duplicate+r.Deleted == 0 {
		return
	}
	k.change(func(s *AccountState) {
		s.count(r)
		started = s.Started
	})
	r.Resting, r.ExitCode, r.Error = true, fault.OK, nil
	k.bridge.options.Finished(Pass{Started: started, Report: r, Stopped: true})
}

// remember has a pass change what is known of logins. Who is told to stop may have asked,
// and not have heard that it is refused.
func (k *keeper) remember(ctx context.Context, r ferry.AccountReport) {
	refusals := r.Refusals
	if r.ExitCode == fault.Credentials && !r.Untried {
		refusals = max(refusals, 1)
	}
	switch heard := ctx.Err() == nil || r.ExitCode != fault.Temporary; {
	case heard:
		k.recall.end(r.ExitCode, refusals, r.Error)
	case refusals > 0:
		k.recall.end(r.ExitCode, refusals+1, r.Error)
	}
}

func (k *keeper) change(how func(*AccountState)) {
	k.mu.Lock()
	how(&k.state)
	k.mu.Unlock()
	k.bridge.tell()
}
