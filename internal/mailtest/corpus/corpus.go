// Package corpus makes mail for tests, for benchmarks and for the demo.
//
// [Ordinary] gives mail like that of a real mailbox. [Hard] gives mail that has
// broken a mail program before, each under a name that says what is hard about
// it; names begin with the row of the list of malformed mail that they belong to,
// D1 to D20, so that a test can pick a row. [Large] gives one message of any size
// without holding it. [Canonical] says when two messages count as the same, by
// the plainest code possible and apart from the code that is under test.
//
// All of it is the same every time. Nothing here is real: names and addresses
// are those reserved for examples (RFC 2606, RFC 5737).
package corpus

import (
	"bytes"
	"io"
	"strconv"
	"strings"
)

// Mail is one message as a POP3 server has it, without dot-stuffing.
type Mail struct {
	Name string
	Raw  []byte
}

// Canonical gives the form in which two messages are compared: every line ends
// in CRLF, the last one too, and NUL is 0x80. An empty message stays empty.
func Canonical(raw []byte) []byte {
	out := make([]byte, 0, len(raw)+2)
	for i, c := range raw {
		switch {
		case c == 0:
			out = append(out, 0x80)
		case c == '\n' && (i == 0 || raw[i-1] != '\r'):
			out = append(out, '\r', '\n')
		default:
			out = append(out, c)
		}
	}
	if len(out) > 0 && !bytes.HasSuffix(out, []byte("\r\n")) {
		out = append(out, '\r', '\n')
	}
	return out
}

// Large gives one well-formed message of exactly size octets, at least 1 KiB,
// that is made while it is read.
func Large(size int64) io.Reader {
	head := join(standard("large"), "Content-Type: text/plain", "", "")
	rest := max(size, 1<<10) - int64(len(head)) - int64(len("\r\n"))
	return io.MultiReader(strings.NewReader(head), io.LimitReader(&lines{}, rest),
		strings.NewReader("\r\n"))
}

// lines is an endless text in which no two lines are equal.
type lines struct {
	number int64
	line   [80]byte
	left   []byte // of line
}

func (l *lines) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(l.left) == 0 {
			l.next()
		}
		m := copy(p[n:], l.left)
		l.left = l.left[m:]
		n += m
	}
	return n, nil
}

// next makes the next line, in place: a reader of a gigabyte must not be what
// uses up the memory that a test counts.
func (l *lines) next() {
	l.number++
	number := strconv.AppendInt(l.line[:0], l.number, 10)
	for i := len(number); i < len(l.line)-2; i++ {
		l.line[i] = "large "[i%6]
	}
	copy(l.line[len(l.line)-2:], "\r\n")
	l.left = l.line[:]
}

// standard gives the fields that make a header complete, without its empty line.
// The name makes them differ from those of other mails.
func standard(name string) string {
	return join(
		"Received: from a.example.org (a.example.org [192.0.2.1])",
		"\tby mx.example.net with ESMTP id 1A2B3C; Tue, 04 Mar 2014 05:06:07 +0100",
		"Date: Tue, 04 Mar 2014 05:06:00 +0100",
		"From: Hard Case <hard@example.org>",
		"To: someone@example.net",
		"Message-ID: <"+name+"@hard.example.org>",
		"Subject: "+name)
}

// join puts CRLF between lines.
func join(lines ...string) string { return strings.Join(lines, "\r\n") }

// text makes a mail of lines as they are, each ended by CRLF.
func text(name string, lines ...string) Mail {
	return exact(name, join(lines...)+"\r\n")
}

// exact makes a mail of octets as they are.
func exact(name, raw string) Mail { return Mail{Name: name, Raw: []byte(raw)} }

// with makes a mail that is ordinary but for further fields.
func with(name string, fields ...string) Mail {
	return exact(name, join(standard(name), join(fields...), "", "The body of "+name+".", ""))
}

// body makes a mail with an ordinary header and a body as it is.
func body(name, raw string) Mail {
	return exact(name, join(standard(name), "", "")+raw)
}

// header makes a mail of a header as it is, with its empty line, and an ordinary
// body.
func header(name, raw string) Mail {
	return exact(name, raw+join("", "The body of "+name+".", ""))
}
