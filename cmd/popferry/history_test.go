package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/report"
	"github.com/popferry/popferry/plan"
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

// TestPastOf: a pass that is yet to come is not the last one that succeeded, and one that was killed
// is none that failed.
func TestPastOf(t *testing.T) {
	j, err := journal.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	now := time.Now().UTC().Truncate(time.Millisecond)
	killed := journal.Pass{Account: "bob", Passes: 1, Delivered: 1, Code: int(fault.Temporary),
		Error: "popferry was killed amid this pass, or lost its power"}
	if !ferry.WasKilled(killed) {
		t.Fatal("that is not what is said of it")
	}
	killed.Started = now.Add(-210 * time.Minute)
	passes := []journal.Pass{{Account: "alice", Started: now.Add(-time.Hour), Passes: 1, Held: 2},
		{Account: "alice", Started: now.AddDate(0, 0, 300), Passes: 1},
		{Account: "bob", Started: now.Add(-5 * time.Hour), Passes: 1, Code: int(fault.Temporary)},
		{Account: "bob", Started: now.Add(-4 * time.Hour), Passes: 1}, killed,
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
	if p := past("bob"); !p.Success.Equal(passes[3].Started) || !p.Failing.Equal(passes[5].Started) {
		t.Errorf("%+v", p)
	}
}

// TestStatusAndReportAgree on when an account last worked, whichever of the two places in the
// journal heard of it later: a pass that finds nothing is written to each in its own time.
func TestStatusAndReportAgree(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	for name, c := range map[string]struct{ run, pass, want time.Time }{
		"the run":  {run: now.Add(-time.Minute), pass: now.Add(-2 * time.Hour), want: now.Add(-time.Minute)},
		"the pass": {run: now.Add(-time.Hour), pass: now.Add(-time.Minute), want: now.Add(-time.Minute + 30*time.Second)},
	} {
		a := &app{state: t.TempDir()}
		j, err := journal.Open(a.state)
		if err != nil {
			t.Fatal(err)
		}
		ledger, err := j.Ledger(t.Context(), journal.Scope{Account: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		last, _ := json.Marshal(ferry.LastRun{At: c.run})
		passes := []journal.Pass{{Account: "alice", Started: c.pass, Passes: 1, Seconds: 30}}
		if err := errors.Join(ledger.SetFact(t.Context(), journal.LastRun, string(last)),
			j.RecordPasses(t.Context(), passes, time.Hour), j.Close()); err != nil {
			t.Fatal(err)
		}
		status, err := a.status(t.Context(), nil)
		if err != nil || !status.Accounts[0].LastSuccess.Equal(c.want) {
			t.Errorf("%s: status: %+v, %v", name, status, err)
		}
		if text := fmt.Sprint(report.Status(status).Sheet().Rows); !strings.Contains(text, c.want.Format(time.RFC3339)) {
			t.Errorf("%s: status: %s", name, text)
		}
		history, err := a.history(t.Context(), now.Add(-3*time.Hour), nil)
		if err != nil || !history.Accounts[0].LastSuccess.Equal(c.want) {
			t.Errorf("%s: report: %+v, %v", name, history, err)
		}
	}
}

// TestStatusOfAccountsWithoutAPass: they are those of accounts.yaml, if there is one.
func TestStatusOfAccountsWithoutAPass(t *testing.T) {
	dir := t.TempDir()
	a := &app{state: dir, config: filepath.Join(dir, "accounts.yaml")}
	j, err := journal.Open(a.state)
	if err != nil {
		t.Fatal(err)
	}
	j.Close()
	if r, err := a.status(t.Context(), nil); err != nil || len(r.Accounts) != 0 {
		t.Errorf("without a file: %+v, %v", r, err)
	}
	const accounts = `accounts:
- {name: alice, source: {host: pop.example.org, username: a, password: {env: A}}, destination: {host: imap.example.org, username: a, password: {env: A}}}
`
	if err := os.WriteFile(a.config, []byte(accounts), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, names := range [][]string{nil, {"alice"}} {
		if r, err := a.status(t.Context(), names); err != nil || len(r.Accounts) != 1 || !r.Accounts[0].NoPass || r.Accounts[0].Source != "a on pop.example.org" {
			t.Errorf("%q: %+v, %v", names, r, err)
		}
	}
	if _, err := a.status(t.Context(), []string{"bob"}); fault.CodeOf(err) != fault.Usage {
		t.Errorf("bob: %v", err)
	}
}

// TestRunIsRememberedAsItGoes: what a run did with one account is in the history when that is done,
// and not only when the run is, once.
func TestRunIsRememberedAsItGoes(t *testing.T) {
	j, err := journal.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	s := &session{config: &plan.Config{Bridge: plan.Bridge{History: time.Hour}}, journal: j}
	seen := 0
	s.options.Observe = func(ferry.Event) { seen++ }
	names := func() (names []string) {
		t.Helper()
		if err := j.EachPass(t.Context(), time.Time{}, func(p journal.Pass) error {
			names = append(names, p.Account)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return names
	}
	rest := s.remembering()
	alice, bob := ferry.AccountReport{Name: "alice"}, ferry.AccountReport{Name: "bob", Stopped: true}
	s.options.Observe(ferry.Event{Kind: ferry.Started, Account: "alice"})
	s.options.Observe(ferry.Event{Kind: ferry.Killed, Account: "alice", Pass: &journal.Pass{Account: "alice's last", Passes: 1}})
	s.options.Observe(ferry.Event{Kind: ferry.Finished, Account: "alice", Result: &alice})
	if got := names(); seen != 3 || !slices.Equal(got, []string{"alice's last", "alice"}) {
		t.Errorf("%q after the first account", got)
	}
	carol := ferry.AccountReport{Name: "carol"} // its turn never came
	if err := rest(ferry.Report{Accounts: []ferry.AccountReport{alice, bob, carol}}); err != nil {
		t.Error(err)
	}
	if got := names(); !slices.Equal(got, []string{"alice's last", "alice", "carol"}) {
		t.Errorf("%q in the end", got)
	}
}
