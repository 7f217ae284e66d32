package limits

import (
	"time"

	"golang.org/x/time/rate"

	"github.com/popferry/popferry/plan"
)

// leastBurst is what may come at once however little is allowed: connections are read
// in pieces of this size.
const leastBurst = 64 << 10

// Rates are those of all accounts, and of single hosts.
type Rates struct {
	brakes map[string]*brake // by host; "": all
}

// brake keeps the rates of one host.
type brake struct {
	host             string // "": all
	octets, messages *rate.Limiter
}

// NewRates makes those that limits have, with nothing carried yet.
func NewRates(l plan.Limits) *Rates {
	r := &Rates{map[string]*brake{}}
	r.add("", l.Rates)
	for name, h := range l.Hosts {
		r.add(name, h.Rates)
	}
	return r
}

func (r *Rates) add(host string, of plan.Rates) {
	if of != (plan.Rates{}) {
		r.brakes[host] = newBrake(host, of)
	}
}

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

// Inherit goes on with what was counted by a configuration before, whose passes may be under
// way.
func (r *Rates) Inherit(before *Rates) {
	for host, b := range r.brakes {
		if old := before.brakes[host]; old != nil {
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

// Of returns the brakes that count for an account: none where nothing is limited.
func (r *Rates) Of(a plan.Account) Brakes {
	var list Brakes
	hosts := []string{"", a.Source.Host}
	if a.Destination.Host != a.Source.Host {
		hosts = append(hosts, a.Destination.Host)
	}
	for _, host := range hosts {
		if b := r.brakes[host]; b != nil {
			list = append(list, b)
		}
	}
	return list
}

// Brakes are those that count for one account.
type Brakes []*brake

// Wait is how long to wait before something is carried.
type Wait struct {
	Host string // whose rate asks for it; "": that of all
	For  time.Duration
}

// AreSlow reports whether messages are to be asked for one at a time, since there
// is time for it, and a server is not to be asked for what nobody takes for long.
func (bs Brakes) AreSlow() bool {
	const round = 10 // a second
	for _, b := range bs {
		if b.messages != nil && b.messages.Limit() < round {
			return true
		}
	}
	return false
}

// Message counts one more message.
func (bs Brakes) Message() (w Wait) {
	for _, b := range bs {
		if b.messages != nil {
			w.longer(b, b.messages.Reserve().Delay())
		}
	}
	return w
}

// Octets counts so many more octets.
func (bs Brakes) Octets(n int) (w Wait) {
	for _, b := range bs {
		for left := n; b.octets != nil && left > 0; left -= leastBurst {
			w.longer(b, b.octets.ReserveN(time.Now(), min(left, leastBurst)).Delay())
		}
	}
	return w
}

func (w *Wait) longer(b *brake, wait time.Duration) {
	if wait > w.For {
		*w = Wait{b.host, wait}
	}
}

// Seconds is how long so much work takes at least.
func (bs Brakes) Seconds(work plan.Count) (seconds float64) {
	for _, b := range bs {
		if b.messages != nil {
			seconds = max(seconds, float64(work.Messages)/float64(b.messages.Limit()))
		}
		if b.octets != nil {
			seconds = max(seconds, float64(work.Bytes)/float64(b.octets.Limit()))
		}
	}
	return seconds
}
