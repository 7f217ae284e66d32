package plan_test

import (
	"strings"
	"testing"

	"github.com/popferry/popferry/plan"
)

// TestOneFolder: two people of one name at two providers are not mixed unnoticed.
func TestOneFolder(t *testing.T) {
	const text = `
defaults:
  source: {host: pop.example.org, password: x}
  destination: {host: imap.example.net, password: x, username: kim@example.net}
accounts:
  - {source: {username: kim@north.example}}
  - {source: {username: kim@south.example}, destination: {username: KIM@example.net}}
  - {source: {username: kim@west.example}, folder: West}
  - {source: {username: info@east.example}, destination: {different_user: true}}
`
	c := parse(t, text)
	for i, want := range []bool{true, true, false, false} {
		got := strings.Join(c.Accounts[i].Warnings(), "\n")
		if strings.Contains(got, "the mail of 2 accounts goes into one folder, INBOX of ") != want {
			t.Errorf("account %d: %q", i, got)
		}
	}
	said := strings.Replace(text, "username: KIM@example.net", "different_user: true", 1)
	for i, a := range parse(t, said).Accounts {
		if got := a.Warnings(); len(got) > 0 {
			t.Errorf("account %d, where it is meant so: %q", i, got)
		}
	}
	many := strings.Repeat("\n  - {source: {username: kim@N.example}}", 5)
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		many = strings.Replace(many, "N", n, 1)
	}
	before, _, _ := strings.Cut(text, "\n  - ")
	if got := parse(t, before+many).Accounts[4].Mixed(); !strings.HasSuffix(got, "of 5 accounts goes into one folder, INBOX of "+
		"kim@example.net: kim@a.example, kim@b.example, kim@c.example and 2 more") {
		t.Errorf("%q", got)
	}
}

// TestHidden: a provider that hides what was fetched leaves nothing to delete.
func TestHidden(t *testing.T) {
	hides := plan.Ways{Provider: "Example Mail", Page: 250}
	for _, c := range []struct {
		ways plan.Ways
		user string
		keep plan.Keep
		warn bool
	}{
		{hides, "kim", plan.Keep{Delete: true}, true},
		{hides, "kim", plan.Keep{}, false},
		{hides, "recent:kim", plan.Keep{Delete: true}, false},
		{plan.Ways{}, "kim", plan.Keep{Delete: true}, false},
	} {
		a := plan.Account{Keep: c.keep}
		a.Source.Username, a.Source.Ways = c.user, c.ways
		a.Destination.Username = "kim"
		if got := strings.Join(a.Warnings(), "\n"); strings.Contains(got, "keep: delivered finds little to delete") != c.warn {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
