package places

import (
	"errors"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

const (
	// StandFor is for how long a server may leave an account standing while others want its
	// connection, twice as long with each pass in a row in which it did so: one that is only
	// slow is served in the end.
	StandFor = 10 * time.Second
	// MostDoubled makes that longer than any answer is waited for.
	MostDoubled = 4
)

// Memory keeps what is so, by name, and tells the next process; see signin.Learned.
type Memory interface {
	Has(name string) bool
	Keep(name string, so bool)
}

// Standing remembers the accounts that a server left standing of late. Those whose last pass
// failed for that may have half of its connections until one goes well, and so the other half is
// for the others: four that stall, or forty, delay nobody once it is known which they are, also to
// the next process.
type Standing struct {
	memory Memory
	mu     sync.Mutex
	of     map[standingKey]stood
}

type standingKey struct{ account, place string }

// name is that under which the next process learns that it is ill.
func (k standingKey) name() string { return "ill\x00" + k.account + "\x00" + k.place }

// stood is how it went.
type stood struct {
	times int  // passes in a row in which it was long
	ill   bool // they failed
}

// NewStanding makes one that begins with what the memory has.
func NewStanding(m Memory) *Standing {
	return &Standing{memory: m, of: map[standingKey]stood{}}
}

func (s *Standing) at(account, place string) stood {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.atLocked(standingKey{account, place})
}

// atLocked has what a process before this one knew where this one knows nothing.
func (s *Standing) atLocked(key standingKey) stood {
	if was, known := s.of[key]; known || !s.memory.Has(key.name()) {
		return was
	}
	return stood{times: 1, ill: true}
}

// IsIll reports whether the last pass over an account failed since it was left standing.
func (s *Standing) IsIll(account, place string) bool { return s.at(account, place).ill }

// Patience is for how long an account may stand while others wait, where that is so long for the
// first time.
func (s *Standing) Patience(account, place string, first time.Duration) time.Duration {
	return first << s.at(account, place).times
}

// Note takes in how a pass ended, and the longest time for which the server owed an answer. An
// account for which that was long has more the next time, whether it needed that, or failed.
func (s *Standing) Note(account, place string, well bool, longest time.Duration) {
	key := standingKey{account, place}
	now := s.take(key, well, longest)
	s.memory.Keep(key.name(), now.ill)
}

func (s *Standing) take(key standingKey, well bool, longest time.Duration) stood {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, long := s.atLocked(key), longest >= StandFor
	now.ill = !well && (long || now.ill)
	switch {
	case well && !long:
		now.times = 0
	case long && now.times < MostDoubled && (!well || longest >= StandFor<<now.times):
		now.times++
	}
	if s.of[key] = now; now == (stood{}) {
		delete(s.of, key)
	}
	return now
}

// ErrStood is the cause where a pass was ended for the sake of others.
var ErrStood = errors.New("other accounts wait for its connection")

// Standstill is the error of such a pass.
func Standstill(server string, stood time.Duration) *fault.Error {
	return fault.New(fault.Temporary, "%s left this account without an answer for %s, and %w",
		server, fault.Span(stood), ErrStood).
		WithHint("the next pass waits longer; if none goes well, ask the provider what is wrong with the mailbox")
}
