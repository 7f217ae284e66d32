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
		{"Recent:Alice@oldisp.example", "alice@example.net", false},
		{"alice", "alice@example.net*admin", false},
		{"alice*root", "alice*admin", false},
		{"alice", "bob*alice", true},
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

// TestRecentIsNoOtherMaildrop: Gmail's prefix chooses messages and not a maildrop, so two
// accounts must not differ in it only.
func TestRecentIsNoOtherMaildrop(t *testing.T) {
	const text = `
defaults:
  source: {host: pop.gmail.com, password: x}
  destination: {host: imap.example.net, password: x}
accounts:
  - {name: a, source: {username: "recent:alice@gmail.com"}, destination: {username: alice}}
  - {name: b, source: {username: "alice@gmail.com"}, destination: {username: alice}}
`
	for _, other := range []string{text, strings.Replace(text, "recent:a", "Recent:A", 1)} {
		if _, err := plan.Parse("x", []byte(other)); err == nil || !strings.Contains(err.Error(), "same source") {
			t.Errorf("%v in %s", err, other)
		}
	}
}

// TestMailbox: whose mailbox it is, and not who logs in, names an account, finds two
// accounts of one maildrop, and tells a stranger's folder.
func TestMailbox(t *testing.T) {
	const text = `
defaults:
  source: {host: pop.example.org, username: admin, password: x}
  destination: {host: imap.example.net, username: vmail, password: x}
accounts:
  - {source: {authorize_as: alice}, destination: {authorize_as: alice}}
  - {source: {authorize_as: bob}, destination: {authorize_as: bob@example.net, auth: xoauth2}}
`
	c := parse(t, text)
	for i, want := range []string{"alice", "bob"} {
		a := c.Accounts[i]
		if a.Name != want || a.Source.Mailbox() != want || a.Source.Username != "admin" || a.UserMismatch() {
			t.Errorf("%+v", a)
		}
	}
	if plain := parse(t, account()).Accounts[0]; plain.Source.Mailbox() != "alice" {
		t.Errorf("%+v", plain.Source)
	}
	other := parse(t, strings.ReplaceAll(text, "authorize_as: bob}", "authorize_as: bob2}"))
	if c.Accounts[0].Hash() != other.Accounts[0].Hash() || c.Accounts[1].Hash() == other.Accounts[1].Hash() {
		t.Error("the hash does not follow the mailbox")
	}
	_, err := plan.Parse("x", []byte(strings.ReplaceAll(text, "source: {authorize_as: bob}", "source: {authorize_as: ALICE}")))
	if err == nil || !strings.Contains(err.Error(), "same source") {
		t.Errorf("one maildrop twice: %v", err)
	}
	stranger := parse(t, strings.ReplaceAll(text, "authorize_as: bob@example.net", "authorize_as: carol")).Accounts[1]
	if got := stranger.Warnings(); len(got) != 1 || !strings.Contains(got[0], "mail of bob goes to carol") {
		t.Errorf("warnings %q", got)
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
