package report_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/popferry/popferry/internal/check"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/report"
)

// source and destination are sides that are all right.
func source(user string) check.Source {
	return check.Source{Side: check.Side{Server: "POP3 server pop.oldisp.example:995", Username: user, OK: true, Auth: "PLAIN",
		TLS: &check.TLS{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", Certificate: check.Certificate{
			Names: []string{"pop.oldisp.example"}, Issuer: "CN=Example CA", NotAfter: started.AddDate(0, 2, 0), Days: 61,
			Pin: "sha256:00"}},
		Capabilities: []string{"UIDL", "TOP", "EXPIRE 60", "LOGIN-DELAY 90"}, Missing: []string{"PIPELINING"}, Seconds: 0.25},
		Messages: 1300, Bytes: 43_000_000, Waiting: 1204, WaitingBytes: 41_000_000, Largest: 3_200_000,
		Expire: "60", LoginDelay: 90, Software: "popd"}
}

func destination(user string) check.Destination {
	left, subscribed := int64(2_100_000_000), true
	return check.Destination{Side: check.Side{Server: "IMAP server imap.example.net:993", Username: user, OK: true, Auth: "PLAIN",
		TLS: &check.TLS{Version: "TLS 1.2", Cipher: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Certificate: check.Certificate{
			Names: []string{"imap.example.net"}, Issuer: "CN=Example CA", NotAfter: started.AddDate(0, 0, 1), Days: 1,
			Pin: "sha256:01"}},
		Capabilities: []string{"UIDPLUS", "LITERAL+", "MULTIAPPEND", "SPECIAL-USE", "QUOTA", "APPENDLIMIT 35651584"}, Seconds: 0.5},
		Folder:     &check.Folder{Configured: "INBOX", Mailbox: "INBOX", Exists: true, Messages: 12, Subscribed: &subscribed},
		QuotaBytes: &left, AppendLimit: 35651584, SpecialUse: map[string]string{`\Sent`: "Sent"}}
}

func finding(topic, symptom string) check.Finding {
	return check.Finding{Topic: topic, Symptom: symptom, Cause: "the cause of it", Check: "the first thing to look at"}
}

// checked is a check with one account of every kind.
func checked() check.Report {
	well, warned, failed, lost := check.Account{Name: "alice", Source: source("alice"), Destination: destination("alice")},
		check.Account{Name: "bob", Source: source("bob"), Destination: destination("bob")},
		check.Account{Name: "carol", Source: source("carol"), Destination: destination("carol"), ExitCode: fault.Credentials},
		check.Account{Name: "dave", Source: source("dave"), ExitCode: fault.Temporary}
	no := false
	warned.Warnings = []check.Finding{finding("not-subscribed", "folder Lists/Go is not subscribed")}
	warned.Destination.Folder = &check.Folder{Configured: "Lists/Go", Mailbox: "INBOX.Lists.Go", Exists: true, Subscribed: &no}
	warned.Destination.Routed = []check.Folder{{Configured: `\Archive/{year}`, Mailbox: "Archiv/{year}", Dated: true},
		{Mailbox: "a", Exists: true}, {Mailbox: "b"}, {Mailbox: "c"}, {Mailbox: "d"}}
	warned.Source = check.Source{Side: warned.Source.Side, Expire: "60", LoginDelay: 90}
	warned.Notes = []string{"the maildrop is empty"}
	failed.Source = check.Source{Side: check.Side{Server: "POP3 server pop.oldisp.example:995", Username: "carol",
		Problem: &check.Problem{Code: fault.Credentials, Finding: finding("app-password", `login refused: "=no <b>`+"\x1b[2J")}}}
	failed.Source.Problem.Page = "https://help.oldisp.example/passwords?a=1&b=2"
	failed.Destination.Folder = &check.Folder{Configured: "New", Mailbox: "New"}
	failed.Notes = []string{"folder New is not there; the first run makes it and subscribes to it"}
	lost.Destination = check.Destination{Side: check.Side{Server: "IMAP server imap.example.net:993", Username: "dave",
		Problem: &check.Problem{Code: fault.Temporary, Finding: finding("timeout", "cannot connect")}}}
	return check.Report{Version: check.Version, Started: started, ExitCode: fault.Credentials,
		Accounts: []check.Account{well, warned, failed, lost},
		Totals: check.Totals{Accounts: 4, OK: 2, Failed: 2, Warnings: 1, Messages: 2600, Bytes: 86_000_000, Waiting: 2408,
			WaitingBytes: 82_000_000}}
}

// at80 is a result on a terminal of 80 columns; nothing may be wider.
func at80(t *testing.T, r report.Result) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := report.Table(&b, 80, r); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if utf8.RuneCountInString(strings.TrimRight(line, "\n")) > 80 && !strings.Contains(line, "://") {
			t.Errorf("too wide: %q", line)
		}
	}
	return b.Bytes()
}

func TestCheckForms(t *testing.T) {
	golden(t, "check.txt", at80(t, report.Check(checked(), false)))
	golden(t, "check-verbose.txt", at80(t, report.Check(checked(), true)))
	golden(t, "check.json", show(t, report.Check(checked(), false), report.Options{JSON: true}))
	golden(t, "check.csv", file(t, report.Check(checked(), false), "c.csv"))
	page := file(t, report.Check(checked(), false), "c.html")
	golden(t, "check.html", page)
	for _, bad := range []string{"<b>", "\x1b"} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("%q is in the page", bad)
		}
	}
}

// TestRoutedFolders: where there is room, a row has the folders of routes, and the column is
// there only if an account has some.
func TestRoutedFolders(t *testing.T) {
	for routes, want := range map[bool]string{true: "Archiv/{year}; a; b; 2 more", false: ""} {
		r := checked()
		if !routes {
			r.Accounts[1].Destination.Routed = nil
		}
		var b bytes.Buffer
		if err := report.Table(&b, 200, report.Check(r, false)); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), want) || strings.Contains(b.String(), "ROUTED") != routes {
			t.Errorf("%s", b.String())
		}
	}
}

// TestWhatTheTableHasNoRoomFor is told below it, of each account.
func TestWhatTheTableHasNoRoomFor(t *testing.T) {
	var r check.Report
	few := checked().Accounts
	for i := range 40 {
		a := few[i%2]
		a.Name = fmt.Sprintf("the.same.long.beginning.of.many.names.of.a.large.department-%d", i)
		if i == 7 {
			a.Name, a.Destination.Routed = "lucy", []check.Folder{{Configured: `\Archive`, Mailbox: "Archiv", Exists: true}}
		}
		r.Accounts = append(r.Accounts, a)
	}
	got := strings.ReplaceAll(string(at80(t, report.Check(r, false))), "\n    ", " ")
	below := got[strings.Index(got, "What the table has no room for:"):]
	for _, want := range []string{"\nthe other 20 accounts:\n  size 41 MB, room 2.1 GB, mailbox INBOX\n  no routes\n",
		"-39:\n  size 0 B, room 2.1 GB, mailbox INBOX.Lists.Go\n  route to \\Archive/{year} (Archiv/{year}): created as mail needs it\n",
		"\n  route to d: will be created\n",
		"\nlucy:\n  size 0 B, room 2.1 GB, mailbox INBOX.Lists.Go\n  route to \\Archive (Archiv): exists\n"} {
		if !strings.Contains(below, want) {
			t.Errorf("%q is not in:\n%s", want, below)
		}
	}
	if strings.Contains(below, "beginning.of.many.names.of.a.large.department-0") {
		t.Errorf("the largest group is named:\n%s", below)
	}
	var wide bytes.Buffer
	if err := report.Table(&wide, 400, report.Check(r, false)); err != nil || !strings.Contains(wide.String(), "route to d") {
		t.Errorf("%v, or a folder is nowhere:\n%s", err, wide.String())
	}
}

// TestOneAccount is described without being asked, as somebody's first check is.
func TestOneAccount(t *testing.T) {
	r := checked()
	r.Accounts, r.ExitCode = r.Accounts[:1], fault.OK
	r.Totals = check.Totals{Accounts: 1, OK: 1}
	got := string(at80(t, report.Check(r, false)))
	for _, want := range []string{"alice on POP3 server pop.oldisp.example:995", "folder INBOX: 12 messages",
		"removes mail after 60 days (EXPIRE)", "1m30s between logins", "messages up to 36 MB",
		"certificate for 1 more day,", "Both sides of the account work."} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in:\n%s", want, got)
		}
	}
	// Without an error --quiet is silent, but not about warnings.
	if out := show(t, report.Check(r, false), report.Options{Quiet: true}); len(out) > 0 {
		t.Errorf("said %q", out)
	}
	r.Accounts[0].Warnings, r.Totals.Warnings = []check.Finding{finding("quota", "too small")}, 1
	if out := show(t, report.Check(r, false), report.Options{Quiet: true}); !bytes.Contains(out, []byte("too small")) {
		t.Errorf("said %q", out)
	}
}

// TestUnlisted: of a maildrop that lets in and can't be listed nobody knows that it is empty.
func TestUnlisted(t *testing.T) {
	for problem, want := range map[*check.Problem]bool{
		nil: true, {Code: fault.Refused, Finding: finding("listing-refused", "LIST refused")}: false,
	} {
		r := checked()
		r.Accounts = r.Accounts[1:2]
		r.Accounts[0].Source.Problem, r.Accounts[0].Notes = problem, nil
		var b bytes.Buffer
		if err := report.Table(&b, 200, report.Check(r, true)); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "the maildrop is empty") != want {
			t.Errorf("problem %v:\n%s", problem, &b)
		}
	}
}

// TestExpire: no day at all is not a number of days (RFC 2449 §6.7).
func TestExpire(t *testing.T) {
	for value, want := range map[string]string{"0": "QUIT (EXPIRE 0)", "1": "removes mail after 1 day (EXPIRE)",
		"NEVER": "keeps mail (EXPIRE NEVER)"} {
		r := checked()
		r.Accounts = r.Accounts[:1]
		r.Accounts[0].Source.Capabilities = []string{"EXPIRE " + value}
		var b bytes.Buffer
		if err := report.Table(&b, 0, report.Check(r, false)); err != nil || !strings.Contains(b.String(), want) ||
			strings.Contains(b.String(), "after 0 days") {
			t.Errorf("%v, %q is not in:\n%s", err, want, b.String())
		}
	}
}

// TestWarningsOfTheFile are told as well, by the name that it has.
func TestWarningsOfTheFile(t *testing.T) {
	r := checked()
	r.File = "list.yaml"
	r.Warnings = []check.Finding{finding("unused-limits", "limits.hosts has x")}
	if got := string(at80(t, report.Check(r, false))); !strings.Contains(got, "warning: list.yaml: limits.hosts has x") {
		t.Errorf("%s", got)
	}
}

// TestStoppedCheck blames nobody.
func TestStoppedCheck(t *testing.T) {
	r := checked()
	r.Accounts[3].Destination.Problem.Topic = check.Stopped
	got := string(at80(t, report.Check(r, false)))
	for _, want := range []string{"dave        ok      -  ", "Stopped: 1 of 4 accounts were not looked at. Nothing was written."} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in:\n%s", want, got)
		}
	}
}

// TestSteps: in a log the progress is a line every five seconds, none if all is done
// before, and nothing at all if asked to be quiet.
func TestSteps(t *testing.T) {
	now := started
	for quiet, want := range map[bool]string{false: "05:06:12 checked 5 of 9\n", true: ""} {
		var talk bytes.Buffer
		output, err := report.New(report.Options{Stdout: io.Discard, Stderr: &talk, Quiet: quiet,
			Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			now = started.Add(time.Duration(i) * time.Second)
			output.Step("checked %d of %d", i, 9)
		}
		output.Close()
		if talk.String() != want {
			t.Errorf("said %q, want %q", talk.String(), want)
		}
	}
	now = started
	var drawn bytes.Buffer
	screen := report.NewScreen(&drawn, 80, func() time.Time { return now })
	for i := range 3 {
		now = started.Add(time.Duration(i) * time.Second)
		screen.Step(fmt.Sprintf("checked %d", i))
	}
	screen.Close()
	if got := drawn.String(); !strings.Contains(got, "checked 0") || !strings.Contains(got, "checked 2") {
		t.Errorf("drew %q", got)
	}
}

// TestThreeHundredAccounts are a line each; what they share is said once.
func TestThreeHundredAccounts(t *testing.T) {
	var r check.Report
	few := checked().Accounts
	for i := range 300 {
		a := few[0]
		switch {
		case i%100 == 0:
			a = few[2]
		case i%10 == 0:
			a = few[1]
		}
		a.Name = fmt.Sprintf("firstname.lastname.%d@department.oldisp.example", i)
		r.Accounts = append(r.Accounts, a)
	}
	r.ExitCode, r.Totals = fault.Credentials, check.Totals{Accounts: 300, OK: 297, Failed: 3, Warnings: 27, Messages: 300}
	got := string(at80(t, report.Check(r, false)))
	if n := strings.Count(got, "\n"); n < 300 || n > 390 {
		t.Errorf("%d lines", n)
	}
	for what, want := range map[string]int{
		"firstname.lastname.7@departm…  ok      ok      1,204  41 MB  2.1 GB  ok": 1,
		"the other 270 accounts:\n  mailbox INBOX\n  no routes\n":                 1,
		"route to b: will be created":                                             1, "POP3 server pop.oldisp.example:995 (297 accounts)": 1,
		"IMAP server imap.example.net:993 (300 accounts)": 1, "login refused": 1, "is not subscribed": 1,
		"and 22 more accounts": 2, "the cause of it": 2,
	} {
		if n := strings.Count(strings.ReplaceAll(got, "\n    ", " "), what); n != want {
			t.Errorf("%q is there %d times, want %d", what, n, want)
		}
	}
	if t.Failed() {
		t.Logf("%s", got)
	}
}

func TestTopicForms(t *testing.T) {
	list := at80(t, report.Symptoms(check.Topics()))
	if n := bytes.Count(list, []byte("\n")); n < len(check.Topics()) {
		t.Errorf("%d lines for %d topics", n, len(check.Topics()))
	}
	golden(t, "explain.txt", at80(t, report.Explanation(check.Explain("cannot-send"))))
	if out := show(t, report.Explanation(check.Explain("cannot-send")), report.Options{JSON: true}); !bytes.Contains(out, []byte(`"topic": "cannot-send"`)) {
		t.Errorf("%s", out)
	}
}
