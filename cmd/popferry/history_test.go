package main

import (
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

// TestSinceADayWithoutMidnight: the day begins when the clock is put forward.
func TestSinceADayWithoutMidnight(t *testing.T) {
	here, err := time.LoadLocation("America/Santiago")
	if err != nil {
		t.Fatal(err)
	}
	got, err := moment("2026-09-06", time.Date(2026, 9, 10, 0, 0, 0, 0, here))
	if want := time.Date(2026, 9, 6, 1, 0, 0, 0, here); err != nil || !got.Equal(want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if today, err := moment("2026-09-06", got.Add(time.Minute)); err != nil || !today.Equal(got) {
		t.Errorf("%v, %v on the day itself", today, err)
	}
	if _, err := moment("2026-09-07", got); err == nil {
		t.Error("tomorrow is over")
	}
}

// TestPastOfAWrongClock: a pass that is yet to come is not the last one that succeeded.
func TestPastOfAWrongClock(t *testing.T) {
	j, err := journal.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	now := time.Now().UTC().Truncate(time.Millisecond)
	passes := []journal.Pass{{Account: "alice", Started: now.Add(-time.Hour), Passes: 1, Held: 2},
		{Account: "alice", Started: now.AddDate(0, 0, 300), Passes: 1},
		{Account: "bob", Started: now.Add(-5 * time.Hour), Passes: 1, Code: int(fault.Temporary)},
		{Account: "bob", Started: now.Add(-4 * time.Hour), Passes: 1},
		{Account: "bob", Started: now.Add(-3 * time.Hour), Passes: 1, Code: int(fault.Temporary)},
		{Account: "bob", Started: now.Add(-2 * time.Hour), Passes: 1, Code: int(fault.Credentials)}}
	if err := j.RecordPasses(t.Context(), passes, 90*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	past, err := pastOf(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	if p := past("alice"); !p.Success.Equal(passes[0].Started) || p.Held != 2 || !p.Failing.IsZero() {
		t.Errorf("%+v", p)
	}
	if p := past("bob"); !p.Success.Equal(passes[3].Started) || !p.Failing.Equal(passes[4].Started) {
		t.Errorf("%+v", p)
	}
}
