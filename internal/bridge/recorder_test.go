package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
)

// kept is a history in memory.
type kept struct {
	passes []journal.Pass
	writes int
	keep   time.Duration
	full   error // what a write fails with
}

func (k *kept) RecordPasses(_ context.Context, passes []journal.Pass, keep time.Duration) error {
	if k.full != nil {
		return k.full
	}
	k.passes = append(k.passes, passes...)
	k.writes++
	k.keep = keep
	return nil
}

// TestRecorderOutOfHours: what an account's own limits stop is no pass that went well, unless
// it brought something.
func TestRecorderOutOfHours(t *testing.T) {
	k := &kept{}
	r := bridge.NewRecorder(k, time.Hour)
	for _, a := range []ferry.AccountReport{
		{ExitCode: fault.Temporary, Error: &ferry.ErrorReport{Message: "no answer"}},
		{ExitCode: fault.Temporary, Resting: true},
		{ExitCode: fault.Temporary, Resting: true, Totals: ferry.Totals{Delivered: 1}},
	} {
		if err := r.Record(bridge.Pass{Started: time.Now(), Report: a}); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.passes) != 2 || k.passes[0].Code != int(fault.Temporary) || k.passes[1].Delivered != 1 || k.passes[1].Code != 0 {
		t.Errorf("%+v", k.passes)
	}
}

// TestRecorder: a day of passes that find nothing is written once an hour, and what
// happens in between at once.
func TestRecorder(t *testing.T) {
	k := &kept{}
	r := bridge.NewRecorder(k, time.Hour)
	began := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	record := func(minute int, a ferry.AccountReport) {
		t.Helper()
		a.Name, a.Seconds = "alice", 0.5
		if err := r.Record(bridge.Pass{Started: began.Add(time.Duration(minute) * time.Minute), Report: a}); err != nil {
			t.Fatal(err)
		}
	}
	for minute := 0; minute < 24*60; minute += 5 {
		record(minute, ferry.AccountReport{})
	}
	if first := k.passes[0]; first.Passes != 1 || !first.Started.Equal(began) {
		t.Errorf("the first pass: %+v", first)
	}
	if k.writes != 23 || k.passes[1].Passes != 13 || k.passes[1].Seconds != 6.5 || !k.passes[2].Started.Equal(began.Add(70*time.Minute)) {
		t.Errorf("%d writes: %+v", k.writes, k.passes[:2])
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, p := range k.passes {
		total += p.Passes
	}
	if total != 24*60/5 {
		t.Errorf("%d passes", total)
	}
	if last := k.passes[len(k.passes)-1]; !last.Started.Equal(began.Add(1435*time.Minute)) || last.Passes != 1 || last.Seconds != 0.5 {
		t.Errorf("the last one is %+v", last)
	}
	*k = kept{}
	record(2000, ferry.AccountReport{})
	record(2005, ferry.AccountReport{ExitCode: fault.Temporary, Error: &ferry.ErrorReport{Message: "away", Hint: "wait"}})
	record(2010, ferry.AccountReport{Totals: ferry.Totals{Delivered: 2}})
	if r.Keep(2 * time.Hour); k.keep != time.Hour {
		t.Errorf("kept for %v", k.keep)
	}
	record(2015, ferry.AccountReport{Totals: ferry.Totals{Delivered: 1}})
	if k.keep != 2*time.Hour {
		t.Errorf("then kept for %v", k.keep)
	}
	if len(k.passes) != 4 || k.passes[0].Passes != 1 || k.passes[1].Error != "away" || k.passes[1].Code != 75 || k.passes[2].Delivered != 2 {
		t.Errorf("%+v", k.passes)
	}
	*k = kept{}
	for minute, held := range []int{0, 0, 2, 2, 2, 0} {
		record(2020+5*minute, ferry.AccountReport{ExitCode: fault.Held, Totals: ferry.Totals{Held: held}})
	}
	if len(k.passes) != 6 || k.passes[1].Held != 0 || k.passes[2].Held != 2 || k.passes[4].Held != 2 || k.passes[5].Held != 0 {
		t.Errorf("held and let go: %+v", k.passes)
	}
}

// TestRecorderOfAnOutage: when it went well last before a failure, and that it does again, is
// known at once.
func TestRecorderOfAnOutage(t *testing.T) {
	k := &kept{}
	r := bridge.NewRecorder(k, time.Hour)
	began := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	for minute, code := range []fault.Code{0, 0, 0, 0, fault.Temporary, fault.Temporary, 0, 0} {
		a := ferry.AccountReport{Name: "alice", ExitCode: code}
		if code != 0 {
			a.Error = &ferry.ErrorReport{Message: "away"}
		}
		if err := r.Record(bridge.Pass{Started: began.Add(time.Duration(minute) * time.Minute), Report: a}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, p := range k.passes {
		got = append(got, fmt.Sprintf("%d from %d: %d", p.Passes, int(p.Started.Sub(began).Minutes()), p.Code))
	}
	want := []string{"1 from 0: 0", "2 from 1: 0", "1 from 3: 0", "1 from 4: 75", "1 from 5: 75", "1 from 6: 0"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestRecorderOfAKilledPass: it is known at once, or with what comes next if the disk is full.
func TestRecorderOfAKilledPass(t *testing.T) {
	for _, full := range []error{nil, errors.New("the disk is full")} {
		k := &kept{full: full}
		r := bridge.NewRecorder(k, time.Hour)
		killed := journal.Pass{Account: "alice", Passes: 1, Code: 75, Delivered: 7}
		if err := r.Recall(killed); !errors.Is(err, full) || full == nil && len(k.passes) != 1 {
			t.Errorf("%+v %v", k.passes, err)
		}
		k.full = nil
		err := r.Record(bridge.Pass{Started: time.Now(), Report: ferry.AccountReport{Name: "alice"}})
		if err != nil || len(k.passes) != 2 || k.passes[0] != killed || k.passes[1].Delivered != 0 {
			t.Errorf("%+v %v", k.passes, err)
		}
	}
}

// TestRecorderOfAFullDisk: what could not be written is with the next that can, as far as
// anybody could want to read it.
func TestRecorderOfAFullDisk(t *testing.T) {
	k := &kept{full: errors.New("the disk is full")}
	r := bridge.NewRecorder(k, time.Hour)
	for n := range 1200 {
		if err := r.Record(bridge.Pass{Report: ferry.AccountReport{Name: "alice", Totals: ferry.Totals{Delivered: n + 1}}}); !errors.Is(err, k.full) {
			t.Fatal(err)
		}
	}
	k.full = nil
	for range 2 {
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.passes) != 1000 || k.passes[0].Delivered != 201 || k.passes[999].Delivered != 1200 {
		t.Errorf("%d passes", len(k.passes))
	}
}
