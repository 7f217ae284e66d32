package corpus

import "strings"

// lineFeeds gives mail with bare LF (D6).
func lineFeeds() []Mail {
	lf := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }
	h := func(name string) string { return join(standard(name), "") }
	return []Mail{
		exact("D6/all-lf", lf(h("D6/all-lf"))+"\nline\nline\n\nlast\n"),
		exact("D6/header-lf", lf(h("D6/header-lf"))+"\r\nline\r\n"),
		exact("D6/empty-line-lf", h("D6/empty-line-lf")+"\nline\r\n"),
		body("D6/body-lf", "line\nline\n\nlast\n"),
		body("D6/mixed", "crlf\r\nlf\ncrlf\r\n\n\r\n\nlast\r\n"),
		body("D6/last-lf", "line\r\nlast\n"),
		body("D6/only-lf", strings.Repeat("\n", 1000)),
		body("D6/lf-cr", "a\n\rb\n\rc\r\n"),
		body("D6/lf-at-16K", strings.Repeat("x", 16384-len(h("D6/lf-at-16K"))-2)+"\nand on\n"),
	}
}

// carriageReturns gives mail with bare CR and CR CR LF (D7).
func carriageReturns() []Mail {
	ccl := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\r\r\n") }
	h := func(name string) string { return join(standard(name), "") }
	return []Mail{
		body("D7/cr-in-body", "a\rb\r\r\rc\r\n"),
		with("D7/cr-in-header", "X-Cr: a\rb", "X-Cr-Cr: \r"),
		exact("D7/cr-only", strings.ReplaceAll(h("D7/cr-only")+"\r\nline\r\nlast\r\n", "\r\n", "\r")),
		body("D7/cr-at-end", "line\r\nlast\r"),
		body("D7/cr-cr-at-end", "line\r\nlast\r\r"),
		exact("D7/header-ends-cr-cr-lf", h("D7/header-ends-cr-cr-lf")+"\r\r\nline\r\n\r\nlast\r\n"),
		exact("D7/cr-cr-lf-in-header", h("D7/cr-cr-lf-in-header")+
			"\r\r\nX-After: the end for some servers\r\n\r\nline\r\n"),
		exact("D7/all-cr-cr-lf", ccl(h("D7/all-cr-cr-lf")+"\r\nline\r\nlast\r\n")),
		body("D7/cr-cr-lf-in-body", "line\r\r\n\r\r\nlast\r\r\n"),
		exact("D7/cr-cr-cr-lf", h("D7/cr-cr-cr-lf")+"\r\r\r\nline\r\n"),
		body("D7/crlf-over-4K", strings.Repeat("x", 4095-len(h("D7/crlf-over-4K"))-2)+"\r\nlast\r\n"),
		body("D7/crlf-over-16K", strings.Repeat("x", 16383-len(h("D7/crlf-over-16K"))-2)+"\r\nlast\r\n"),
		body("D7/cr-then-lf-line", "a\r\n\rb\r\n\r\n\r"),
		with("D7/folded-with-cr", "X-Folded: a\r\r\n b", "X-More: c\r\n \r\r\n d"),
	}
}

// nuls gives mail with NUL (D8).
func nuls() []Mail {
	return []Mail{
		body("D8/in-body", "a\x00b\r\n"),
		with("D8/in-header", "X-Nul: a\x00b"),
		with("D8/in-subject", "Subject: second\x00subject"),
		with("D8/in-name", "X-Nu\x00l: value"),
		exact("D8/first", "\x00"+join(standard("D8/first"), "", "text", "")),
		body("D8/last", "text\x00"),
		body("D8/many", strings.Repeat("\x00", 5000)+"\r\n"),
		body("D8/between-cr-and-lf", "a\r\x00\nb\r\n"),
		body("D8/beside-80", "\x80\x00\x80\x00\r\n"),
		exact("D8/alone", "\x00"),
	}
}

// eightBit gives mail with octets beyond ASCII, and other octets that do not
// belong into a header (D9).
func eightBit() []Mail {
	var all strings.Builder
	for c := 1; c < 256; c++ {
		all.WriteByte(byte(c))
	}
	utf16 := strings.NewReplacer("", "\x00").Replace("From: wide@example.org\r\n\r\ntext\r\n")
	return []Mail{
		with("D9/latin-1-header", "X-Name: J\xfcrgen", "Subject: Gr\xfc\xdfe"),
		with("D9/utf-8-header", "X-Name: Jürgen", "Subject: Grüße 📬"),
		text("D9/utf-8-from", "From: Jürgen <jürgen@exämple.example>", "To: 用户@例子.example",
			"Date: Tue, 04 Mar 2014 05:06:00 +0100", "Subject: Grüße", "", "Grüße"),
		text("D9/raw-shift-jis", "From: a@example.org", "Subject: \x83\x65\x83\x58\x83\x67", "", "text"),
		text("D9/raw-iso-2022-jp", "From: a@example.org", "Subject: \x1b$B%F%9%H\x1b(B", "", "text"),
		with("D9/8-bit-name", "X-N\xe4me: value", "\xff\xfe: value"),
		exact("D9/bom", "\xef\xbb\xbf"+join(standard("D9/bom"), "", "text", "")),
		exact("D9/utf-16", "\xfe\xff"+utf16),
		body("D9/all-octets", all.String()+"\r\n"),
		with("D9/all-octets-in-header", "X-All: "+
			strings.NewReplacer("\r", "", "\n", "").Replace(all.String())),
		with("D9/terminal-escapes", "Subject: \x1b[2J\x1b]0;title\a\x1b[31mred", "X-Bell: \a\b\v\f"),
		with("D9/bidi", "Subject: \u202egnp.exe\u202c \u2066x\u2069 \u200b"),
		with("D9/invalid-utf-8", "Subject: \xc3\x28 \xed\xa0\x80 \xf8\x88\x80\x80\x80 \xc0\xaf"),
		body("D9/8-bit-body", "Gr\xfc\xdfe \xff\xfe\xfd\r\n"),
		text("D9/broken-encoded-words", "From: =?utf-8?Q?=?= <a@example.org>",
			"Subject: =?utf-8?B?////?= =?x?Y?z?= =?utf-8?Q?=ZZ", "", "text"),
	}
}

// dots gives lines that dot-stuffing is about (D15, RFC 1939 §3).
func dots() []Mail {
	mails := []Mail{
		body("D15/lone-dot", "before\r\n.\r\nafter\r\n"),
		body("D15/lone-dots", ".\r\n.\r\n.\r\n"),
		body("D15/dot-lines", "..\r\n...\r\n.x\r\n..x\r\n. x\r\n.\t\r\n"),
		body("D15/dot-first", ".begins the body\r\n"),
		body("D15/dot-last-no-end", "text\r\n."),
		body("D15/dots-last-no-end", "text\r\n.."),
		body("D15/ends-in-dot-no-end", "the last line ends in a dot."),
		body("D15/ends-in-lone-dot", "text\r\n.\r\n"),
		body("D15/lf-dot-lf", "before\n.\nafter\r\n"),
		body("D15/crlf-dot-lf", "before\r\n.\nafter\r\n"),
		body("D15/lf-dot-crlf", "before\n.\r\nafter\r\n"),
		body("D15/cr-dot-cr", "before\r.\rafter\r\n"),
		body("D15/crlf-dot-cr", "before\r\n.\rafter\r\n"),
		body("D15/dot-crcrlf", "before\r\n.\r\r\nafter\r\n"),
		with("D15/dot-in-header", ".: dot", "..: dots", ".X-Dot: x"),
		exact("D15/dot-is-first-octet", ".X-First: x\r\n"+join(standard("D15/first"), "", "text", "")),
		exact("D15/one-dot", "."),
		exact("D15/two-dots", ".."),
		body("D15/many", strings.Repeat(".\r\n", 20_000)),
		body("D15/line-of-dots", strings.Repeat(".", 160_000)+"\r\n"),
	}
	for _, at := range []int{4095, 4096, 4097, 65535, 65536, 65537} {
		mails = append(mails, dotAt(at))
	}
	return mails
}

// dotAt puts a lone dot where a buffer may end.
func dotAt(at int) Mail {
	name := "D15/dot-at-" + decimal(at)
	head := join(standard(name), "", "")
	fill := strings.Repeat("y", at-len(head)-2)
	return exact(name, head+fill+"\r\n.\r\n..\r\nlast\r\n")
}

// endings gives mail that does not end in one CRLF (D16).
func endings() []Mail {
	return []Mail{
		body("D16/no-end", "no final newline"),
		body("D16/one-octet", "x"),
		body("D16/ends-lf", "ends in LF\n"),
		body("D16/empty-lines", "text\r\n\r\n\r\n\r\n"),
		body("D16/blanks", "text\r\n   "),
		body("D16/crlf-lf", "text\r\n\n"),
		body("D16/no-end-16K", strings.Repeat("z", 16384-len(join(standard("D16/no-end-16K"), "", "")))),
		exact("D16/in-header", join("From: a@example.org", "Subject: ends in the hea")),
		exact("D16/in-name", join("From: a@example.org", "Subje")),
	}
}
