package page_test

import (
	"testing"
	"time"
	_ "time/tzdata"

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
