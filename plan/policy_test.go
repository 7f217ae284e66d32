package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/plan"
)

const day = 24 * time.Hour

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestKeepDue(t *testing.T) {
	month := plan.Keep{Delete: true, For: 30 * day}
	for _, c := range []struct {
		keep      plan.Keep
		delivered time.Time
		want      bool
	}{
		{plan.Keep{}, now.Add(-1000 * day), false},
		{plan.Keep{Delete: true}, now, true},
		{plan.Keep{Delete: true}, time.Time{}, false},
		{plan.Keep{Delete: true}, now.Add(time.Second), false},
		{month, now.Add(-30 * day), true},
		{month, now.Add(-30*day + 1), false},
		{month, time.Time{}, false},
	} {
		if got := c.keep.Due(c.delivered, now, now); got != c.want {
			t.Errorf("%v, delivered %v: %v", c.keep, c.delivered, got)
		}
	}
}

// TestKeepDueByTwoReadings (T10): a clock that is ahead once, or was at the last
// run, makes nothing due that is not.
func TestKeepDueByTwoReadings(t *testing.T) {
	month := plan.Keep{Delete: true, For: 30 * day}
	for _, c := range []struct {
		keep         plan.Keep
		lastRun, now time.Duration // after the delivery
		want         bool
	}{
		{month, 5 * day, 6 * day, false},
		{month, 5 * day, 370 * day, false},
		{month, 370 * day, 6 * day, false},
		{month, -day, 370 * day, false},
		{month, 29 * day, 31 * day, false},
		{month, 30 * day, 31 * day, true},
		{month, 31 * day, 30 * day, true},
		{plan.Keep{Delete: true}, -day, 0, true},
	} {
		if got := c.keep.Due(now, now.Add(c.lastRun), now.Add(c.now)); got != c.want {
			t.Errorf("%v, %v and then %v after the delivery: %v", c.keep, c.lastRun, c.now, got)
		}
	}
	if month.Due(now.Add(-40*day), time.Time{}, now) {
		t.Error("due without a last run")
	}
}

func TestFlagsFor(t *testing.T) {
	for _, c := range []struct {
		seen plan.Seen
		date time.Time
		want string
	}{
		{plan.Seen{}, time.Time{}, "[]"},
		{plan.Seen{}, now.Add(-1000 * day), "[]"},
		{plan.Seen{Always: true}, now, `[\Seen]`},
		{plan.Seen{Always: true}, time.Time{}, `[\Seen]`},
		{plan.Seen{OlderThan: day}, now.Add(-day), "[]"},
		{plan.Seen{OlderThan: day}, now.Add(-day - 1), `[\Seen]`},
		{plan.Seen{OlderThan: day}, now.Add(day), "[]"},
		{plan.Seen{OlderThan: day}, time.Time{}, "[]"},
	} {
		if got := fmt.Sprint(plan.Account{Seen: c.seen}.FlagsFor(c.date, now)); got != c.want {
			t.Errorf("%v, date %v: %s", c.seen, c.date, got)
		}
	}
}

func TestUserMismatch(t *testing.T) {
	for _, c := range []struct {
		source, destination string
		want                bool
	}{
		{"alice", "alice", false},
		{"alice", "ALICE@example.net", false},
		{"Alice@oldisp.example", "alice@example.net", false},
		{"recent:alice@oldisp.example", "alice@example.net", false},
		{"alice", "bob", true},
		{"alice@example.org", "bob@example.org", true},
		{"alice@example.org", "alice.b@example.net", true},
		{"@x", "@y", true},
	} {
		var a plan.Account
		a.Source.Username, a.Destination.Username = c.source, c.destination
		if got := a.UserMismatch(); got != c.want || (len(a.Warnings()) == 1) != c.want {
			t.Errorf("%s and %s: %v, warnings %q", c.source, c.destination, got, a.Warnings())
		}
		a.DifferentUser = true
		if a.UserMismatch() || len(a.Warnings()) > 0 {
			t.Errorf("%s and %s: not silenced", c.source, c.destination)
		}
	}
}

func TestClearTextWarnsEveryTime(t *testing.T) {
	c := parse(t, strings.NewReplacer("host: imap.example.net", "host: imap.example.net, tls: none, "+
		"allow_plaintext: true").Replace(account()))
	got := strings.Join(c.Accounts[0].Warnings(), "\n")
	if got != "the password goes to imap.example.net:143 in clear text" {
		t.Errorf("warnings %q", got)
	}
}
