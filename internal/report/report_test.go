package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/report"
	"github.com/popferry/popferry/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

var started = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// sample is a run with one account of every kind.
func sample() ferry.Report {
	return ferry.Report{
		Version: ferry.ReportVersion, Started: started, ExitCode: fault.Credentials,
		Totals: ferry.Totals{Listed: 15204, Known: 12000, Duplicate: 3, Delivered: 3198, Held: 2,
			Waiting: 1, Deleted: 40, Bytes: 54_321_987},
		Accounts: []ferry.AccountReport{
			{Name: "alice@oldisp.example", Seconds: 12.34, Totals: ferry.Totals{Listed: 1204,
				Delivered: 1204, Deleted: 40, Bytes: 34_000_000}},
			{Name: "bob", Seconds: 3725, ExitCode: fault.Held,
				Totals: ferry.Totals{Listed: 14000, Known: 12000, Duplicate: 3, Delivered: 1994,
					Held: 2, Waiting: 1, Bytes: 20_321_987},
				Notes: []string{"the journal was made on another machine"},
				Messages: []ferry.MessageReport{
					{Number: 7, UIDL: "0000abcd", Size: 52_000_000, State: "held",
						Reason: "larger than the destination accepts (52000000 bytes of at most 35651584)"},
					{Number: 9, UIDL: "0000abce", Size: 0, State: "held",
						Reason: "it is empty (0 bytes), and no IMAP server stores that",
						File:   "held/bob-e3b0c442.eml"},
				}},
			{Name: "carol", Seconds: 0.4, ExitCode: fault.Credentials, Error: &ferry.ErrorReport{
				Code:    fault.Credentials,
				Message: "pop.oldisp.example:995 refused the login of carol: [AUTH] invalid password",
				Hint:    "check username and password; some providers want an app password"}},
		},
	}
}

// show gives what a result looks like on a standard output that is no terminal.
func show(t *testing.T, r report.Result, o report.Options) []byte {
	t.Helper()
	var out, talk bytes.Buffer
	o.Stdout, o.Stderr = &out, &talk
	output, err := report.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := output.Show(r); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// file gives what a result looks like in a file.
func file(t *testing.T, r report.Result, name string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	show(t, r, report.Options{Files: []string{path}})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRunInEveryForm(t *testing.T) {
	t.Setenv("TZ", "UTC")
	r := report.Run(sample(), time.Hour+125*time.Second)
	golden(t, "run.txt", show(t, r, report.Options{}))
	golden(t, "run.csv", file(t, r, "r.csv"))
	page := file(t, r, "r.html")
	page = bytes.ReplaceAll(page, []byte(started.Local().Format("2006-01-02 15:04:05")), []byte("(time)"))
	golden(t, "run.html", page)
}

// TestJSONIsAContract holds the names and the types of what programs read.
// Fields may come, none may go or change.
func TestJSONIsAContract(t *testing.T) {
	golden(t, "run.json", show(t, report.Run(sample(), time.Hour+125*time.Second), report.Options{JSON: true}))
	golden(t, "verify.json", show(t, report.Verify(verified()), report.Options{JSON: true}))
	golden(t, "status.json", show(t, report.Status(status()), report.Options{JSON: true}))
	golden(t, "plan.json", show(t, planned(false), report.Options{JSON: true}))
}

func TestOtherResultsAsText(t *testing.T) {
	golden(t, "verify.txt", show(t, report.Verify(verified()), report.Options{}))
	golden(t, "plan.txt", show(t, planned(true), report.Options{}))
	text := show(t, report.Status(status()), report.Options{})
	golden(t, "status.txt", bytes.ReplaceAll(text,
		[]byte(started.Local().Format("2006-01-02 15:04:05")), []byte("2026-03-04 05:06:07")))
}

func TestPlanAsJSONCanBeCarriedOut(t *testing.T) {
	plans, err := plan.Decode(bytes.NewReader(show(t, planned(false), report.Options{JSON: true})))
	if err != nil || len(plans) != 1 || plans[0].Account != "alice" {
		t.Errorf("%v, %v", plans, err)
	}
}

func verified() ferry.VerifyReport {
	return ferry.VerifyReport{
		Version: 1, ExitCode: fault.Held,
		Totals: ferry.VerifyTotals{Delivered: 1204, Found: 1201, Altered: 1, Moved: 1, Missing: 1},
		Accounts: []ferry.VerifyAccount{{
			Name:         "alice",
			VerifyTotals: ferry.VerifyTotals{Delivered: 1204, Found: 1201, Altered: 1, Moved: 1, Missing: 1},
			ExitCode:     fault.Held,
			Messages: []ferry.MessageReport{
				{UIDL: "a0", Size: 1100, State: "altered", Folder: "INBOX", UID: 6,
					Reason: "the destination changed it: its text differs from what POP3 gave"},
				{UIDL: "a1", Size: 1200, State: "moved", Folder: "Archive", UID: 3, Reason: "was INBOX uid 7"},
				{UIDL: "a2", Size: 1300, State: "missing", Folder: "INBOX", UID: 8,
					Reason: "not in any folder of the destination"},
			},
		}},
	}
}

func status() report.StatusReport {
	scope := journal.Scope{Account: "alice", SourceHost: "pop.example.org", SourceUser: "alice",
		DestHost: "imap.example.net", DestUser: "alice@example.net", Folder: "INBOX"}
	last, _ := json.Marshal(ferry.LastRun{At: started, ExitCode: fault.Held, Totals: ferry.Totals{Held: 1}})
	return report.StatusReport{Version: report.StatusVersion, State: "/state", Accounts: []report.StatusAccount{
		report.NewStatusAccount(journal.Status{Scope: scope, LastRun: string(last),
			Counts: map[journal.State]int{journal.Delivered: 1200, journal.Held: 1, journal.Gone: 4}},
			[]journal.Record{{UIDL: "u1", Listed: 99, State: journal.Held, Reason: "it is empty"}}),
		report.NewStatusAccount(journal.Status{Scope: journal.Scope{Account: "bob"}}, nil),
	}}
}

func planned(explain bool) report.Result {
	p := plan.Build(plan.Input{Account: "alice", ConfigHash: "c0ffee",
		Listing:     []plan.Listed{{Number: 1, Size: 1000, UIDL: "a"}, {Number: 2, Size: 90_000, UIDL: "b"}},
		Limit:       50_000,
		Destination: plan.Destination{Host: "imap.example.net", User: "alice", Folder: "INBOX", Exists: true},
	})
	r := ferry.Report{ExitCode: fault.Temporary, Accounts: []ferry.AccountReport{{Name: "alice"},
		{Name: "bob", Error: &ferry.ErrorReport{Code: fault.Temporary, Message: "cannot connect", Hint: "host and port"}}}}
	return report.Plans([]plan.Plan{p}, r, explain)
}

// hostile is a text that attacks whoever shows it: a terminal, the reader's eye,
// a browser, a spreadsheet, a table.
const hostile = "=cmd|'/C calc'!A0\x1b[31m\x1b]0;x\a\r\n<script>alert(1)</script>\u202egnp\u009b1m\t\"};--\x00"

func attacked() ferry.Report {
	return ferry.Report{Version: 1, ExitCode: fault.Held, Accounts: []ferry.AccountReport{{
		Name: hostile, Notes: []string{hostile}, ExitCode: fault.Held,
		Error:    &ferry.ErrorReport{Code: fault.Held, Message: hostile, Hint: hostile},
		Messages: []ferry.MessageReport{{UIDL: hostile, State: "held", Reason: hostile, Folder: hostile, UID: 3}},
	}}}
}

func TestHostileTextIsHarmlessInEveryForm(t *testing.T) {
	r := report.Run(attacked(), 0)
	forms := map[string][]byte{
		"text": show(t, r, report.Options{}),
		"json": show(t, r, report.Options{JSON: true}),
		"csv":  file(t, r, "r.csv"),
		"html": file(t, r, "r.html"),
	}
	for name, data := range forms {
		for _, c := range string(data) {
			if c != '\n' && !unicode.IsPrint(c) {
				t.Errorf("%s has the character %U", name, c)
			}
		}
		if !bytes.Contains(data, []byte("alert(1)")) {
			t.Errorf("%s does not show the text at all:\n%s", name, data)
		}
	}
	if bytes.Contains(forms["html"], []byte("<script>")) {
		t.Error("the page has a script")
	}
	var back ferry.Report
	if err := json.Unmarshal(forms["json"], &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(attacked(), back); diff != "" {
		t.Errorf("JSON does not keep the text (-want +got):\n%s", diff)
	}
	rows, err := csv.NewReader(bytes.NewReader(forms["csv"])).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, cell := range rows[2] {
		if strings.HasPrefix(cell, "=") {
			t.Errorf("a spreadsheet would run %q", cell)
		}
	}
}

func TestObserversEscapeToo(t *testing.T) {
	var talk bytes.Buffer
	output, err := report.New(report.Options{Stdout: &talk, Stderr: &talk, Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	a := attacked().Accounts[0]
	for _, ev := range []ferry.Event{
		{Kind: ferry.Started}, {Kind: ferry.Planned, Messages: 3, Bytes: 9}, {Kind: ferry.Held, Text: hostile, Messages: 1},
		{Kind: ferry.Waiting, Text: hostile, Until: time.Now().Add(time.Hour)}, {Kind: ferry.Note, Text: hostile},
		{Kind: ferry.Finished, Result: &a},
	} {
		ev.Account = hostile
		output.Observe(ev)
	}
	for _, c := range talk.String() {
		if c != '\n' && !unicode.IsPrint(c) {
			t.Fatalf("the character %U in:\n%s", c, talk.String())
		}
	}
	if n := strings.Count(talk.String(), "alert(1)"); n < 9 {
		t.Errorf("said %d times only:\n%s", n, talk.String())
	}
}

func TestQuietSpeaksOnlyOfWhatIsNotWell(t *testing.T) {
	well := report.Run(ferry.Report{Accounts: []ferry.AccountReport{{Name: "alice"}}}, 0)
	if out := show(t, well, report.Options{Quiet: true}); len(out) > 0 {
		t.Errorf("said %q", out)
	}
	if out := show(t, report.Run(sample(), time.Hour+125*time.Second), report.Options{Quiet: true}); len(out) == 0 {
		t.Error("said nothing of a failure")
	}
	if out := show(t, report.Status(status()), report.Options{Quiet: true}); len(out) == 0 {
		t.Error("said nothing of a failed run when asked for the status")
	}
	ended := ferry.LastRun{ExitCode: fault.OK}
	wellDone := report.StatusReport{Accounts: []report.StatusAccount{{Name: "alice", LastRun: &ended}}}
	if out := show(t, report.Status(wellDone), report.Options{Quiet: true}); len(out) > 0 {
		t.Errorf("said %q of runs that all went well", out)
	}
	if out := show(t, report.Plans(nil, ferry.Report{}, true), report.Options{Quiet: true}); len(out) > 0 {
		t.Errorf("said %q of a plan in order", out)
	}
	failed := ferry.Report{ExitCode: fault.TLS}
	if out := show(t, report.Plans(nil, failed, false), report.Options{Quiet: true}); len(out) == 0 {
		t.Error("said nothing of a plan that failed")
	}
}

// A warning of a plan is in its table's notes and, for those who get no text, in
// the sheet.
func TestPlanWarnsOnce(t *testing.T) {
	const warning = "mail of alice goes to bob"
	p := plan.Build(plan.Input{Account: "alice", Warnings: []string{warning}})
	r := report.Plans([]plan.Plan{p}, ferry.Report{}, false)
	if text := string(show(t, r, report.Options{})); strings.Count(text, warning) != 1 {
		t.Errorf("not once:\n%s", text)
	}
	if page := string(file(t, r, "r.html")); strings.Count(page, warning) != 1 {
		t.Errorf("not once:\n%s", page)
	}
}

// TestPlanSaysWhenHoursBegin: how long a run takes is half of what a plan has to say while none
// would bring anything.
func TestPlanSaysWhenHoursBegin(t *testing.T) {
	p := plan.Build(plan.Input{Account: "alice", Listing: []plan.Listed{{Number: 1, Size: 1000, UIDL: "a"}}})
	from := time.Date(2026, 11, 28, 1, 0, 0, 0, time.Local)
	for _, e := range []ferry.Estimate{{Seconds: 90, Basis: "by guess"}, {Seconds: 90, Basis: "by guess", NotBefore: from}} {
		r := ferry.Report{Accounts: []ferry.AccountReport{{Name: "alice", Estimate: &e}}}
		text := string(show(t, report.Plans([]plan.Plan{p}, r, false), report.Options{}))
		want := "alice: about 1m30s (by guess)"
		if !e.NotBefore.IsZero() {
			want += "; outside of hours until Sat 28 Nov 01:00"
		}
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%q is not in %s", want, text)
		}
	}
}

// TestPlanParagraphs: a blank line is between the table and how long the run takes, also where the
// first account has nothing to copy.
func TestPlanParagraphs(t *testing.T) {
	listing := []plan.Listed{{Number: 1, Size: 1000, UIDL: "a"}}
	plans := []plan.Plan{plan.Build(plan.Input{Account: "alice"})}
	var r ferry.Report
	for _, name := range []string{"alice", "bob", "carol"} {
		r.Accounts = append(r.Accounts, ferry.AccountReport{Name: name, Estimate: &ferry.Estimate{Seconds: 90, Basis: "by guess"}})
		if name != "alice" {
			plans = append(plans, plan.Build(plan.Input{Account: name, Listing: listing}))
		}
	}
	text := string(show(t, report.Plans(plans, r, false), report.Options{}))
	if !strings.Contains(text, "\n\nbob: about 1m30s (by guess)\ncarol: about 1m30s (by guess)\n") {
		t.Error(text)
	}
}

// A proof of what is delivered says nothing of what may be.
func TestVerifyTellsOfOpenAppends(t *testing.T) {
	for totals, want := range map[ferry.VerifyTotals]string{
		{Delivered: 1613, Found: 1613, Open: 200}: "Proven: the destination has all 1,613 delivered messages. " +
			"It is open whether 200 further messages arrived; popferry run settles that.",
		{Open: 1}: "Nothing was delivered yet, so there is nothing to prove. " +
			"It is open whether 1 further message arrived; popferry run settles that.",
		{Delivered: 2000, Found: 2000, ByHeader: 1200}: "Proven: the destination has all 2,000 delivered messages. " +
			"Of these, 1,200 messages by header and size only, since their UIDLs changed or the journal was lost: " +
			"their text was not compared with what POP3 has.",
		{Delivered: 9, Found: 5, Missing: 4, Unshown: 3}: "4 delivered messages can't be found at the destination, of which 3 " +
			"may be there all the same: the server does not show all that it says it has. " +
			"Its operator can tell what is wrong with those folders.",
		{Delivered: 9, Found: 9, Marked: 3}: "Proven: the destination has all 9 delivered messages. " +
			"Somebody marked 3 messages there as deleted: a mail program that expunges the folder removes that for good.",
		{Delivered: 7, Found: 7, ByMessageID: 6}: "The destination has mail for all 7 delivered messages, but for 6 messages " +
			"by the Message-ID only, as adopt --by message-id took them: neither header nor text was compared with what POP3 has.",
		{Delivered: 32, Found: 31, Dropped: 1}: "Proven: the destination has all 32 delivered messages. " +
			"For 1 message only a twin is there: POP3 has the same octets more than once, and the provider keeps them once.",
		{Delivered: 1, Found: 1}: "Proven: the destination has the only delivered message.",
		{Delivered: 2, Found: 2}: "Proven: the destination has all 2 delivered messages.",
	} {
		r := ferry.VerifyReport{Totals: totals, Accounts: []ferry.VerifyAccount{{Name: "alice", VerifyTotals: totals}}}
		if totals.Open > 0 {
			r.ExitCode = fault.Temporary
		}
		text := string(show(t, report.Verify(r), report.Options{}))
		if !strings.HasSuffix(text, "\n"+want+"\n") {
			t.Errorf("%+v gives\n%s", totals, text)
		}
	}
}

// One message is not all of them.
func TestRunWithNothingNew(t *testing.T) {
	for totals, want := range map[ferry.Totals]string{
		{Listed: 1, Known: 1}:     "Nothing new: the only message was delivered before.",
		{Listed: 2, Known: 2}:     "Nothing new: all 2 messages were delivered before.",
		{Listed: 1, LeftAlone: 1}: "Nothing new: another program fetched the only message before (skip_uidls).",
	} {
		r := ferry.Report{Totals: totals, Accounts: []ferry.AccountReport{{Name: "alice", Totals: totals}}}
		if text := string(show(t, report.Run(r, time.Second), report.Options{})); !strings.HasSuffix(text, "\n"+want+"\n") {
			t.Errorf("%+v gives\n%s", totals, text)
		}
	}
}

// TestStatusThatNeedsAWord: the last pass found nothing new, and a person has to agree.
func TestStatusThatNeedsAWord(t *testing.T) {
	awaits := &ferry.ErrorReport{Code: fault.Held, Message: "5 messages could be deleted", Hint: "run once with --confirm-delete"}
	for result, last := range map[string]ferry.LastRun{"needs your word": {Awaits: awaits},
		"held": {Awaits: awaits, ExitCode: fault.Held, Error: awaits}} {
		r := report.Status(report.StatusReport{Accounts: []report.StatusAccount{{Name: "alice", LastRun: &last}}})
		text := string(show(t, r, report.Options{Quiet: true}))
		for _, want := range []string{"  " + result + "\n", "alice: 5 messages could be deleted\n", "check: run once with --confirm-delete"} {
			if strings.Count(text, want) != 1 {
				t.Errorf("%+v: %q is not there once:\n%s", last, want, text)
			}
		}
	}
	failing := ferry.LastRun{Awaits: awaits, ExitCode: fault.Temporary, Error: &ferry.ErrorReport{Message: "away"}}
	r := report.Status(report.StatusReport{Accounts: []report.StatusAccount{{Name: "alice", LastRun: &failing}}})
	if text := string(show(t, r, report.Options{})); !strings.Contains(text, "temporary\n") || strings.Contains(text, "word") {
		t.Error(text)
	}
}

// TestStatusBeforeAPassEnds: an account of which nothing is known yet is listed all the same,
// once, and not in place of one that has more to tell.
func TestStatusBeforeAPassEnds(t *testing.T) {
	r := status() // alice, and bob, whose first run was killed early
	for _, s := range []journal.Scope{{Account: "alice", DestHost: "another.example.org"}, {Account: "bob"}, {Account: "carol"}} {
		r.Expect(s)
	}
	text := string(show(t, report.Status(r), report.Options{Quiet: true}))
	for line, want := range map[string]int{"\nalice ": 1, "\nbob ": 1, "\ncarol ": 1, "no pass yet": 2} {
		if got := strings.Count(text, line); got != want {
			t.Errorf("%q is there %d times:\n%s", line, got, text)
		}
	}
}

// The first run of an account was killed, or is still at work.
func TestStatusOfAnUnfinishedRun(t *testing.T) {
	killed := report.NewStatusAccount(journal.Status{Scope: journal.Scope{Account: "alice"},
		Counts: map[journal.State]int{journal.Delivered: 1613, journal.Intent: 200}}, nil)
	r := report.Status(report.StatusReport{Accounts: []report.StatusAccount{killed}})
	text := strings.Join(strings.Fields(string(show(t, r, report.Options{Quiet: true}))), " ")
	if !strings.HasSuffix(text, "alice 1,613 0 200 0 not finished -") {
		t.Error(text)
	}
}

// Undo asks no POP3 server, so it has nothing to say of what one lists.
func TestUndoTellsOfWhatItTookBack(t *testing.T) {
	alice := ferry.AccountReport{Name: "alice", Seconds: 2, Totals: ferry.Totals{Deleted: 5},
		Notes: []string{"1 message left alone"}}
	bob := ferry.AccountReport{Name: "bob"}
	r := ferry.Report{Totals: alice.Totals, Accounts: []ferry.AccountReport{alice, bob}}
	golden(t, "undo.txt", show(t, report.Undo(r, 3*time.Second), report.Options{}))
}

// What awaits a word did not fail: all that was to be delivered is.
func TestAwaitingConsentIsNoFailure(t *testing.T) {
	account := ferry.AccountReport{Name: "alice", ExitCode: fault.Held, Error: &ferry.ErrorReport{
		Code: fault.Held, Message: "2 messages could be deleted", Hint: "run once with --confirm-delete"}}
	account.Delivered, account.Bytes = 2, 2000
	failed := ferry.AccountReport{Name: "bob", ExitCode: fault.TLS, Error: &ferry.ErrorReport{Code: fault.TLS}}
	both := ferry.Report{ExitCode: fault.TLS, Accounts: []ferry.AccountReport{account, failed}}
	var talk bytes.Buffer
	output, err := report.New(report.Options{Stdout: &talk, Stderr: &talk})
	if err != nil {
		t.Fatal(err)
	}
	output.Observe(ferry.Event{Kind: ferry.Finished, Account: "alice", Result: &account})
	if err := output.Show(report.Run(both, 0)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"alice: 2 messages delivered, 2.0 kB in 0.0s; 2 messages could be deleted\n",
		"check: run once with --confirm-delete", "1 account did not finish",
	} {
		if !strings.Contains(talk.String(), want) {
			t.Errorf("does not say %q:\n%s", want, talk.String())
		}
	}
}

// On a phone the table is long: each row leads to what explains how it ended.
func TestPageLeadsToReasons(t *testing.T) {
	down := &ferry.ErrorReport{Code: fault.Temporary, Message: "no answer", Hint: "wait"}
	r := ferry.Report{ExitCode: fault.Temporary, Accounts: []ferry.AccountReport{
		{Name: "alice"}, {Name: "bob", ExitCode: fault.Temporary, Error: down},
		{Name: "carol", ExitCode: fault.Held, Totals: ferry.Totals{Held: 1},
			Messages: []ferry.MessageReport{{Number: 7, State: "held", Reason: "too large"}}},
		{Name: "dave", ExitCode: fault.Temporary, Error: down},
	}}
	page := string(file(t, report.Run(r, 0), "r.html"))
	for link, want := range map[string]int{
		`<a href="#error-0">temporary</a>`: 2, `<a href="#message-0">held</a>`: 1, `<a href="#message-0">1</a>`: 1,
		`id="error-0"`: 1, `<strong>bob, dave</strong>`: 1, `id="message-0"`: 1, `id="error-1"`: 0,
		`href="#errors"`: 1, `id="errors"`: 1, `href="#messages"`: 1, `id="messages"`: 1, `"#notes"`: 0,
	} {
		if got := strings.Count(page, link); got != want {
			t.Errorf("%s is there %d times, want %d", link, got, want)
		}
	}
}

func TestReportFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r.json")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	show(t, report.Run(sample(), time.Hour+125*time.Second), report.Options{Files: []string{path}})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	_, err = report.New(report.Options{Files: []string{"report.pdf"}})
	if fault.CodeOf(err) != fault.Usage {
		t.Errorf("a PDF: %v", err)
	}
	_, err = report.New(report.Options{Files: []string{filepath.Join(dir, "nowhere", "r.json")}})
	if fault.CodeOf(err) != fault.State {
		t.Errorf("a folder that is not there, before any work: %v", err)
	}
}

// TestReportFilesAreAllWritten: each in its form, also beside one that can't be.
func TestReportFilesAreAllWritten(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "b.csv"), 0o700); err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, name := range []string{"a.json", "b.csv", "c.html"} {
		files = append(files, filepath.Join(dir, name))
	}
	output, err := report.New(report.Options{Stdout: io.Discard, Stderr: io.Discard, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	if err = output.Show(report.Run(sample(), time.Minute)); fault.CodeOf(err) != fault.State || !strings.Contains(err.Error(), "b.csv") {
		t.Errorf("%v", err)
	}
	for name, begins := range map[string]string{files[0]: "{", files[2]: "<!"} {
		if data, err := os.ReadFile(name); err != nil || !bytes.HasPrefix(data, []byte(begins)) {
			t.Errorf("%s: %v, %.20q", name, err, data)
		}
	}
}

// TestFailedWriteKeepsTheOldFile is what atomic means.
func TestFailedWriteKeepsTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := report.WriteFile(path, func(w io.Writer) error {
		w.Write([]byte("half"))
		return errors.New("no more")
	})
	if fault.CodeOf(err) != fault.State {
		t.Errorf("error %v", err)
	}
	if data, _ := os.ReadFile(path); string(data) != "old" {
		t.Errorf("the file has %q", data)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0s", 400 * time.Millisecond: "0.4s", 9940 * time.Millisecond: "9.9s",
		9960 * time.Millisecond: "10s", 12 * time.Second: "12s", 59700 * time.Millisecond: "1m00s", 3*time.Minute + 5*time.Second: "3m05s",
		59*time.Minute + 59700*time.Millisecond: "1h00m", 2*time.Hour + 14*time.Minute: "2h14m",
	} {
		if got := report.Duration(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

// TestVerdictFitsTheTerminal, as what stands above it does; in a pipe it is one line.
func TestVerdictFitsTheTerminal(t *testing.T) {
	var b bytes.Buffer
	if err := report.Table(&b, 80, report.Verify(verified())); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := len(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	wide := string(show(t, report.Verify(verified()), report.Options{}))
	if last := wide[strings.LastIndex(wide, "\n\n"):]; strings.Join(strings.Fields(b.String()[strings.LastIndex(b.String(), "\n\n"):]), " ") !=
		strings.TrimSpace(last) {
		t.Errorf("%q", last)
	}
}
