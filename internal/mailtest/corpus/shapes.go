package corpus

import (
	"fmt"
	"strconv"
	"strings"
)

func decimal(n int) string { return strconv.Itoa(n) }

// sizes gives large mail and mail that just fills a buffer (D10). For what is
// larger still there is Large.
func sizes() []Mail {
	mails := []Mail{
		body("D10/2-MiB", strings.Repeat(strings.Repeat("2 MiB ", 12)+"\r\n", 2<<20/74)),
		body("D10/short-lines", strings.Repeat("a\r\n", 100_000)),
		body("D10/empty-lines", strings.Repeat("\r\n", 50_000)),
	}
	for _, size := range []int{4095, 4096, 4097, 16383, 16384, 16385, 32768, 65536} {
		name := "D10/exactly-" + decimal(size)
		head := join(standard(name), "", "")
		mails = append(mails, exact(name, head+strings.Repeat("s", size-len(head)-2)+"\r\n"))
	}
	return mails
}

// longLines gives lines over the limit of RFC 5322 §2.1.1 (D11).
func longLines() []Mail {
	var mails []Mail
	for _, n := range []int{998, 999, 1000, 1024, 4094, 4096, 10_000, 65_536, 160_000, 1_000_000} {
		mails = append(mails, body("D11/body-"+decimal(n), strings.Repeat("L", n)+"\r\nlast\r\n"))
	}
	for _, n := range []int{998, 999, 1023, 1024, 1025, 1026, 1027, 10_000, 160_000} {
		mails = append(mails,
			with("D11/header-"+decimal(n), "X-Long: "+strings.Repeat("h", n-len("X-Long: "))),
			with("D11/name-"+decimal(n), strings.Repeat("N", n)+": value"))
	}
	long := strings.Repeat("long ", 32_000)
	return append(mails,
		with("D11/subject-160000", "Subject: "+long),
		with("D11/no-colon-160000", long),
		with("D11/blank-160000", "X-Blank: a", strings.Repeat(" ", 160_000), " b"),
		with("D11/continued-160000", "X-Continued: a", " "+long, " b"),
		body("D11/no-end-160000", long),
		exact("D11/nothing-else", strings.Repeat("0123456789", 16_000)))
}

// shapes gives mail without a proper header, or without a body (D12, D13).
func shapes() []Mail {
	return []Mail{
		exact("D12/empty", ""),
		exact("D12/crlf", "\r\n"),
		exact("D12/crlf-crlf", "\r\n\r\n"),
		exact("D12/cr", "\r"),
		exact("D12/blank", " "),
		exact("D12/one-octet", "x"),
		exact("D13/header-only", standard("D13/header-only")+"\r\n"),
		exact("D13/header-only-empty-line", standard("D13/header-only-empty-line")+"\r\n\r\n"),
		exact("D13/header-only-no-end", standard("D13/header-only-no-end")),
		exact("D13/body-only", "Just a text.\r\nNo header at all.\r\n"),
		exact("D13/body-only-other", "Just a test.\r\nNo header at all.\r\n"),
		exact("D13/body-only-paragraphs", "A first paragraph.\r\n\r\nA second one.\r\n"),
		exact("D13/body-only-other-paragraph", "Another first paragraph.\r\n\r\nA second one.\r\n"),
		exact("D13/starts-with-empty-line", "\r\n"+join(standard("D13/starts"), "", "text", "")),
		exact("D13/starts-with-empty-lines", "\r\n\r\n\r\n"+join(standard("D13/more"), "", "text", "")),
		exact("D13/starts-with-lf", "\n"+join(standard("D13/lf"), "", "text", "")),
		exact("D13/starts-with-cr", "\r"+join(standard("D13/cr"), "", "text", "")),
		exact("D13/starts-folded", " folded\r\n"+join(standard("D13/folded"), "", "text", "")),
		exact("D13/starts-with-blank-line", "  \t\r\n"+join(standard("D13/blank"), "", "text", "")),
		exact("D13/no-empty-line", join(standard("D13/same"), "The text follows at once.", "")),
		exact("D13/no-empty-line-other", join(standard("D13/same"), "The text differs at once.", "")),
		exact("D13/blank-line-for-empty", join(standard("D13/blank-line"), " ", "text", "")),
		exact("D13/colon-lines", "Note: this is a text\r\nAnd: it looks like a header\r\n"),
		exact("D13/only-garbage-header", "no colon here\r\nnor here\r\n\r\ntext\r\n"),
		with("D13/garbage-in-header", "a line without a colon", ": no name", "A Name: with blank"),
		text("D13/garbage-tells-apart", "From: a@example.org", "first garbage", "", "text"),
		text("D13/garbage-tells-apart-other", "From: a@example.org", "other garbage", "", "text"),
	}
}

// fromLines gives mail with the separator of the mbox format (D14).
func fromLines() []Mail {
	from := "From hard@example.org Tue Mar  4 05:06:07 2014\r\n"
	h := func(name string) string { return join(standard(name), "", "text of "+name, "") }
	return []Mail{
		exact("D14/from-first", from+h("D14/from-first")),
		exact("D14/from-first-quoted", ">"+from+h("D14/from-first-quoted")),
		exact("D14/from-first-lf", strings.ReplaceAll(from+h("D14/from-first-lf"), "\r\n", "\n")),
		exact("D14/from-twice", from+from+h("D14/from-twice")),
		exact("D14/from-alone", from),
		with("D14/from-in-header", strings.TrimSuffix(from, "\r\n")),
		body("D14/from-in-body", "text\r\n\r\n"+from+"text\r\n"),
		body("D14/from-quoted-in-body", "text\r\n\r\n>From a\r\n>>From b\r\nFrom the start\r\n"),
		body("D14/mbox-in-body", from+standard("D14/inner")+"\r\n\r\ntext\r\n\r\n"+from),
		body("D14/mmdf", "\x01\x01\x01\x01\r\nFrom: x\r\n\x01\x01\x01\x01\r\n"),
	}
}

// hugeHeaders gives headers out of all proportion (D18).
func hugeHeaders() []Mail {
	var many, received, folded strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&many, "X-%d: x\r\n", i)
	}
	for i := range 1000 {
		fmt.Fprintf(&received, "Received: by %d.example.org; never\r\n", i)
	}
	for i := range 20_000 {
		fmt.Fprintf(&folded, " folded %d\r\n", i)
	}
	s := func(name string) string { return standard(name) + "\r\n" }
	return []Mail{
		header("D18/100000-fields", many.String()+s("D18/100000-fields")),
		header("D18/1000-received", received.String()+s("D18/1000-received")),
		header("D18/20000-folds", s("D18/20000-folds")+"X-Folded: x\r\n"+folded.String()),
		header("D18/subject-folded", "Subject: x\r\n"+folded.String()+s("D18/subject-folded")),
		header("D18/id-after-1-MB", "X-Large: "+strings.Repeat("x", 1<<20)+"\r\n"+s("D18/id-after-1-MB")),
		header("D18/1000-ids", strings.Repeat("Message-ID: <>\r\n", 1000)+s("D18/1000-ids")),
		header("D18/empty-folds", s("D18/empty-folds")+"X-Empty:\r\n"+strings.Repeat(" \r\n", 5000)),
		header("D18/no-colons", s("D18/no-colons")+strings.Repeat("no colon\r\n", 5000)),
		header("D18/no-names", s("D18/no-names")+strings.Repeat(": no name\r\n", 5000)),
		with("D18/deep-comments", "X-Comment: "+strings.Repeat("(", 20_000)),
		text("D18/deep-comments-in-date", "Date: "+strings.Repeat("(", 20_000),
			"From: "+strings.Repeat("<", 20_000), "Subject: comments", "", "text"),
		text("D18/many-addresses", "From: a@example.org",
			"To: "+strings.Repeat("someone@example.net,\r\n ", 20_000)+"last@example.net", "", "text"),
	}
}
