package journaltest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

func historyCases() []testCase {
	return []testCase{
		{"passes come back as they were", passesComeBack},
		{"a pass that is told again counts once", toldAgain},
		{"many passes, and a callback that calls", manyPasses},
		{"old passes are forgotten", oldPasses},
		{"a wrong clock forgets nothing", wrongClock},
		{"a wrong pass changes nothing", wrongPass},
	}
}

var firstPass = time.Date(2026, 11, 1, 12, 0, 0, 5_000_000, time.UTC)

func (f *fixture) passes(since time.Time) (all []journal.Pass) {
	f.Helper()
	f.must(f.EachPass(f.ctx, since, func(p journal.Pass) error {
		all = append(all, p)
		return nil
	}))
	return all
}

func passesComeBack(f *fixture) {
	full := journal.Pass{Account: "alice", Started: firstPass, Passes: 12, Seconds: 1.5, Code: 75, Delivered: 3,
		Duplicate: 1, Deleted: 2, Held: 4, Bytes: 1 << 40, Error: "the \x00 server \"x\"", Hint: "wait"}
	quiet := journal.Pass{Account: "bob", Started: firstPass.Add(time.Hour), Passes: 1}
	f.must(f.RecordPasses(f.ctx, []journal.Pass{full, quiet}, time.Hour*2))
	f.must(f.RecordPasses(f.ctx, nil, 0))
	for range 2 {
		f.same(f.passes(time.Time{}), []journal.Pass{full, quiet})
		f.same(f.passes(firstPass), []journal.Pass{full, quiet})
		f.same(f.passes(firstPass.Add(time.Millisecond)), []journal.Pass{quiet})
		f.reopen()
	}
	long := journal.Pass{Account: "carol", Started: firstPass.Add(time.Hour), Passes: 1, Error: strings.Repeat("x", 5000)}
	f.must(f.RecordPasses(f.ctx, []journal.Pass{long}, time.Hour*2))
	if got := f.passes(time.Time{}); len(got) != 3 || len(got[2].Error) != 4096 {
		f.Fatalf("%d passes, the last with %d octets", len(got), len(got[len(got)-1].Error))
	}
	long.Error, long.Started = strings.Repeat("€", 2000), long.Started.Add(time.Millisecond)
	f.must(f.RecordPasses(f.ctx, []journal.Pass{long}, time.Hour*2))
	if got := f.passes(time.Time{}); len(got) != 4 || got[3].Error != strings.Repeat("€", 4096/3) {
		f.Fatalf("%d passes, the last ends with %q", len(got), got[len(got)-1].Error[4080:])
	}
}

// toldAgain: the later word is the last one of it, and nothing else goes.
func toldAgain(f *fixture) {
	pass := func(account string, at time.Duration, delivered int) journal.Pass {
		return journal.Pass{Account: account, Started: firstPass.Add(at), Passes: 1, Delivered: delivered}
	}
	first, later := []journal.Pass{pass("a", 0, 1), pass("b", 0, 2), pass("a", time.Millisecond, 3)}, pass("a", 0, 4)
	f.must(f.RecordPasses(f.ctx, first, time.Hour))
	f.must(f.RecordPasses(f.ctx, []journal.Pass{later}, time.Hour))
	f.same(f.passes(time.Time{}), append(first[1:], later))
}

func manyPasses(f *fixture) {
	var passes []journal.Pass
	for n := range 1300 {
		passes = append(passes, journal.Pass{Account: fmt.Sprint(n), Started: firstPass.Add(time.Duration(n) * time.Second), Passes: 1})
	}
	f.must(f.RecordPasses(f.ctx, passes, time.Hour))
	seen := 0
	f.must(f.EachPass(f.ctx, time.Time{}, func(p journal.Pass) error {
		if p.Account != fmt.Sprint(seen) {
			f.Fatalf("%s in the place %d", p.Account, seen)
		}
		seen++
		_, err := f.Scopes(f.ctx)
		return err
	}))
	if seen != 1300 {
		f.Fatalf("saw %d", seen)
	}
	enough := errors.New("enough")
	if err := f.EachPass(f.ctx, time.Time{}, func(journal.Pass) error { return enough }); !errors.Is(err, enough) {
		f.Fatal(err)
	}
}

func oldPasses(f *fixture) {
	at := func(hours int) []journal.Pass {
		return []journal.Pass{{Account: "a", Started: firstPass.Add(time.Duration(hours) * time.Hour), Passes: 1}}
	}
	for _, hours := range []int{0, 24, 48} {
		f.must(f.RecordPasses(f.ctx, at(hours), 24*time.Hour))
	}
	if got := f.passes(time.Time{}); len(got) != 3 {
		f.Fatalf("%+v", got)
	}
	f.must(f.RecordPasses(f.ctx, at(72), 24*time.Hour))
	f.same(f.passes(time.Time{}), slices.Concat(at(24), at(48), at(72)))
}

// wrongClock: passes of some hours in which the clock was a year ahead, or back, make the
// history forget no more than others do.
func wrongClock(f *fixture) {
	var want []journal.Pass
	for day := range 30 {
		want = append(want, journal.Pass{Account: "a", Started: firstPass.AddDate(0, 0, day), Passes: 1})
	}
	f.must(f.RecordPasses(f.ctx, want, 90*24*time.Hour))
	for hour := range 23 {
		ahead := journal.Pass{Account: "a", Started: firstPass.AddDate(1, 0, 0).Add(time.Duration(hour) * time.Hour), Passes: 1}
		f.must(f.RecordPasses(f.ctx, []journal.Pass{ahead}, 90*24*time.Hour))
		want = append(want, ahead)
	}
	right := journal.Pass{Account: "a", Started: firstPass.AddDate(0, 0, 30), Passes: 1}
	behind := journal.Pass{Account: "a", Started: firstPass.AddDate(-1, 0, 0), Passes: 1}
	f.must(f.RecordPasses(f.ctx, []journal.Pass{right}, 90*24*time.Hour))
	f.must(f.RecordPasses(f.ctx, []journal.Pass{behind}, 90*24*time.Hour))
	f.same(f.passes(time.Time{}), append(want, right, behind))
}

func wrongPass(f *fixture) {
	good := journal.Pass{Account: "a", Started: firstPass, Passes: 1}
	for _, bad := range []journal.Pass{{Started: firstPass, Passes: 1}, {Account: "a", Started: firstPass}} {
		f.fails(f.RecordPasses(f.ctx, []journal.Pass{good, bad}, time.Hour), fault.Internal)
	}
	if got := f.passes(time.Time{}); len(got) != 0 {
		f.Fatalf("%+v", got)
	}
	f.must(f.RecordPasses(f.ctx, []journal.Pass{good}, time.Hour))
}
