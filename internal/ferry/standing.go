package ferry

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/signin"
)

const (
	// standFor is for how long a server may leave an account standing while others want its
	// connection, twice as long with each pass in a row in which it did so: one that is only
	// slow is served in the end.
	standFor = 10 * time.Second
	// mostDoubled makes that longer than any answer is waited for.
	mostDoubled = 4
)

// standing remembers the accounts that a server left standing of late. Those whose last pass
// failed for that may have half of its connections until one goes well, and so the other half is
// for the others: four that stall, or forty, delay nobody once it is known which they are, also to
// the next process.
type standing struct {
	learned *signin.Learned
	mu      sync.Mutex
	of      map[standingKey]stood
}

type standingKey struct{ account, place string }

// name is that under which the next process learns that it is ill.
func (k standingKey) name() string { return "ill\x00" + k.account + "\x00" + k.place }

// stood is how it went.
type stood struct {
	times int  // passes in a row in which it was long
	ill   bool // they failed
}

func newStanding(l *signin.Learned) *standing {
	return &standing{learned: l, of: map[standingKey]stood{}}
}

func (s *standing) at(account, place string) stood {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.atLocked(standingKey{account, place})
}

// atLocked has what a process before this one knew where this one knows nothing.
func (s *standing) atLocked(key standingKey) stood {
	if was, known := s.of[key]; known || !s.learned.Has(key.name()) {
		return was
	}
	return stood{times: 1, ill: true}
}

// isIll reports whether the last pass over an account failed since it was left standing.
func (s *standing) isIll(account, place string) bool { return s.at(account, place).ill }

// patience is for how long an account may stand while others wait, where that is so long for the
// first time.
func (s *standing) patience(account, place string, first time.Duration) time.Duration {
	return first << s.at(account, place).times
}

// note takes in how a pass ended, and the longest time for which the server owed an answer. An
// account for which that was long has more the next time, whether it needed that, or failed.
func (s *standing) note(account, place string, well bool, longest time.Duration) {
	key := standingKey{account, place}
	now := s.take(key, well, longest)
	s.learned.Keep(key.name(), now.ill)
}

func (s *standing) take(key standingKey, well bool, longest time.Duration) stood {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, long := s.atLocked(key), longest >= standFor
	now.ill = !well && (long || now.ill)
	switch {
	case well && !long:
		now.times = 0
	case long && now.times < mostDoubled && (!well || longest >= standFor<<now.times):
		now.times++
	}
	if s.of[key] = now; now == (stood{}) {
		delete(s.of, key)
	}
	return now
}

// errStood is the cause where a pass was ended for the sake of others.
var errStood = errors.New("other accounts wait for its connection")

// standstill is the error of such a pass.
func standstill(server string, stood time.Duration) *fault.Error {
	return fault.New(fault.Temporary, "%s left this account without an answer for %s, and %w",
		server, fault.Span(stood), errStood).
		WithHint("the next pass waits longer; if none goes well, ask the provider what is wrong with the mailbox")
}

// withShare adds the place at a server to what a connection counts under, and in a fleet that
// of those which were left standing there.
func (e *engine) withShare(account, place string, others []string) []string {
	places := append(others, place)
	if e.keeps && e.standing.isIll(account, place) {
		places = append(places, slowPrefix+place)
	}
	return places
}

const slowPrefix = "slow "

func isShare(place string) bool { return strings.HasPrefix(place, slowPrefix) }

// slowShare is how many connections of so many they may have.
func slowShare(limit int) int { return max(1, limit/2) }
