package ferry

import (
	"context"
	"errors"
	"io"
	"time"

	"golang.org/x/time/rate"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/places"
	"github.com/popferry/popferry/plan"
)

// brake keeps the rates of limits, over all accounts. One that is nil keeps nothing.
type brake struct {
	host             string // "": all
	octets, messages *rate.Limiter
}

// leastBurst is what may come at once however little is allowed: connections are read
// in pieces of this size.
const leastBurst = 64 << 10

func newBrake(host string, r plan.Rates) *brake {
	b := &brake{host: host}
	if r.Bandwidth > 0 {
		b.octets = rate.NewLimiter(rate.Limit(r.Bandwidth), int(max(r.Bandwidth, leastBurst)))
	}
	if r.MessagesPerMinute > 0 {
		b.messages = rate.NewLimiter(rate.Limit(r.MessagesPerMinute)/60, 1)
	}
	return b
}

// newBrakes makes the brake of all accounts, under "", and those of single hosts.
func newBrakes(l plan.Limits) map[string]*brake {
	brakes := map[string]*brake{}
	add := func(name string, r plan.Rates) {
		if r != (plan.Rates{}) {
			brakes[name] = newBrake(name, r)
		}
	}
	add("", l.Rates)
	for name, h := range l.Hosts {
		add(name, h.Rates)
	}
	return brakes
}

// inheritBrakes goes on with what a configuration before had counted, whose passes may be under
// way.
func (e *engine) inheritBrakes(before map[string]*brake) {
	for name, b := range e.brakes {
		if old := before[name]; old != nil {
			b.octets = inherit(old.octets, b.octets)
			b.messages = inherit(old.messages, b.messages)
		}
	}
}

// inherit gives the old limiter the limits of the new one, where both are.
func inherit(old, next *rate.Limiter) *rate.Limiter {
	if old == nil || next == nil {
		return next
	}
	old.SetLimit(next.Limit())
	old.SetBurst(next.Burst())
	return old
}

// brakesOf returns those that count for an account: none where nothing is limited.
func (e *engine) brakesOf(a plan.Account) []*brake {
	var list []*brake
	names := []string{"", a.Source.Host}
	if a.Destination.Host != a.Source.Host {
		names = append(names, a.Destination.Host)
	}
	for _, name := range names {
		if b := e.brakes[name]; b != nil {
			list = append(list, b)
		}
	}
	return list
}

// slowEnough reports whether messages are to be asked for one at a time, since there
// is time for it, and a server is not to be asked for what nobody takes for long.
func (t *trip) slowEnough() bool {
	const round = 10 // a second
	for _, b := range t.brakes {
		if b.messages != nil && b.messages.Limit() < round {
			return true
		}
	}
	return false
}

// brakeMessage waits until one more message may be carried.
func (t *trip) brakeMessage(ctx context.Context) error {
	var w braking
	for _, b := range t.brakes {
		if b.messages != nil {
			w.longer(b, b.messages.Reserve().Delay())
		}
	}
	return t.brake(ctx, w)
}

// brakeOctets waits until so many more octets may be carried.
func (t *trip) brakeOctets(ctx context.Context, n int) error {
	var w braking
	for _, b := range t.brakes {
		for left := n; b.octets != nil && left > 0; left -= leastBurst {
			w.longer(b, b.octets.ReserveN(time.Now(), min(left, leastBurst)).Delay())
		}
	}
	return t.brake(ctx, w)
}

// braking is the longest wait that brakes demand, and the host of the one that does.
type braking struct {
	host string
	wait time.Duration
}

func (w *braking) longer(b *brake, wait time.Duration) {
	if wait > w.wait {
		*w = braking{b.host, wait}
	}
}

// brake waits. Meanwhile accounts of other hosts may have the slot, unless they would
// have to wait as well.
func (t *trip) brake(ctx context.Context, w braking) error {
	if w.wait <= 0 {
		return nil
	}
	t.slot.Brake(w.host, w.wait)
	return places.Sleep(ctx, w.wait)
}

// braked is how many seconds the rates make of so much work.
func (t *trip) braked(work plan.Count) (seconds float64) {
	for _, b := range t.brakes {
		if b.messages != nil {
			seconds = max(seconds, float64(work.Messages)/float64(b.messages.Limit()))
		}
		if b.octets != nil {
			seconds = max(seconds, float64(work.Bytes)/float64(b.octets.Limit()))
		}
	}
	return seconds
}

// errLater is the cause when what is left to carry is left to another run.
var errLater = errors.New("left to another run")

// inHours is the error for a time at which the hours of limits, or of one of the hosts,
// let nothing be carried.
func (t *trip) inHours() error {
	limits, now := t.engine.Config.Limits, t.engine.Clock()
	if err := outside("limits.hours", limits.Hours, now); err != nil {
		return err
	}
	for _, host := range []string{t.account.Source.Host, t.account.Destination.Host} {
		if err := outside("hours of limits.hosts."+host, limits.Host(host).Hours, now); err != nil {
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
	return fault.New(fault.Temporary, "%s let nothing be carried now: %w", name, errLater).
		WithHint("run again after %s", until.Format("Mon 2 Jan 15:04")).WithAfter(until.Sub(now))
}

// mayFetch is the error for a message that limits leave to a later run.
func (t *trip) mayFetch(ctx context.Context, l plan.Listed) error {
	if err := t.inHours(); err != nil {
		return err
	}
	return t.spend(ctx, t.purses, t.sizeOf(l))
}

// readAgain is one more retrieval of a message, which limits bound as they do the first,
// but for the bytes of the destination: it gets nothing of it.
func (t *trip) readAgain(ctx context.Context, l plan.Listed, body io.Reader) (io.Reader, error) {
	if err := t.inHours(); err != nil {
		return nil, err
	}
	var of []*purse
	for _, p := range t.purses {
		if p.countsFor(t.account.Source) {
			of = append(of, p)
		}
	}
	if err := t.spend(ctx, of, t.sizeOf(l)); err != nil {
		return nil, err
	}
	if err := t.brakeMessage(ctx); err != nil {
		return nil, err
	}
	return &paced{ctx, t, body}, t.slot.Work(ctx)
}

// paced is a body that is read as fast as the rates permit.
type paced struct {
	ctx  context.Context
	t    *trip
	body io.Reader
}

// Read implements io.Reader.
func (p *paced) Read(b []byte) (int, error) {
	n, err := p.body.Read(b)
	if err := p.t.brakeOctets(p.ctx, n); err != nil {
		return 0, err
	}
	return n, err
}
