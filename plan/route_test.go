package plan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/plan"
)

// routed gives the account of account() routes, and finds the folder of a message.
func routed(t *testing.T, routes string) func(header string, date time.Time, size int64) string {
	t.Helper()
	a := parse(t, account("    routes: "+routes)).Accounts[0]
	return func(header string, date time.Time, size int64) string {
		folder, _ := a.Route(plan.Mail{Header: []byte(header), Date: date, Size: size}, today)
		return folder
	}
}

var today = time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)

func TestMatching(t *testing.T) {
	for _, c := range []struct {
		match  string
		yes    []string
		no     []string
		reason string
	}{
		{match: `{from: alice@example.org}`,
			yes: []string{"From: alice@example.org", "FROM: Alice A <ALICE@example.org>", "From : \"x, y\" <alice@example.org>",
				"From: x\r\nFrom: alice@example.org", "From: alice@example.org (Alice)",
				"From:\r\n alice@example.org", "From: bob@example.org, alice@example.org", "From: \"x \\\" y\" <alice@example.org>",
				"From: \"x <alice@example.org>", "From: <@a.example,@b.example:alice@example.org>",
				"From: Us: bob@example.org, Alice <alice@example.org>;", "From: =?utf-8?Q?A=22?= <alice@example.org>",
				"From: \"alice@example.org\" <bob@example.com>, <alice@example.org>"},
			no: []string{"From: malice@example.org", "To: alice@example.org", "From: alice@example.org.net",
				"From: \"alice@example.org\" <bob@example.com>", "From: =?utf-8?Q?alice=40example.org=2C?= <bob@example.com>",
				"From: alice@example.org <bob@example.com>", "From: bob@example.com (alice@example.org)",
				"X: y\r\n\r\nFrom: alice@example.org", "X-From: alice@example.org", "From\r\n: alice@example.org"}},
		{match: `{from: '"alice a"@example.org'}`, yes: []string{"From: Alice <\"Alice A\"@example.org>"},
			no: []string{"From: \"Alice A\" <bob@example.org>"}},
		{match: `{from: "*@lists.*.org"}`, yes: []string{"From: Go <a@lists.x.org>"}, no: []string{"From: a@lists.org"}},
		{match: `{list-id: golang-nuts.googlegroups.com}`,
			yes: []string{"List-ID: Go nuts <golang-nuts.googlegroups.com>", "List-Id: golang-nuts.googlegroups.com"},
			no:  []string{"List-Id: <x.golang-nuts.googlegroups.com>"}},
		{match: `{to: "al?ce@example.org"}`,
			yes: []string{"To: älice@example.org, alice@example.org", "Cc: <alice@example.org>", "Delivered-To: alice@example.org",
				"X-Original-To: alice@example.org", "Envelope-To: alxce@example.org"},
			no: []string{"Bcc: alice@example.org", "To: alce@example.org"}},
		{match: `{subject: "*grüße*"}`,
			yes: []string{"Subject: Viele GRÜSSE und Grüße!", "Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=",
				"Subject: =?iso-8859-1?q?Viele_Gr=FC=DFe?=", "Subject: =?windows-1252?B?R3L832U=?= =?us-ascii?q?_x?="},
			no: []string{"Subject: Gruesse", "Subject: =?x-unknown?q?Gr=FC=DFe?="}},
		{match: `{subject: "*grüße*"}`, yes: []string{"Subject: =?x-unknown?q?Gr=FC=DFe?= =?utf-8?q?Gr=C3=BC=C3=9Fe?=",
			"Subject: =?iso-8859-1*de?Q?Gr=FC=DFe?=", "Subject: =?utf-8*de-CH?B?R3LDvMOfZSE?=", "Subject: =?utf-8?b?R3I=?=\r\n =?utf-8?b?w7zDn2U?=",
			"Subject: =?utf-8?Q?Viele Gr=C3=BC=C3=9Fe?=", "Subject: =?utf-8?q?Gr=C3?= =?utf-8?q?=BC=C3=9Fe?=", "Subject: a=?utf-8?q?Gr=C3=BC=C3=9Fe?="},
			no: []string{"Subject: =?utf-8?q?Gr=C3=BC?= =?x-unknown?q?a?= =?utf-8?q?=C3=9Fe?="}},
		{match: `{subject: "a b c"}`, yes: []string{"Subject: a =?utf-8?q?b?= c"}},
		{match: `{subject: "*=?x-unknown?q?gr=fc=dfe?=*"}`, yes: []string{"Subject: =?x-unknown?Q?Gr=FC=DFe?="}},
		{match: `{subject: "a b*"}`, yes: []string{"Subject:   A\t\r\n  B c"}, no: []string{"Subject: ab"}},
		{match: `{header: {X-Spam-Flag: "YES"}}`, yes: []string{"x-spam-flag: Yes", "X-Spam-Flag: no\nX-Spam-Flag: yes\n"},
			no: []string{"X-Spam-Flag: yes, really", "Subject: yes"}},
		{match: `{header: {X-A: "*", X-B: "?"}}`, yes: []string{"X-A:\r\nX-B: 1"}, no: []string{"X-A: 1", "X-A: 1\r\nX-B: 12"}},
		{match: `{own: true}`, yes: []string{"From: Alice <alice@example.org>", "From: alice@EXAMPLE.net", "From: alice@pop.example.org"},
			no: []string{"From: \"alice@example.org\" <bob@example.com>", "From: alice@org", "From: bob@example.org", "From: alice@xample.org", "To: alice@example.org", "From: alice"}},
		{match: `{subject: "` + strings.Repeat("*a", 100) + `b"}`, no: []string{"Subject: " + strings.Repeat("a", 1<<20)}},
	} {
		find := routed(t, "[{match: "+c.match+", folder: Yes}]")
		for _, header := range c.yes {
			if find(header+"\r\n\r\n", today, 1) != "Yes" {
				t.Errorf("%.80s does not match %.80q", c.match, header)
			}
		}
		for _, header := range c.no {
			if find(header+"\r\n\r\n", today, 1) != "INBOX" {
				t.Errorf("%.80s matches %.80q", c.match, header)
			}
		}
	}
}

// TestFirstRouteWins, and every key of a match has to hold.
func TestFirstRouteWins(t *testing.T) {
	find := routed(t, `
      - {match: {from: "*@example.org", subject: "*invoice*", larger_than: 10kB}, folder: Large invoices}
      - {match: {from: "*@example.org", subject: "*invoice*"}, folder: Invoices}
      - {match: {from: "*@example.org"}, folder: Example}
      - {match: {older_than: 365d}, folder: "Archive/{year}/{month}"}`)
	day := func(y int, m time.Month, d int) time.Time {
		return time.Date(y, m, d, 23, 30, 0, 0, time.FixedZone("", -3600))
	}
	for _, c := range []struct {
		header string
		date   time.Time
		size   int64
		want   string
	}{
		{"From: a@example.org\nSubject: your invoice\n", today, 10_001, "Large invoices"},
		{"From: a@example.org\nSubject: your invoice\n", today, 10_000, "Invoices"},
		{"From: a@example.org\nSubject: hello\n", day(2001, 2, 3), 10_001, "Example"},
		{"From: b@example.net\n", day(2001, 12, 31), 1, "Archive/2002/01"},
		{"From: b@example.net\n", day(2025, 3, 31), 1, "Archive/2025/04"},
		{"From: b@example.net\n", day(2025, 4, 3), 1, "INBOX"},
		{"From: b@example.net\n", time.Time{}, 1, "INBOX"},
		{"", time.Time{}, 0, "INBOX"},
	} {
		if got := find(c.header, c.date, c.size); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestUndatedMailIsOfToday(t *testing.T) {
	find := routed(t, `[{match: {subject: "*"}, folder: '\archive/{year}-{month}'}]`)
	if got := find("Subject: x\n\n", time.Time{}, 1); got != `\Archive/2026-04` {
		t.Error(got)
	}
}

// TestHashHasRoutes: another order is another configuration, another layout is not.
func TestHashHasRoutes(t *testing.T) {
	hash := func(routes string) string { return parse(t, account(routes)).Accounts[0].Hash() }
	one := hash(`    routes: [{match: {from: "A*", own: true}, folder: X}, {match: {from: b}, folder: Y}]`)
	if one != hash("    routes:\n      - folder: X\n        match: {own: true, from: a*}\n      - {match: {from: b}, folder: Y}") {
		t.Error("layout counts")
	}
	for _, other := range []string{"", `    routes: [{match: {from: b}, folder: Y}, {match: {from: "a*", own: true}, folder: X}]`,
		`    routes: [{match: {from: "a*"}, folder: X}, {match: {from: b}, folder: Y}]`,
		`    routes: [{match: {subject: "a*", own: true}, folder: X}, {match: {from: b}, folder: Y}]`,
		`    routes: [{match: {from: "a*", own: true}, folder: X}, {match: {from: b}, folder: Z}]`} {
		if hash(other) == one {
			t.Errorf("%s does not count", other)
		}
	}
}

func FuzzRoute(f *testing.F) {
	f.Add("From: =?utf-8?q?a?= <a@example.org>\r\n b\r\n\r\n", "*a?")
	f.Add("From:<<>>\n", "*")
	a := plan.Account{Folder: "INBOX"}
	f.Fuzz(func(t *testing.T, header, pattern string) {
		a.Routes = nil
		for _, key := range []string{"from", "to", "subject", "list-id", "header.x"} {
			a.Routes = append(a.Routes, plan.Route{Folder: "A",
				Match: plan.Criteria{Fields: []plan.FieldMatch{{Key: key, Pattern: pattern}}}})
		}
		a.Route(plan.Mail{Header: []byte(header)}, today)
	})
}

// TestOwnByMasterLogin: where an administrator logs in, the account's mail is that of whose
// mailbox it is.
func TestOwnByMasterLogin(t *testing.T) {
	a := parse(t, strings.ReplaceAll(account("    routes: [{match: {own: true}, folder: Yes}]"), "username: alice", `username: "bob*admin"`)).Accounts[0]
	for from, want := range map[string]string{"bob@example.org": "Yes", "admin@example.org": "INBOX"} {
		if folder, _ := a.Route(plan.Mail{Header: []byte("From: " + from + "\r\n\r\n"), Date: today, Size: 1}, today); folder != want {
			t.Errorf("%s goes to %s", from, folder)
		}
	}
}
