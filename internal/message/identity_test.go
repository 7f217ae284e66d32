package message_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/message"
)

const (
	plain  = "Message-ID: <a@example.org>\r\nSubject: x\r\n\r\ntext\r\n"
	noID   = "From: a@example.org\r\nSubject: x\r\n\r\ntext\r\n"
	noEnd  = "Message-ID: <a@example.org>\r\nSubject: x\r\n"
	folded = "Message-ID: <a@example.org>\r\nSubject: x\r\n y\r\n\r\ntext\r\n"
)

// TestSame says of pairs whether they are the same mail, and by what.
func TestSame(t *testing.T) {
	const content, header, not = "content digest", "header and body digest", ""
	status := "Status: RO\r\nX-UID: 7\r\n more\r\n"
	long := strings.Repeat("n", 1025)
	cr := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\r") }
	for _, c := range []struct{ name, a, b, want string }{
		{"equal", plain, plain, content},
		{"bare LF", plain, strings.ReplaceAll(plain, "\r\n", "\n"), content},
		{"no final CRLF", plain, strings.TrimSuffix(plain, "\r\n"), content},
		{"NUL", plain + "\x00", plain + "\x80", content},
		{"NUL in the header", "A\x00" + plain, "A\x80" + plain, content},
		{"empty", "", "", content},

		{"added fields", plain, status + plain, header},
		{"added fields, other case", plain,
			"STATUS: O\r\nx-gmail-thread: 1\r\nLines: 5\r\n" + plain, header},
		{"every field of servers", plain, "Content-Length: 1\r\nReturn-Path: <>\r\nX-IMAP: 1\r\n" +
			"X-IMAPbase: 1\r\nX-Keywords: a\r\nX-Message-Flag: b\r\nX-Status: c\r\nX-UIDL: d\r\n" +
			"X-Yahoo-Newman-Property: e\r\nX-TUID: f\r\nX-OfflineIMAP: g\r\n" + plain, header},
		{"added field with a blank", plain, "Status : RO\r\n" + plain, header},
		{"dropped line without a colon", plain, "no colon\r\n" + plain, header},
		{"dropped name with a blank", plain, "A Name: x\r\n" + plain, header},
		{"dropped 8-bit name", plain, "N\xe4me: x\r\n folded\r\n" + plain, header},
		{"dropped empty name", plain, ": x\r\n" + plain, header},
		{"dropped endless name", plain, long + ": x\r\n" + plain, header},
		{"dropped From line", plain, "From a@example.org Tue Mar  4 05:06:07 2014\r\n" + plain, header},
		{"dropped first fold", plain, " x\r\n" + plain, header},
		{"dropped blank fold", folded, strings.Replace(folded, "\r\n y", "\r\n \t\r\n y", 1), header},
		{"dropped CR of CR CR LF", plain, strings.Replace(plain, "\r\n\r\n", "\r\n\r\r\n", 1), header},

		{"nothing and an empty line", "", "\r\n", not},
		{"nothing and fields of servers", "", "Status: RO\r\n", not},
		{"other text", plain, plain + "x\r\n", not},
		{"other field", plain, "X-Other: x\r\n" + plain, not},
		{"other order", plain, "Subject: x\r\nMessage-ID: <a@example.org>\r\n\r\ntext\r\n", not},
		{"other value", plain, strings.Replace(plain, "x", "y", 1), not},
		{"other fold", folded, strings.Replace(folded, " y", " z", 1), not},
		{"unfolded", folded, strings.Replace(folded, "\r\n y", " y", 1), not},
		{"name of 1,023 octets", plain, long[:1023] + ": x\r\n" + plain, not},
		{"blanks over 1,024", folded,
			strings.Replace(folded, "\r\n y", "\r\n"+strings.Repeat(" ", 1025)+"\r\n y", 1), not},
		{"a name like Status", plain, "Statuses: x\r\n" + plain, not},
		{"a long name that begins like one", plain,
			"X-Yahoo-Newman-Property-And-Much-More: x\r\n" + plain, not},
		{"body becomes header", "A: b\r\n\r\nc: d\r\n", "A: b\r\nc: d\r\n", not},

		{"texts without a header", "a first text\r\n", "a second text\r\n", not},
		{"paragraphs without a header", "a first\r\n\r\ntext\r\n", "a second\r\n\r\ntext\r\n", not},
		{"texts after a header without end", noEnd + "the text\r\n", noEnd + "other text\r\n", not},
		{"CRs for line ends", cr("Return-Path: <a@example.org>\r\n" + plain),
			cr("Return-Path: <a@example.org>\r\n" + plain + "x"), not},
		{"CRs for line ends, on", "X-A: b\r\n" + cr(status+plain) + "\r\n\r\nfooter\r\n",
			"X-A: b\r\n" + cr(status+plain+"x") + "\r\n\r\nfooter\r\n", not},
		{"CRs for line ends, long", "Lines: " + long + "\ra", "Lines: " + long + "\rb", not},
		{"CRs behind an added field", plain, "Status: RO\r\r\r\n" + plain, header},
		{"CR in an added field, other field", "Status: R\rO\r\n" + plain, "Status: RO\r\n" + plain, header},
		{"CR in an only field", "Status: R\rO\r\n", "Status: R\rX\r\n", not},
		{"garbage, no Message-ID", "first\r\n" + noID, "other\r\n" + noID, not},
		{"garbage or none, no Message-ID", "first\r\n" + noID, noID, not},
		{"added fields, no Message-ID", noID, status + noID, header},
		{"added fields, no header", "\r\ntext\r\n", status + "\r\ntext\r\n", header},
		{"added empty line", noEnd, noEnd + "\r\n", header},
	} {
		a, b := summarize(t, c.a), summarize(t, c.b)
		for range 2 {
			if how, ok := a.Same(b); how != c.want || ok != (c.want != not) {
				t.Errorf("%s: %q %v, want %q", c.name, how, ok, c.want)
			}
			a, b = b, a
		}
	}
}

// TestLinesAtTheLimit cuts lines that are about as long as is looked at, at every
// place: a field before them that does not count moves them over the end of what
// is read at once.
func TestLinesAtTheLimit(t *testing.T) {
	const chunk, limit = 16 << 10, 1 << 10
	for n := limit - 3; n <= limit+3; n++ {
		for _, line := range []string{
			strings.Repeat("n", n-1) + ":", strings.Repeat("c", n), strings.Repeat(" ", n),
			strings.Repeat("\r", n),
		} {
			raw := plain[:len(plain)-len("\r\ntext\r\n")] + line + "\r\nLast: x\r\n\r\ntext\r\n"
			want, start := summarize(t, raw).Header, strings.Index(raw, line)
			for cut := limit - 4; cut <= limit+6; cut++ {
				pad := strings.Repeat("p", chunk-cut-start-len("Status: \r\n"))
				if got := summarize(t, "Status: "+pad+"\r\n"+raw).Header; got != want {
					t.Errorf("%d of %.3q cut after %d: %s, want %s", n, line, cut, got.Short(), want.Short())
				}
			}
		}
	}
}

// TestCRBetweenPieces has a CR of a field that does not count at the end of what is read at
// once.
func TestCRBetweenPieces(t *testing.T) {
	const chunk = 16 << 10
	text := func(n int, end string) string { return "Lines: " + strings.Repeat("1", n) + "\r" + end }
	want := summarize(t, text(1, "Subject: x\r")).Header
	for n := chunk - len("Lines: ") - 3; n < chunk; n++ {
		if got := summarize(t, text(n, "Subject: x\r")).Header; got != want {
			t.Errorf("%d octets before the CR: %s, want %s", n, got.Short(), want.Short())
		}
	}
}

// TestSameOfHeaders holds that a header alone proves nothing, and that nothing
// at all proves nothing.
func TestSameOfHeaders(t *testing.T) {
	head, err := message.SummarizeHeader(strings.NewReader(plain), now)
	if err != nil {
		t.Fatal(err)
	}
	full, none := summarize(t, plain), message.Summary{}
	for _, c := range [][2]message.Summary{
		{head, head}, {head, full}, {full, head}, {none, none}, {none, full},
	} {
		if how, ok := c[0].Same(c[1]); ok {
			t.Errorf("the same by %s", how)
		}
	}
}

// TestNoTwoHardMailsAreTheSame compares each with each: what is not a copy must
// not count as one, or it would be lost.
func TestNoTwoHardMailsAreTheSame(t *testing.T) {
	hard := corpus.Hard()
	sums, contents := make([]message.Summary, len(hard)), make([]message.Digest, len(hard))
	for i, m := range hard {
		sums[i] = summarize(t, string(m.Raw))
		contents[i] = sha256.Sum256(corpus.Canonical(m.Raw))
	}
	emptyBodies := map[string]bool{
		"D12/empty": true, "D12/crlf": true, "D12/crlf-crlf": true, "D12/cr": true,
	}
	for i := range hard {
		for j := range i {
			how, ok := sums[i].Same(sums[j])
			copies := contents[i] == contents[j]
			if ok != copies && !(emptyBodies[hard[i].Name] && emptyBodies[hard[j].Name]) {
				t.Errorf("%s and %s: the same %v by %q", hard[i].Name, hard[j].Name, ok, how)
			}
		}
	}
}

// TestHeaderAlone holds that TOP tells the same of a header as the whole message.
func TestHeaderAlone(t *testing.T) {
	for _, mail := range mails() {
		canonical := corpus.Canonical(mail.Raw)
		head, _, found := bytes.Cut(canonical, []byte("\r\n\r\n"))
		if !found || bytes.HasPrefix(canonical, []byte("\r\n")) {
			continue
		}
		got, err := message.SummarizeHeader(strings.NewReader(string(head)+"\r\n\r\n"), now)
		if err != nil {
			t.Fatal(err)
		}
		full := summarize(t, string(mail.Raw))
		want := message.Summary{
			Header: full.Header, Loose: full.Loose, MessageID: full.MessageID, Date: full.Date,
			DateFrom: full.DateFrom, HasNUL: got.HasNUL, Has8BitHeader: got.Has8BitHeader,
		}
		if got != want {
			t.Errorf("%s: %+v, want %+v", mail.Name, got, want)
		}
		if got.HasNUL || !full.HasNUL && got.Has8BitHeader != full.Has8BitHeader {
			t.Errorf("%s: %+v, want the flags of %+v", mail.Name, got, full)
		}
	}
}

func TestLoose(t *testing.T) {
	base := "Message-ID: <a@example.org>\r\nDate: 4 Mar 2014 05:06:07 +0100\r\n" +
		"From: A <a@example.org>\r\nSubject: one two\r\n"
	want := summarize(t, base+"\r\ntext\r\n").Loose
	crs := strings.NewReplacer("@", "\r@", "4 M", "4 \rM", "A <", "\rA <", "one", "o\r\rne", "two", "two\r")
	for name, raw := range map[string]string{
		"CRs amid lines":  crs.Replace(base) + "\r\n",
		"other fields":    "Received: x\r\n" + base + "X-Other: y\r\n\r\nother text\r\n",
		"folded":          strings.Replace(base, "one two", "one\r\n \t two", 1) + "\r\n",
		"white space":     strings.Replace(base, "Subject: one two", "SUBJECT:one  two ", 1) + "\r\n",
		"repeated fields": base + "Subject: second\r\nFrom: second\r\nDate: second\r\n\r\n",
	} {
		if got := summarize(t, raw).Loose; got != want || got.IsZero() {
			t.Errorf("%s: %s, want %s", name, got.Short(), want.Short())
		}
	}
	for name, raw := range map[string]string{
		"other id":      strings.Replace(base, "<a@", "<b@", 1),
		"other date":    strings.Replace(base, "2014", "2015", 1),
		"other sender":  strings.Replace(base, "A <", "B <", 1),
		"other subject": strings.Replace(base, "two", "three", 1),
		"moved":         strings.Replace(base, "From: A <a@example.org>\r\nSubject:", "From:", 1),
	} {
		if got := summarize(t, raw+"\r\n").Loose; got == want || got.IsZero() {
			t.Errorf("%s: %s", name, got.Short())
		}
	}
	for _, raw := range []string{
		"", "X-Other: y\r\n\r\ntext\r\n", "Subject:\r\nFrom: \r\nMessage-ID: <>\r\n\r\n",
	} {
		if got := summarize(t, raw).Loose; !got.IsZero() {
			t.Errorf("%q: %s, want none", raw, got.Short())
		}
	}
}

// TestMessageID walks the row of odd Message-IDs.
func TestMessageID(t *testing.T) {
	want := map[string]string{
		"folded-before": "<folded-before@hard.example.org>",
		"folded-inside": "<folded inside@hard.example.org>",
		"folded-thrice": "<a.b .c .d@hard.example.org>",
		"empty":         "", "blank": "", "brackets-only": "", "blank-in-brackets": "",
		"latin-1": "", "utf-8": "", "nul": "", "2-kB": "", "901-octets": "",
		"900-octets": "<" + strings.Repeat("x", 881) + "@hard.example.org>",
		"quoted":     `<"a b>c\"d"@hard.example.org>`, "quote-not-closed": `<"abc@hard.example.org>`,
		"no-brackets": "<no-brackets@hard.example.org>", "not-closed": "<not-closed@hard.example.org>",
		"comment": "<comment@hard.example.org>", "two-in-one": "<one@hard.example.org>",
		"upper-case": "<UPPER@HARD.EXAMPLE.ORG>", "lower-case": "<UPPER@hard.example.org>",
		"blank-before-colon": "<before-colon@hard.example.org>",
		"no-blank":           "<no-blank@hard.example.org>",
		"no-at":              "<12345>", "search-syntax": `<a"b\c{5}%*(d)@hard.example.org>`,
		"brackets-inside": "<<inside@hard.example.org>",
	}
	for _, mail := range corpus.Row("D5") {
		id, known := want[strings.TrimPrefix(mail.Name, "D5/")]
		if got := summarize(t, string(mail.Raw)).MessageID; got != id || !known {
			t.Errorf("%s: %q, want %q", mail.Name, got, id)
		}
	}
	several := map[string]string{
		"D2/two-ids": "<D2/two-ids@hard.example.org>", "D2/first-empty": "<not-empty@hard.example.org>",
		"D2/first-8bit": "<cafe@hard.example.org>",
	}
	for _, mail := range corpus.Row("D2") {
		if id := several[mail.Name]; id != "" && summarize(t, string(mail.Raw)).MessageID != id {
			t.Errorf("%s: not %q", mail.Name, id)
		}
	}
	inBody := "Subject: x\r\n\r\nMessage-ID: <body@example.org>\r\n"
	if got := summarize(t, inBody).MessageID; got != "" {
		t.Errorf("%q is from the body", got)
	}
}

// TestDate walks the row of odd dates.
func TestDate(t *testing.T) {
	usual := time.Date(2014, 3, 4, 4, 6, 7, 0, time.UTC)
	utc := usual.Add(time.Hour)
	want := map[string]time.Time{
		"1970":         time.Unix(0, 0),
		"2-digit-year": usual.Add(6 * time.Hour), "3-digit-year": usual, "ctime": utc, "no-zone": utc,
		"leap-second":     time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC),
		"zone-with-colon": usual, "comment": usual, "folded": usual, "two-dates": usual,
		"wrong-day":     time.Date(2014, 3, 4, 4, 6, 7, 0, time.UTC),
		"received-only": usual, "received-invalid": utc, "received-future": utc,
	}
	for _, mail := range corpus.Row("D17") {
		name := strings.TrimPrefix(mail.Name, "D17/")
		s, date := summarize(t, string(mail.Raw)), want[name]
		if !s.Date.Equal(date) {
			t.Errorf("%s: %v, want %v", name, s.Date, date)
		}
		from := "date"
		if name == "received-only" || name == "received-future" {
			from = "received"
		}
		if date.IsZero() {
			from = ""
		}
		if s.DateFrom != from {
			t.Errorf("%s: from %q, want %q", name, s.DateFrom, from)
		}
	}
}

// TestDateForms reads dates as programs of all times have written them.
func TestDateForms(t *testing.T) {
	want := time.Date(2014, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, date := range []string{
		"Tue, 04 Mar 2014 05:06:07 +0000", "4 March 2014 05:06:07 GMT", "TUE,4 MAR 2014 05:06:07 UT",
		"Tue, 04 Mar 2014 06:06:07 +0100 (CET)", "Tue, 04 Mar 2014 00:06:07 -0500",
		"4 Mar 14 00:06:07 EST",
		"4 Mar 2014 01:06:07 EDT", "4 Mar 2014 00:06:07 CDT", "3 Mar 2014 23:06:07 CST",
		"3 Mar 2014 23:06:07 MDT", "3 Mar 2014 22:06:07 MST", "3 Mar 2014 22:06:07 PDT",
		"3 Mar 2014 21:06:07 PST", "Tue, 04-Mar-2014 05:06:07 GMT", "Tue, 04 Mar 2014 06:06:07+0100",
		"Tue Mar  4 05:06:07 UTC 2014", "Tue, 04 Mar 2014 06:06:07 +0100 MEZ",
		"Tue, 4 Mar 2014 5:6:7 -0000",
		"Tue, 04 Mar 2014 06(comment):   06  :  07 +0100", "Tue Mar 4 05 :06: 07 UTC 2014", // RFC 5322 Appendix A.5
		"Tue, 04\rMar\r2014\r\r05:06:07\r+0000",
		"4 Mar 2014 5:06:07 AM", "3 Mar 2014 05:06:07 pm -1200", "4 Mar 2014 12:06:07 AM -0500", "4 Mar 2014 12:06:07 PM +0700",
		"4 Mar 2014 17:06:07 PM +1200", "March 3, 2014 at 9:06:07 PM PST", "Tue Mar 4 2014 06:06:07 GMT+0100 (CET)",
		"Tue, 04 Mar 2014 00:06:07 GMT-05:00", "4 Mar 2014 06:06:07  UTC+1", "4 Mar 2014 06:06:07 GMT +0100",
		"3 Mar 14 23:06:07 -600", "4 Mar 2014 13:06:07 0800", "Tue Mar 4 13:06:07 2014 0800",
	} {
		if got := summarize(t, "Date: "+date+"\r\n\r\n").Date; got != want {
			t.Errorf("%s: %v", date, got)
		}
	}
	for _, date := range []string{
		"4 Mar 2014", "Mar 2014 05:06", "04 Mar 2014 05", "4 Mar 2014 05:06:07:08", "0 Mar 2014 05:06:07",
		"32 Mar 2014 05:06:07", "29 Feb 2014 05:06:07", "4 Mar 2014 05:60:07", "4 Mar 2014 05:06:61",
		"4 Foo 2014 05:06:07", "4 4 Mar 2014 05:06:07", "4 Mar 2014 05:06:07 +2400", "4 Mar 2014 :06:07",
		"4 Mar 2014 05:06:07 +0100 +0200", "4 Mar 2014 05:06:07 05:06:07",
		"2014 Mar 4 05:06:07", "+", "::", "4 Mar 2014 05:06:07 2014", "4 Mar 2014 05:06:07 0800 0800",
	} {
		if got := summarize(t, "Date: "+date+"\r\n\r\n").Date; !got.IsZero() {
			t.Errorf("%s: %v, want none", date, got)
		}
	}
}

// TestReceivedDate: comments and quoted strings may hold semicolons, brackets, and what
// looks like another date; brackets that do not match harm nothing.
func TestReceivedDate(t *testing.T) {
	want := time.Date(2014, 3, 4, 4, 6, 7, 0, time.UTC)
	const date = "Tue, 4 Mar 2014 05:06:07 +0100"
	for _, value := range []string{
		"by x; " + date, "by x (a; b); " + date, "by x; " + date + " (CET; x)", "by x; " + date + " (CET (x; y); z)",
		`by x; ` + date + ` (CET\); x)`, `by x; ` + date + ` (\(; x)`, `by x for "a;b\"(;"@x; ` + date,
		"by x; " + date + " (; 5 Mar 2014 05:06:07 +0100)", "by x (; " + date, "by x); " + date, `by "x; ` + date,
		"by x; " + date + " (CET; x",
	} {
		if got := summarize(t, "Received: "+value+"\r\n\r\n").Date; got != want {
			t.Errorf("%s: %v", value, got)
		}
	}
	for _, value := range []string{date, "by x (; " + date + ")" + " no date", `by x "; ` + date + `" x`} {
		if got := summarize(t, "Received: "+value+"\r\n\r\n").Date; !got.IsZero() {
			t.Errorf("%s: %v, want none", value, got)
		}
	}
}

// TestDateRange tries the bounds: from 1970 to a day ahead.
func TestDateRange(t *testing.T) {
	for ahead, want := range map[time.Duration]bool{
		24 * time.Hour: true, 24*time.Hour + time.Second: false, -now.Sub(time.Unix(0, 0)): true,
		-now.Sub(time.Unix(-1, 0)): false,
	} {
		date := now.Add(ahead)
		for _, field := range []string{"Date: ", "Received: x; "} {
			got := summarize(t, field+date.Format(time.RFC1123Z)+"\r\n\r\n").Date
			if got.IsZero() == want || want && got != date {
				t.Errorf("%s%v: %v", field, date, got)
			}
		}
	}
}

func TestFlags(t *testing.T) {
	for raw, want := range map[string][2]bool{
		plain: {}, plain + "\x00": {true, false}, "\x00" + plain: {true, false},
		"Subject: \xe9\r\n\r\n": {false, true}, "Subject: x\r\n\r\n\xe9": {}, "\xe9": {false, true},
		"Subject: 12345678\xe9\x00\r\n": {true, true},
	} {
		s := summarize(t, raw)
		if got := [2]bool{s.HasNUL, s.Has8BitHeader}; got != want {
			t.Errorf("%.30q: %v, want %v", raw, got, want)
		}
	}
}

func TestDigestText(t *testing.T) {
	d := summarize(t, plain).Content
	parsed, err := message.ParseDigest(d.String())
	if err != nil || parsed != d || d.IsZero() {
		t.Errorf("%v: %v", parsed, err)
	}
	if len(d.Short()) != 12 || !strings.HasPrefix(d.String(), d.Short()) {
		t.Errorf("short form %s of %s", d.Short(), d)
	}
	for _, bad := range []string{"", "ab", strings.Repeat("g", 64), d.String() + "00"} {
		if _, err := message.ParseDigest(bad); err == nil {
			t.Errorf("ParseDigest(%q) succeeds", bad)
		}
	}
	for _, d := range []message.Digest{d, {}} {
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		back := message.Digest{1}
		if err := json.Unmarshal(text, &back); err != nil || back != d {
			t.Errorf("%s came back as %s: %v", text, back, err)
		}
	}
	var back message.Digest
	if err := json.Unmarshal([]byte(`"xyz"`), &back); err == nil {
		t.Error("an invalid digest is accepted")
	}
}
