package places

import (
	"cmp"
	"math"
	"net"
	"strings"

	"github.com/popferry/popferry/plan"
)

// An IMAP server is the place that its address is.
const (
	sourcePrefix = "POP3 "
	userPrefix   = "user "
	slowPrefix   = "slow "
)

// Source is the place of a POP3 server: apart from the IMAP servers, so that whoever has a place at
// a source and waits for one at a destination waits for somebody who never waits for a source.
func Source(address string) string { return sourcePrefix + address }

// User is the place of a user whose provider bounds the connections of each, as
// [plan.UserLimit.Of] names it.
func User(user string) string { return userPrefix + user }

// Slow is the share of a place for those who were left standing there.
func Slow(place string) string { return slowPrefix + place }

func isShare(place string) bool { return strings.HasPrefix(place, slowPrefix) }

// slowShare is how many connections of so many they may have.
func slowShare(limit int) int { return max(1, limit/2) }

// Limit says how many connections a place may have.
func Limit(l plan.Limits) func(place string) int {
	users := map[string]int{}
	for _, h := range l.Hosts {
		users[h.PerUser.Provider] = h.PerUser.Connections
	}
	var of func(place string) int
	of = func(place string) int {
		if all, slow := strings.CutPrefix(place, slowPrefix); slow {
			return slowShare(of(all))
		}
		if user, isUser := strings.CutPrefix(place, userPrefix); isUser {
			provider, _, _ := strings.Cut(user, "\x00")
			return cmp.Or(users[provider], math.MaxInt) // one of a configuration before
		}
		host, _, err := net.SplitHostPort(strings.TrimPrefix(place, sourcePrefix))
		if err != nil {
			host = place
		}
		return l.Host(host).Connections
	}
	return of
}
