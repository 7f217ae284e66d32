package corpus

import (
	"fmt"
	"strings"
)

// dates gives mail whose date is hard to tell (D17).
func dates() []Mail {
	var mails []Mail
	for _, f := range []struct{ name, fields string }{
		{"missing", ""},
		{"empty", "Date:\r\n"},
		{"invalid", "Date: yesterday, about noon\r\n"},
		{"8-bit", "Date: Di, 4 M\xe4r 2014 05:06:07 +0100\r\n"},
		{"far-future", "Date: Fri, 31 Dec 9999 23:59:59 +0000\r\n"},
		{"future", "Date: Tue, 04 Mar 2098 05:06:07 +0100\r\n"},
		{"1901", "Date: Fri, 13 Dec 1901 20:45:52 +0000\r\n"},
		{"1969", "Date: Wed, 31 Dec 1969 23:59:59 +0000\r\n"},
		{"1970", "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"},
		{"2038", "Date: Tue, 19 Jan 2038 03:14:08 +0000\r\n"},
		{"5-digit-year", "Date: Tue, 04 Mar 20014 05:06:07 +0100\r\n"},
		{"3-digit-year", "Date: Tue, 04 Mar 114 05:06:07 +0100\r\n"},
		{"2-digit-year", "Date: 4 Mar 14 05:06:07 EST\r\n"},
		{"year-0", "Date: Tue, 04 Mar 0000 05:06:07 +0100\r\n"},
		{"31-february", "Date: Mon, 31 Feb 2014 05:06:07 +0100\r\n"},
		{"25-o'clock", "Date: Tue, 04 Mar 2014 25:06:07 +0100\r\n"},
		{"leap-second", "Date: Sat, 31 Dec 2016 23:59:60 +0000\r\n"},
		{"ctime", "Date: Tue Mar  4 05:06:07 2014\r\n"},
		{"iso-8601", "Date: 2014-03-04T05:06:07Z\r\n"},
		{"odd-zone", "Date: Tue, 04 Mar 2014 05:06:07 +9999\r\n"},
		{"no-zone", "Date: Tue, 04 Mar 2014 05:06:07\r\n"},
		{"zone-with-colon", "Date: Tue, 04 Mar 2014 05:06:07 +01:00\r\n"},
		{"comment", "Date: Tue, 4 (a (nested) comment) Mar 2014 05:06:07 +0100 (CET)\r\n"},
		{"folded", "Date: Tue,\r\n 4 Mar 2014\r\n 05:06:07 +0100\r\n"},
		{"wrong-day", "Date: Sun, 04 Mar 2014 05:06:07 +0100\r\n"},
		{"two-dates", "Date: Tue, 04 Mar 2014 05:06:07 +0100\r\n" +
			"Date: Sun, 04 Mar 2012 05:06:07 +0100\r\n"},
		{"1-kB", "Date: " + strings.Repeat("Tue, ", 250) + "04 Mar 2014 05:06:07 +0100\r\n"},
		{"received-only", "Received: by a.example.org; Tue, 04 Mar 2014 05:06:07 +0100\r\n"},
		{"received-invalid", "Received: by a.example.org; some day\r\nDate: 4 Mar 2014 05:06:07 GMT\r\n"},
		{"received-future", "Received: by a.example.org; 4 Mar 2098 05:06:07 +0000\r\n" +
			"Received: by b.example.org; 4 Mar 2014 05:06:07 +0000\r\nDate: 1 Mar 2014 05:06:07 GMT\r\n"},
		{"received-no-semicolon", "Received: by a.example.org 4 Mar 2014 05:06:07 +0000\r\n"},
	} {
		mails = append(mails, header("D17/"+f.name,
			f.fields+join("From: date@example.org", "Subject: "+f.name, "")))
	}
	return mails
}

// brokenMIME gives structures that are a trap for whoever parses them (D19).
func brokenMIME() []Mail {
	nested := func(depth int) string {
		var b strings.Builder
		for i := range depth {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
		}
		return b.String() + "\r\ntext\r\n"
	}
	mime := func(name, kind, rest string) Mail {
		return exact(name, join(standard(name), "MIME-Version: 1.0", "Content-"+kind, "")+rest)
	}
	const (
		mixed   = "Type: multipart/mixed; boundary="
		inner   = "\r\n--b\r\n\r\ntext\r\n"
		encoded = "Transfer-Encoding: "
	)
	long := strings.Repeat("b", 10_000)
	return []Mail{
		mime("D19/nested-1000", "Type: multipart/mixed; boundary=b\r\n\r\n--b", nested(1000)),
		mime("D19/10000-parts", mixed+"b",
			"\r\n"+strings.Repeat("--b\r\n\r\nx\r\n", 10_000)+"--b--\r\n"),
		mime("D19/nested-rfc822", "Type: message/rfc822",
			"\r\n"+strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 500)+"text\r\n"),
		mime("D19/boundary-missing", "Type: multipart/mixed", inner),
		mime("D19/boundary-empty", mixed+`""`, "\r\n--\r\n\r\ntext\r\n----\r\n"),
		mime("D19/boundary-never-used", mixed+"b", "\r\ntext\r\n"),
		mime("D19/not-closed", mixed+"b", inner),
		mime("D19/closed-twice", mixed+"b", "\r\n--b--"+inner+"--b--\r\n"),
		mime("D19/boundary-10-kB", mixed+long, "\r\n--"+long+"\r\n\r\ntext\r\n"),
		mime("D19/same-boundary-nested", mixed+"b",
			"\r\n--b\r\nContent-"+mixed+"b\r\n"+inner+"--b--\r\n"),
		mime("D19/invalid-base64", encoded+"base64", "\r\n!!!not base64!!!\r\n=\r\nAA\r\n"),
		mime("D19/invalid-qp", encoded+"quoted-printable", "\r\n=ZZ =\r\n=4\r\n=\r\n"),
		mime("D19/uuencode", encoded+"x-uuencode", "\r\nbegin 644 f\r\n#86)C\r\n`\r\nend\r\n"),
		mime("D19/broken-type", `Type: ;;;="`, "\r\ntext\r\n"),
		mime("D19/10000-parameters", "Type: text/plain"+strings.Repeat(";\r\n a=b", 10_000),
			"\r\ntext\r\n"),
		mime("D19/yenc", "Type: text/plain",
			"\r\n=ybegin line=128 size=3 name=f\r\n\x8b\x8c\x8d\r\n=yend size=3\r\n"),
	}
}

// lookalikes gives mail that looks like the protocols that carry it (D20).
func lookalikes() []Mail {
	imap := []string{
		"* OK [CAPABILITY IMAP4rev1] ready", "* BYE Logging out", "* 1 EXISTS", "* 1 EXPUNGE",
		"* 1 FETCH (UID 7 BODY[] {10}", ")", "+ go ahead", "+", "A1 OK done", "A0001 NO [TRYCREATE] no",
		"T1 OK [APPENDUID 1 99] APPEND completed", "A1 BAD what", "{5}", "{5+}", "~{5}",
		"{4294967296}", "DONE", "a APPEND INBOX {3}", "* LIST (\\Noselect) \"/\" \"x\"",
		"* FLAGS (\\Seen)", "* STATUS INBOX (UIDNEXT 1)",
	}
	pop := []string{
		"+OK", "+OK 3 messages", "+OK 120 octets", "-ERR", "-ERR [IN-USE] busy", "QUIT", "DELE 1",
		"RETR 1", "1 1234", "1 uidl", "+ ", "AUTH PLAIN", "RSET", "NOOP",
	}
	mails := []Mail{
		body("D20/imap-in-body", join(imap...)+"\r\n"),
		body("D20/pop-in-body", join(pop...)+"\r\n"),
		body("D20/pop-after-dot", "text\r\n.\r\n+OK 2 messages\r\n.\r\n-ERR no\r\n"),
		body("D20/smtp-in-body", join("354 go ahead", ".", "250 2.0.0 Ok", "DATA", "221 Bye", "")),
		body("D20/literal-at-end", "text {10}"),
		body("D20/literal-line-at-end", "text\r\n{10}\r\n"),
		body("D20/bracket-at-end", "text\r\n)"),
		with("D20/in-fields", "Subject: * BYE", "X-Literal: {5}", "X-Ok: +OK", "X-Quote: \"\\"),
		with("D20/in-continuation", "X-Imap: a", " * 1 FETCH (FLAGS ())", "\tA1 OK"),
		with("D20/literal-subject", "Subject: {1000000}"),
		exact("D20/only-terminator", "+OK\r\n.\r\n"),
	}
	first := []string{"+OK first", "-ERR first", "* BYE first", "A1 OK first", "{5}", ")"}
	for i, line := range first {
		name := fmt.Sprintf("D20/first-line-%d", i+1)
		mails = append(mails, exact(name, line+"\r\n"+join(standard(name), "", "text", "")))
	}
	return mails
}
