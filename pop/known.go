package pop

import (
	"encoding/json"
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
	// Load and Save keep a text by server for the next process: what one says whose logins are
	// by SCRAM, and that says the same to all. Nil keeps nothing.
	Load func(server string) string
	Save func(server, text string)

	mu    sync.Mutex
	of    map[string]said
	saved map[string]string // by server
}

// lasting is what is saved.
type lasting struct{ Before, After Capabilities }

// said is what a server said before and after a login; the latter is not Known until it was
// heard once.
type said struct {
	at            time.Time
	before, after Capabilities
	strongest     bool // the last login was by SCRAM
}

func (s said) holds() bool { return s.after.Known && (s.strongest || time.Since(s.at) < knownFor) }

// lock also makes the zero value of use.
func (k *Known) lock() {
	k.mu.Lock()
	if k.of == nil {
		k.of, k.saved = map[string]said{}, map[string]string{}
	}
}

func (k *Known) suits(o Options) bool { return k != nil && o.Endpoint.TLS == wire.Implicit }

func keyOf(o Options) string { return o.Endpoint.Address() + "\x00" + o.Username }

// recall returns what the server says before a login, if it need not be asked.
func (k *Known) recall(o Options) (Capabilities, bool) {
	if !k.suits(o) {
		return Capabilities{}, false
	}
	k.lock()
	defer k.mu.Unlock()
	s, met := k.of[keyOf(o)]
	if !met {
		s = k.loadLocked(o)
	}
	return s.before, s.holds()
}

// loadLocked takes up what an earlier process saved. It is held against the server like what this
// one heard.
func (k *Known) loadLocked(o Options) (s said) {
	var old lasting
	if json.Unmarshal([]byte(k.savedLocked(o.Endpoint.Address())), &old) == nil && old.After.Known {
		s = said{before: old.Before, after: old.After, strongest: true}
		k.of[keyOf(o)] = s
	}
	return s
}

func (k *Known) savedLocked(server string) string {
	text, known := k.saved[server]
	if !known && k.Load != nil {
		text = k.Load(server)
		k.saved[server] = text
	}
	return text
}

// saveLocked saves what a server says, once: what differs by user in some other way is the same
// for nobody. An empty text forgets it.
func (k *Known) saveLocked(server, text string) {
	if before := k.savedLocked(server); k.Save != nil && (before == "") != (text == "") {
		k.saved[server] = text
		k.Save(server, text)
	}
}

// learn takes in what the server said before a login.
func (k *Known) learn(o Options, before Capabilities) {
	if !k.suits(o) || !before.Known || !before.Pipelining {
		return
	}
	k.lock()
	defer k.mu.Unlock()
	s := said{at: time.Now(), before: before}
	if old := k.of[keyOf(o)]; reflect.DeepEqual(old.before, before) {
		s.after = old.after
	}
	k.of[keyOf(o)] = s
}

// confirm takes in what it said after a login, and reports whether it did so before.
func (k *Known) confirm(o Options, mechanism string, after Capabilities) (same bool) {
	k.lock()
	defer k.mu.Unlock()
	s := k.of[keyOf(o)]
	if !s.before.Known {
		return false
	}
	same = reflect.DeepEqual(s.after, after)
	s.after, s.strongest = after, sasl.IsScram(mechanism)
	k.of[keyOf(o)] = s
	if s.strongest && after.Known && !s.before.perUser {
		text, _ := json.Marshal(lasting{s.before, after}) // of plain values
		k.saveLocked(o.Endpoint.Address(), string(text))
	}
	return same
}

// forget has the server asked the next time; where that is not about the moment, by the next
// process, too.
func (k *Known) forget(o Options, moment bool) {
	k.lock()
	defer k.mu.Unlock()
	k.of[keyOf(o)] = said{}
	if !moment {
		k.saveLocked(o.Endpoint.Address(), "")
	}
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
		m.options.Known.forget(m.options, false)
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
		m.options.Known.forget(m.options, false)
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
