package corpus

import (
	"slices"
	"strings"
)

// Hard gives mail that is hard to carry, about 7 MB of it. Contents differ, by
// [Canonical], except within D4.
func Hard() []Mail {
	return slices.Concat(
		noID(), twoIDs(), sameID(), copies(), oddIDs(), // D1 to D5
		lineFeeds(), carriageReturns(), nuls(), eightBit(), // D6 to D9
		sizes(), longLines(), shapes(), fromLines(), dots(), endings(), // D10 to D16
		dates(), hugeHeaders(), brokenMIME(), lookalikes(), // D17 to D20
		serverFields(),
	)
}

// Row gives those mails of Hard that belong to one row, such as "D4".
func Row(row string) []Mail {
	return slices.DeleteFunc(Hard(), func(m Mail) bool {
		return !strings.HasPrefix(m.Name, row+"/")
	})
}

// noID gives mail without a Message-ID.
func noID() []Mail {
	head := join("Date: Tue, 04 Mar 2014 05:06:00 +0100", "From: cron@example.org",
		"Subject: Cron <root@host> backup", "")
	return []Mail{
		exact("D1/no-message-id", head+"\r\nBackup of Monday\r\n"),
		exact("D1/no-message-id-other-text", head+"\r\nBackup of Friday\r\n"),
		exact("D1/no-message-id-same-length", head+"\r\nBackup of Sunday\r\n"),
		text("D1/subject-alone", "Subject: D1", "", "Nothing but a subject."),
		text("D1/two-days-apart", "Date: Thu, 06 Mar 2014 05:06:00 +0100",
			"From: cron@example.org", "Subject: Cron <root@host> backup", "", "Backup of Monday"),
	}
}

// twoIDs gives mail with several Message-ID fields.
func twoIDs() []Mail {
	return []Mail{
		with("D2/two-ids", "Message-ID: <second@hard.example.org>"),
		with("D2/same-id-twice", "Message-ID: <D2/same-id-twice@hard.example.org>"),
		text("D2/first-empty", "Message-ID:", "Message-ID: <not-empty@hard.example.org>",
			"Subject: first empty", "", "text"),
		text("D2/first-8bit", "Message-ID: <caf\xe9@example.org>",
			"Message-ID: <cafe@hard.example.org>", "Subject: first 8-bit", "", "text"),
		with("D2/ten-ids", strings.Repeat("Message-Id: <n@x.example>\r\n", 9)+"X-Last: 1"),
		with("D2/folded-second", "Message-ID:", " <folded@hard.example.org>"),
	}
}

// sameID gives different mails under one Message-ID.
func sameID() []Mail {
	head := join(standard("D3"), "", "")
	return []Mail{
		exact("D3/same-id-1", head+"the first text\r\n"),
		exact("D3/same-id-2", head+"another text, which is longer\r\n"),
		exact("D3/same-id-same-size", head+"the First text\r\n"),
		exact("D3/same-id-other-header", join(standard("D3"), "X-Other: 1", "", "the first text", "")),
		exact("D3/same-id-footer-added", head+"the first text\r\n-- \r\nlist footer\r\n"),
	}
}

// copies gives mail that is there more than once. The names tell the copies
// apart, the canonical contents do not.
func copies() []Mail {
	one := join(standard("D4"), "", "a mail that is there three times", "")
	two := join("From: b@example.org", "Subject: no id", "", "a copy without Message-ID", "")
	three := join(standard("D4-ends"), "", "a line", "", "the last line", "")
	four := join(standard("D4-nul"), "", "a\x00b", "")
	return []Mail{
		exact("D4/copy-1", one), exact("D4/copy-2", one), exact("D4/copy-3", one),
		exact("D4/no-id-copy-1", two), exact("D4/no-id-copy-2", two),
		exact("D4/ends-crlf", three),
		exact("D4/ends-lf", strings.ReplaceAll(three, "\r\n", "\n")),
		exact("D4/ends-missing", strings.TrimSuffix(three, "\r\n")),
		exact("D4/nul-00", four),
		exact("D4/nul-80", strings.ReplaceAll(four, "\x00", "\x80")),
	}
}

// oddIDs gives Message-IDs that are hard to look for.
func oddIDs() []Mail {
	var mails []Mail
	for _, f := range []struct{ name, field string }{
		{"folded-before", "Message-ID:\r\n <folded-before@hard.example.org>"},
		{"folded-inside", "Message-ID: <folded\r\n inside@hard.example.org>"},
		{"folded-thrice", "Message-ID:\r\n\t<a.b\r\n\t.c\r\n\t.d@hard.example.org>"},
		{"empty", "Message-ID:"},
		{"blank", "Message-ID:   \t "},
		{"brackets-only", "Message-ID: <>"},
		{"blank-in-brackets", "Message-ID: < >"},
		{"latin-1", "Message-ID: <caf\xe9@hard.example.org>"},
		{"utf-8", "Message-ID: <café@hard.example.org>"},
		{"nul", "Message-ID: <a\x00b@hard.example.org>"},
		{"quoted", `Message-ID: <"a b>c\"d"@hard.example.org>`},
		{"quote-not-closed", `Message-ID: <"abc@hard.example.org>`},
		{"2-kB", "Message-ID: <" + strings.Repeat("x", 2000) + "@hard.example.org>"},
		{"900-octets", "Message-ID: <" + strings.Repeat("x", 881) + "@hard.example.org>"},
		{"901-octets", "Message-ID: <" + strings.Repeat("y", 882) + "@hard.example.org>"},
		{"no-brackets", "Message-ID: no-brackets@hard.example.org"},
		{"not-closed", "Message-ID: <not-closed@hard.example.org"},
		{"comment", "Message-ID: <comment@hard.example.org> (added by postmaster@example.net)"},
		{"two-in-one", "Message-ID: <one@hard.example.org> <two@hard.example.org>"},
		{"upper-case", "MESSAGE-ID: <UPPER@HARD.EXAMPLE.ORG>"},
		{"lower-case", "message-id: <UPPER@hard.example.org>"},
		{"blank-before-colon", "Message-ID : <before-colon@hard.example.org>"},
		{"no-blank", "Message-ID:<no-blank@hard.example.org>"},
		{"no-at", "Message-ID: <12345>"},
		{"search-syntax", `Message-ID: <a"b\c{5}%*(d)@hard.example.org>`},
		{"brackets-inside", "Message-ID: <<inside@hard.example.org>>"},
	} {
		mails = append(mails, text("D5/"+f.name, "Date: Tue, 04 Mar 2014 05:06:00 +0100",
			"From: odd@example.org", f.field, "Subject: "+f.name, "", "text of "+f.name))
	}
	return mails
}

// serverFields gives mail with fields that mail stores write themselves.
func serverFields() []Mail {
	return []Mail{
		with("fields/mbox", "Status: RO", "X-Status: AF", "X-UID: 42", "X-Keywords: NonJunk",
			"Content-Length: 7", "Lines: 1"),
		with("fields/x-imap", "X-IMAP: 1234567890 0000000042", "X-IMAPbase: 1 2"),
		with("fields/return-path", "Return-Path: <bounce@example.org>", "X-UIDL: \"!!#$"),
		with("fields/movers", "X-TUID: aBcDeFgHiJkL", "X-OfflineIMAP: 1-2-3",
			"X-GMAIL-LABELS: Inbox,", " Unread"),
		text("fields/mail-system-internal", "Date: 04 Mar 2014 05:06:00 +0100",
			"From: MAILER-DAEMON@example.org", "X-IMAP: 1234567890 0000000042",
			"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA", "",
			"This text is part of the internal format of your mail folder."),
	}
}
