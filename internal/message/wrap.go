package message

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Wrap makes the message that `repair: wrap` delivers in place of one that the
// server refuses: a well-formed mail in plain ASCII with the original attached
// to it, octet for octet as received. The attachment is a base64 file and not
// message/rfc822, which must not be encoded (RFC 2046 §5.2.1) and so could not
// carry a NUL, a bare CR or a line of any length.
//
// From, Date and Subject are taken over as far as they can be. The result is the
// same every time, so that a lost answer to its delivery can be resolved by its
// digest as with any other. The caller closes both messages. Errors are as those
// of [Spool.Receive] and [Message.WriteTo].
func (s *Spool) Wrap(m *Message) (*Message, error) {
	fields, err := m.fields()
	if err != nil {
		return nil, err
	}
	in := s.intake()
	if err := wrap(in, m, fields); err != nil {
		in.discard()
		return nil, err
	}
	wrapped, err := in.message()
	if err != nil {
		return nil, err
	}
	wrapped.Date, wrapped.DateFrom = m.Date, m.DateFrom
	return wrapped, nil
}

const wrapHead = `From: %s
Date: %s
Subject: %s
Message-ID: %s
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="%s"

--%[5]s
Content-Type: text/plain; charset=us-ascii

The mail server refused this message in its original form. It is attached
as it was, %[6]d octets, and most mail programs can open it from there.

--%[5]s
Content-Type: application/octet-stream; name="original.eml"
Content-Disposition: attachment; filename="original.eml"
Content-Transfer-Encoding: base64

`

const wrapTail = "\r\n--%s--\r\n"

// WrappedID is the Message-ID that [Spool.Wrap] gives to the wrapping of a message.
// It holds the content digest, so that it says what is inside.
func (s Summary) WrappedID() string {
	return "<" + s.Content.String() + "@wrapped.popferry.invalid>"
}

// wrap writes the wrapped message.
func wrap(w io.Writer, m *Message, l *lookup) error {
	boundary := "popferry-" + m.Content.String()[:32] // base64 has no hyphen
	head := fmt.Sprintf(wrapHead, sender(l.text[fieldFrom]), wrapDate(l),
		encode(clean(l.text[fieldSubject])), m.WrappedID(), boundary, m.received)
	if _, err := io.WriteString(w, strings.ReplaceAll(head, "\n", "\r\n")); err != nil {
		return err
	}
	encoder := base64.NewEncoder(base64.StdEncoding, &lineBreaker{w: w})
	put := func(p []byte) error {
		_, err := encoder.Write(p)
		return err
	}
	if err := m.each(put); err != nil {
		return err
	}
	if err := encoder.Close(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, wrapTail, boundary)
	return err
}

// errHeaderRead ends the reading of a message after its header.
var errHeaderRead = errors.New("header read")

// fields reads the header again, for the values that the Summary does not have,
// and with no clock: any date after 1970 will do, today and tomorrow.
func (m *Message) fields() (*lookup, error) {
	var ends lineEnds
	h := newHeader(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))
	err := m.each(func(p []byte) error {
		h.write(ends.next(p))
		if h.ended {
			return errHeaderRead
		}
		return nil
	})
	if err != nil && err != errHeaderRead {
		return nil, err
	}
	h.write(ends.tail())
	h.endField()
	return &h.lookup, nil
}

// wrapDate gives a date that a mail always has, and the same one every time: its
// own, that of its transport, or that of the beginning of Unix time.
func wrapDate(l *lookup) string {
	t, ok := parseDate(l.text[fieldDate])
	if !ok || t.Unix() < 0 {
		t = l.received
	}
	if t.IsZero() {
		t = time.Unix(0, 0).UTC()
	}
	return t.Format(time.RFC1123Z)
}

// sender gives a valid mailbox that is as close to a From field as it can be.
func sender(from string) string {
	name, address := from, "unknown@popferry.invalid"
	if i := strings.LastIndexByte(from, '<'); i >= 0 {
		name = from[:i]
		from, _, _ = strings.Cut(from[i+1:], ">")
	}
	for word := range strings.FieldsFuncSeq(from, func(r rune) bool { return r == ' ' || r == ',' }) {
		if isAddress(word) {
			address = word
			break
		}
	}
	name = clean(strings.Trim(name, ` "`))
	if name == "" || name == address {
		return address
	}
	return phrase(name) + " <" + address + ">"
}

// isAddress reports whether s is an address in its plain form, without quoting
// (RFC 5322 §3.4.1).
func isAddress(s string) bool {
	local, domain, found := strings.Cut(s, "@")
	return found && len(s) <= 254 && isDotAtom(local) && isDotAtom(domain)
}

func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return !isAtomText(r) }) {
			return false
		}
	}
	return true
}

// isAtomText is atext of RFC 5322 §3.2.3.
func isAtomText(r rune) bool {
	return r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r) ||
		strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r))
}

// phrase gives a clean display name: as it is where that is valid, which keeps
// encoded words, else encoded or quoted.
func phrase(name string) string {
	const ascii = utf8.RuneSelf
	odd := func(r rune) bool { return r != ' ' && r < ascii && !isAtomText(r) }
	switch {
	case strings.ContainsFunc(name, func(r rune) bool { return r >= ascii }):
		return encode(name)
	case strings.ContainsFunc(name, odd):
		return `"` + strings.NewReplacer(`\`, "", `"`, "").Replace(name) + `"`
	}
	return name
}

// encode gives clean text for a field: as it is where that is ASCII, else in the
// encoding of RFC 2047, a line for each word.
func encode(text string) string {
	return strings.ReplaceAll(mime.BEncoding.Encode("utf-8", text), "?= =?", "?=\n =?")
}

// maxText is how much of a From or Subject is taken over, in characters. It
// keeps lines under the 998 octets of RFC 5322 §2.1.1.
const maxText = 250

// clean gives text of valid UTF-8 without control characters, and not too long.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	n := 0
	for i := range text {
		if n == maxText {
			text = text[:i]
			break
		}
		n++
	}
	return strings.TrimSpace(text)
}

// lineBreaker breaks base64 into lines of 76 (RFC 2045 §6.8).
type lineBreaker struct {
	w      io.Writer
	column int
}

func (b *lineBreaker) Write(p []byte) (written int, err error) {
	const width = 76
	for written < len(p) {
		if b.column == width {
			if _, err := io.WriteString(b.w, "\r\n"); err != nil {
				return written, err
			}
			b.column = 0
		}
		n := min(width-b.column, len(p)-written)
		if _, err := b.w.Write(p[written : written+n]); err != nil {
			return written, err
		}
		b.column += n
		written += n
	}
	return written, nil
}
