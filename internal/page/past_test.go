package page_test

import (
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/page"
)

// A pass of a clock that was ahead is yet to come: it counts for no day, and hides no other.
func TestPassesToCome(t *testing.T) {
	s := newScene()
	want := text(t, get(page.New(s.options()), "/account/alice").Body.String(), "today")
	for range 60 {
		s.passes = append(s.passes, journal.Pass{Account: "alice", Started: noon.AddDate(0, 0, 300), Passes: 1, Delivered: 50})
	}
	body := get(page.New(s.options()), "/account/alice").Body.String()
	if got := text(t, body, "today"); got != want || want == "0" {
		t.Errorf("%s today, want %s", got, want)
	}
}

// What a pass under way brought is of today, and counts once when the journal tells of the pass.
func TestTodayOfAPassUnderWay(t *testing.T) {
	s := newScene()
	began := noon.Add(-time.Minute + 123*time.Microsecond)
	bob := &s.snapshot.Accounts[1]
	before := text(t, get(page.New(s.options()), "/account/bob").Body.String(), "today")
	bob.Started, bob.SoFar = began, bridge.SoFar{Delivered: 1000}
	want := text(t, get(page.New(s.options()), "/account/bob").Body.String(), "today")
	if was, is := number(t, before), number(t, want); is != was+1000 {
		t.Errorf("%s today, and %s before", want, before)
	}
	s.passes = append(s.passes, journal.Pass{Account: "bob", Started: began.Truncate(time.Millisecond), Passes: 1, Delivered: 1000})
	if got := text(t, get(page.New(s.options()), "/account/bob").Body.String(), "today"); got != want {
		t.Errorf("%s today, want %s: the pass is over", got, want)
	}
	bob.Started = noon.Add(-13 * time.Hour)
	if got := text(t, get(page.New(s.options()), "/account/bob").Body.String(), "today"); got != want {
		t.Errorf("%s today, want %s: what began yesterday is of yesterday", got, want)
	}
}

func number(t *testing.T, shown string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.ReplaceAll(shown, ",", ""))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Where a day begins at 1:00, what came at 23:30 of the day before is not of it.
func TestTodayWithoutMidnight(t *testing.T) {
	here := time.Local
	defer func() { time.Local = here }()
	var err error
	if time.Local, err = time.LoadLocation("America/Santiago"); err != nil {
		t.Fatal(err)
	}
	s := newScene()
	s.snapshot.Now = time.Date(2026, 9, 6, 12, 0, 0, 0, time.Local)
	for _, age := range []time.Duration{10 * time.Hour, 11*time.Hour + 30*time.Minute} {
		s.passes = append(s.passes, journal.Pass{Account: "carol", Started: s.snapshot.Now.Add(-age), Passes: 1, Delivered: 8})
	}
	if got := text(t, get(page.New(s.options()), "/account/carol").Body.String(), "today"); got != "8" {
		t.Errorf("%s today", got)
	}
}
