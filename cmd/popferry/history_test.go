package main

import (
	"testing"
	"time"
	_ "time/tzdata"
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
