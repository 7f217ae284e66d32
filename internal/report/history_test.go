package report_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/report"
)

// week is a history of seven days with two accounts.
func week() *report.HistoryReport {
	r := report.NewHistory(started, started.Add(6*24*time.Hour))
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

func TestHistory(t *testing.T) {
	r := week()
	if len(r.Days) != 7 || r.Days[6].Delivered != 18 || r.Days[6].Failed != 1 || r.Totals.Passes != 79 || r.Totals.Delivered != 63 {
		t.Errorf("%+v", r)
	}
	a := r.Accounts[0]
	if a.Held != 1 || a.Error != nil || a.LastSuccess != started.Add(6*24*time.Hour+time.Minute) || r.Accounts[1].Failed != 2 ||
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
