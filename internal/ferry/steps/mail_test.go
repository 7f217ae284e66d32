//go:build !race

package steps_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/mailtest/corpus"
)

// letter makes a small message with a Message-ID of its own.
func letter(n int) []byte {
	return fmt.Appendf(nil, "Received: from a by b; Tue, 03 Mar 2026 05:06:%02d +0000\r\n"+
		"Message-ID: <%d@letters.example.org>\r\nFrom: ann@example.org\r\n"+
		"Date: Tue, 03 Mar 2026 05:06:07 +0000\r\nSubject: letter %d\r\n\r\nText of letter %d.\r\n",
		n%60, n, n, n)
}

// subjectNumber is the number of a letter.
func subjectNumber(raw []byte) string {
	_, rest, _ := bytes.Cut(raw, []byte("Subject: letter "))
	number, _, _ := bytes.Cut(rest, []byte("\r\n"))
	return string(number)
}

func letters(from, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = letter(from + i)
	}
	return all
}

// note makes a message without a Message-ID.
func note(n int) []byte {
	return fmt.Appendf(nil, "From: bob@example.org\r\nSubject: note %d\r\n\r\nText of note %d.\r\n", n, n)
}

func notes(n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = note(i)
	}
	return all
}

// sameID makes messages that share a Message-ID and nothing else.
func sameID(n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = fmt.Appendf(nil, "Message-ID: <same@letters.example.org>\r\nSubject: %s\r\n\r\n%d\r\n",
			strings.Repeat("x", i), i)
	}
	return all
}

// sameIDAndSize makes messages of which only the body tells one from the other.
func sameIDAndSize(n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = fmt.Appendf(nil, "Message-ID: <same@letters.example.org>\r\nSubject: same\r\n\r\n%03d\r\n", i)
	}
	return all
}

// sameHeader makes messages that differ in the body, and its length, only.
func sameHeader(from, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = fmt.Appendf(nil, "Message-ID: <same@letters.example.org>\r\nSubject: same\r\n\r\n%s\r\n",
			strings.Repeat("x", from+i))
	}
	return all
}

// big makes a letter of about size octets.
func big(n, size int) []byte {
	raw := letter(n)
	for i := 0; len(raw) < size; i++ {
		raw = fmt.Appendf(raw, "Line %06d of a long letter, which goes on and on and on.\r\n", i)
	}
	return raw
}

// sizes makes letters of different sizes.
func sizes(n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = big(i, 300+100*i)
	}
	return all
}

func copies(raw []byte, n int) [][]byte { return slices.Repeat([][]byte{raw}, n) }

func join(lists ...[][]byte) [][]byte { return slices.Concat(lists...) }

// hardMail picks rows of malformed mail.
func hardMail(rows ...string) [][]byte {
	var all [][]byte
	for _, m := range corpus.Hard() {
		row, _, _ := strings.Cut(m.Name, "/")
		if slices.Contains(rows, row) && len(m.Raw) < 20<<10 {
			all = append(all, servable(m.Raw))
		}
	}
	return all
}

// servable ends a message in CR LF if it ends in LF: a POP3 server has to add an
// empty line otherwise, since only CR LF may stand before its terminator.
func servable(raw []byte) []byte {
	body, ok := bytes.CutSuffix(raw, []byte("\n"))
	if !ok {
		return raw
	}
	return append(bytes.TrimSuffix(bytes.Clone(body), []byte("\r")), "\r\n"...)
}

// withoutStatus is the form of mail in a server that adds Status and X-UID.
func withoutStatus(raw []byte) string {
	return strings.Replace(string(corpus.Canonical(raw)), "Status: RO\r\nX-UID: 1\r\n", "", 1)
}
