package report_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/report"
)

// week is a history of seven days with two accounts.
func week() *report.HistoryReport {
	r := report.NewHistory(started, started.Add(6*24*time.Hour+time.Minute))
	for day := range 7 {
		at := started.Add(time.Duration(day) * 24 * time.Hour)
		r.Add(journal.Pass{Account: "alice", Started: at, Passes: 10, Seconds: 5})
		r.Add(journal.Pass{Account: "alice", Started: at.Add(time.Minute), Passes: 1, Seconds: 2, Delivered: day * 3, Bytes: int64(day) * 9000, Held: 1, Code: 65})
		if day > 4 {
			r.Add(journal.Pass{Account: "bob<b>", Started: at, Passes: 1, Code: 77, Error: "login refused: \x1b[31m<b>no</b>", Hint: "check the password"})
		}
	}
	return r
}

// The last days are those that a long span has room for.
func TestLongHistory(t *testing.T) {
	r := report.NewHistory(started.AddDate(-25, 0, 0), started)
	r.Add(journal.Pass{Account: "alice", Started: started, Passes: 1})
	if last := r.Days[len(r.Days)-1]; last.Passes != 1 || len(r.Days) != 3660 {
		t.Errorf("%d days, the last is %+v", len(r.Days), last)
	}
}

// dayCounts are the days that a report tells apart, and what was delivered in each.
func dayCounts(r *report.HistoryReport) (days []string, delivered int) {
	for _, day := range r.Days {
		days = append(days, day.Day)
		delivered += day.Delivered
	}
	return days, delivered
}

// Where clocks are put forward or back at midnight, every day is there once, and so is
// what was done in it.
func TestHistoryWhereADayHasNoMidnight(t *testing.T) {
	here := time.Local
	defer func() { time.Local = here }()
	for zone, day := range map[string]string{
		"America/Santiago": "2026-09-06", "America/Havana": "2026-03-08", "America/Asuncion": "2023-10-01",
		"Asia/Beirut": "2026-03-29", "Asia/Amman": "2021-10-29", "Atlantic/Azores": "2026-10-25", "Europe/Berlin": "2026-03-29",
	} {
		var err error
		if time.Local, err = time.LoadLocation(zone); err != nil {
			t.Fatal(err)
		}
		noon, err := time.ParseInLocation("2006-01-02 15", day+" 12", time.Local)
		if err != nil {
			t.Fatal(err)
		}
		r := report.NewHistory(report.DayStart(noon.AddDate(0, 0, -3)), noon.AddDate(0, 0, 3))
		passes := 0
		for at := r.Since; !at.After(r.Until); at = at.Add(20 * time.Minute) {
			r.Add(journal.Pass{Account: "alice", Started: at, Passes: 1, Delivered: 1})
			passes++
		}
		days, delivered := dayCounts(r)
		if len(days) != 7 || len(slices.Compact(days)) != 7 || delivered != passes || r.Totals.Delivered != passes {
			t.Errorf("%s: %d of %d passes in %v", zone, delivered, passes, r.Days)
		}
		start := report.DayStart(noon)
		if before := start.Add(-time.Nanosecond); start.Format(time.DateOnly) != day || before.Format(time.DateOnly) == day {
			t.Errorf("%s: the day begins at %v", zone, start)
		}
	}
}

// A pass of a clock that was wrong is neither in the days nor in the totals.
func TestHistoryOfAWrongClock(t *testing.T) {
	r := report.NewHistory(started, started.Add(time.Hour))
	for _, at := range []time.Time{started, started.AddDate(0, 0, 300), started.AddDate(-1, 0, 0)} {
		r.Add(journal.Pass{Account: "alice", Started: at, Passes: 1, Delivered: 50})
	}
	if _, delivered := dayCounts(r); delivered != 50 || r.Totals.Delivered != 50 || !r.Accounts[0].LastSuccess.Equal(started) {
		t.Errorf("%+v", r)
	}
	long := report.NewHistory(started.AddDate(-25, 0, 0), started)
	long.Add(journal.Pass{Account: "alice", Started: started.AddDate(-20, 0, 0), Passes: 1, Delivered: 50})
	if _, delivered := dayCounts(long); delivered != long.Totals.Delivered {
		t.Errorf("%d in all, %d by day", long.Totals.Delivered, delivered)
	}
}

// TestHistorySaysWhatIsHeldAndWhy in all its forms.
func TestHistorySaysWhatIsHeldAndWhy(t *testing.T) {
	r := week()
	held := []journal.Record{{UIDL: "u1", Listed: 99, State: journal.Held, Reason: "it is <empty>"}}
	r.Hold("alice", held)
	r.Hold("nobody", held)
	result := report.History(r)
	for form, c := range map[string]struct {
		out  []byte
		want string
	}{
		"text": {show(t, result, report.Options{}), "alice: held: message (UIDL u1), 99 B: it is <empty>"},
		"JSON": {show(t, result, report.Options{JSON: true}), `"reason": "it is <empty>"`},
		"CSV":  {file(t, result, "r.csv"), ",u1,99,held,it is <empty>,"},
		"HTML": {file(t, result, "r.html"), "<span>it is &lt;empty&gt;</span>"},
	} {
		if strings.Count(string(c.out), c.want) != 1 {
			t.Errorf("%s: %q is not there once:\n%s", form, c.want, c.out)
		}
	}
}

// TestHistoryHeld: a pass that failed did not see what is held.
func TestHistoryHeld(t *testing.T) {
	r := report.NewHistory(started, started.Add(time.Hour))
	for minute, c := range []struct {
		pass journal.Pass
		held int
	}{
		{journal.Pass{Held: 1, Code: 65}, 1},
		{journal.Pass{Code: 75, Error: "away"}, 1},
		{journal.Pass{Held: 2, Code: 75, Error: "away"}, 2},
		{journal.Pass{}, 0},
	} {
		c.pass.Account, c.pass.Passes, c.pass.Started = "alice", 1, started.Add(time.Duration(minute)*time.Minute)
		r.Add(c.pass)
		if a := r.Accounts[0]; a.Held != c.held || int(a.ExitCode) != c.pass.Code {
			t.Errorf("%+v, then %+v", c.pass, a)
		}
	}
}

func TestHistory(t *testing.T) {
	r := week()
	if len(r.Days) != 7 || r.Days[6].Delivered != 18 || r.Days[6].Failed != 1 || r.Totals.Passes != 79 || r.Totals.Delivered != 63 {
		t.Errorf("%+v", r)
	}
	a := r.Accounts[0]
	if a.Held != 1 || a.Error != nil || a.LastSuccess != started.Add(6*24*time.Hour+time.Minute+2*time.Second) || r.Accounts[1].Failed != 2 ||
		r.Accounts[1].Error.Hint != "check the password" {
		t.Errorf("%+v", r.Accounts)
	}
	for name, o := range map[string]report.Options{"history.txt": {}, "history.json": {JSON: true}} {
		var out bytes.Buffer
		o.Stdout, o.Stderr = &out, &out
		show, err := report.New(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := show.Show(report.History(r)); err != nil {
			t.Fatal(err)
		}
		golden(t, name, out.Bytes())
	}
}

func TestHistoryPage(t *testing.T) {
	page := string(file(t, report.History(week()), "history.html"))
	for _, want := range []string{"<svg", "<title>2026-03-10: 18</title>", "Messages delivered each day: <strong>63</strong>, 18 at most",
		"bob&lt;b&gt;", "check: the password"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "<b>no</b>") || strings.Contains(page, "<script") || strings.Contains(page, "\x1b") {
		t.Error("what a server said is in the page as it was")
	}
}

func TestEmptyHistory(t *testing.T) {
	r := report.NewHistory(started, started)
	if len(r.Days) != 1 || !strings.HasPrefix(report.History(r).Sheet().Verdict, "Nothing was done since 2026-03-04") {
		t.Errorf("%+v", r)
	}
	if page := file(t, report.History(r), "history.html"); bytes.Contains(page, []byte("<svg")) {
		t.Error("a picture of nothing")
	}
}
