package pop

import (
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/internal/wire"
)

// knownFor is how long a server is believed to offer the same before the login. After SCRAM
// that has no end: nothing stronger can be offered, and with a question before it a session
// that finds nothing new would take a ninth round trip.
const knownFor = time.Hour

// Known keeps what servers said of themselves, so that one that is polled again and again
// need not be asked before each login, which is a round trip of its own. It is for TLS from
// the first octet only, since there nobody can change what is offered; and for servers that
// take the question together with the listing after the login, so that it is known as soon as
// anything is done whether they still say the same. The zero value knows nothing, and so
// does nil.
type Known struct {
	mu sync.Mutex
	of map[string]said
}

// said is what a server said before and after a login; the latter is not Known until it was
// heard once.
type said struct {
	at            time.Time
	before, after Capabilities
	strongest     bool // the last login was by SCRAM
}

func (s said) holds() bool { return s.after.Known && (s.strongest || time.Since(s.at) < knownFor) }

func (k *Known) suits(o Options) bool { return k != nil && o.Endpoint.TLS == wire.Implicit }

func keyOf(o Options) string { return o.Endpoint.Address() + "\x00" + o.Username }

// recall returns what the server says before a login, if it need not be asked.
func (k *Known) recall(o Options) (Capabilities, bool) {
	if !k.suits(o) {
		return Capabilities{}, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.of[keyOf(o)]
	return s.before, s.holds()
}

// learn takes in what the server said before a login.
func (k *Known) learn(o Options, before Capabilities) {
	if !k.suits(o) || !before.Known || !before.Pipelining {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s := said{at: time.Now(), before: before}
	if old := k.of[keyOf(o)]; reflect.DeepEqual(old.before, before) {
		s.after = old.after
	}
	if k.of == nil {
		k.of = map[string]said{}
	}
	k.of[keyOf(o)] = s
}

// confirm takes in what it said after a login, and reports whether it did so before.
func (k *Known) confirm(o Options, mechanism string, after Capabilities) (same bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, known := k.of[keyOf(o)]
	if !known {
		return false
	}
	same = reflect.DeepEqual(s.after, after)
	s.after, s.strongest = after, sasl.IsScram(mechanism)
	k.of[keyOf(o)] = s
	return same
}

func (k *Known) forget(o Options) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.of, keyOf(o))
}

// mayRecheckKnown tells that the question after the login costs nothing.
func (m *Maildrop) mayRecheckKnown() bool {
	return m.options.Known.suits(m.options) && m.caps.Known && m.caps.Pipelining
}

// recheckKnown compares what the server says after the login with what it said then before.
// If that is something else, or nothing, then what was known is not worth anything.
func (m *Maildrop) recheckKnown(reply status) error {
	after := Capabilities{}
	switch {
	case !reply.ok && m.caps.perUser:
		m.options.Known.forget(m.options)
		return m.capaRefused(reply)
	case reply.ok:
		var err error
		if after, err = m.parseCAPA(); err != nil {
			return err
		}
	}
	m.recheck = false
	changed := !m.options.Known.confirm(m.options, m.mechanism, after) && m.unasked
	if changed {
		m.options.Known.forget(m.options)
	}
	switch {
	case m.caps.perUser:
		m.caps = after
	case changed:
		m.believe(after)
	}
	return nil
}

// believe takes the server of today, except for what it says before a login only.
func (m *Maildrop) believe(now Capabilities) {
	now.SASL, now.UTF8, now.UTF8User = slices.Clone(m.caps.SASL), m.caps.UTF8, m.caps.UTF8User
	now.Unsure = !now.Known
	m.caps = now
}
