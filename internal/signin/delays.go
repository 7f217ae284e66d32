package signin

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/popferry/popferry/plan"
)

// Some POP3 servers refuse a login that comes too early with [LOGIN-DELAY] and announce no delay
// (RFC 2449 §6.5), so that it can only be learned: it is no longer than the time between two
// logins of which the second was good at last.

// mostDelay is the longest delay that is learned. Where others log in to the maildrop, too, a
// refusal says little.
const mostDelay = 20 * time.Minute

// delays are what was learned of maildrops, by their place and user.
type delays struct {
	mu sync.Mutex
	of map[string]*delay
}

type delay struct {
	Delay   time.Duration `json:"delay"` // zero: none is known
	Learned time.Time     `json:"learned"`

	last  time.Time // when a login was good
	early bool      // one was refused since then
}

func delayOf(side plan.Endpoint) string {
	return "delay\x00" + side.Address() + "\x00" + side.Mailbox()
}

// TooEarly takes in that a login was refused as such.
func (l *Learned) TooEarly(side plan.Endpoint) {
	l.delays.mu.Lock()
	defer l.delays.mu.Unlock()
	l.delayLocked(delayOf(side)).early = true
}

// LoggedIn takes in a good login, and returns how long the server wants to be left alone after
// it, as far as that was learned.
func (l *Learned) LoggedIn(side plan.Endpoint) time.Duration {
	l.delays.mu.Lock()
	defer l.delays.mu.Unlock()
	name, now := delayOf(side), time.Now()
	d := l.delayLocked(name)
	gap := now.Sub(d.last)
	if d.early && !d.last.IsZero() && gap <= mostDelay {
		d.Delay, d.Learned = gap, now.UTC()
		text, _ := json.Marshal(d) // numbers and times can be encoded
		if l.Save != nil {
			l.Save(name, string(text))
		}
	}
	d.last, d.early = now, false
	if age := now.Sub(d.Learned); age < 0 || age >= learnedFor {
		return 0
	}
	return d.Delay
}

func (l *Learned) delayLocked(name string) *delay {
	if l.delays.of == nil {
		l.delays.of = map[string]*delay{}
	}
	d := l.delays.of[name]
	if d == nil {
		d = &delay{}
		if l.Load != nil {
			// What can't be read is not known.
			_ = json.Unmarshal([]byte(l.Load(name)), d)
			d.Delay = min(max(0, d.Delay), mostDelay)
		}
		l.delays.of[name] = d
	}
	return d
}
