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
// to it, octet for octet as received, in one of the forms of [Message.Attachments].
//
// From, Date and Subject are taken over as far as they can be. The result is the
// same every time, so that a lost answer to its delivery can be resolved by its
// digest as with any other. The caller closes both messages. Errors are as those
// of [Spool.Receive] and [Message.WriteTo].
func (s *Spool) Wrap(m *Message, as Attachment) (*Message, error) {
	fields, err := m.fields()
	if err != nil {
		return nil, err
	}
	in := s.intake()
	if err := wrap(in, m, fields, as); err != nil {
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

// Attachment is the form in which a wrapped message travels.
type Attachment struct{ kind, encoding string }

var (
	asMail = Attachment{"message/rfc822", "7bit"}
	asFile = Attachment{"application/octet-stream", "base64"}
)

// Attachments gives the forms that a message can be wrapped in, the better one first:
// message/rfc822, which mail programs show, and a file in base64, in which no server
// finds anything to dislike. The former must not be encoded (RFC 2046 §5.2.1), so that
// it can't carry a NUL, a bare CR, 8-bit octets or a line of any length.
func (m *Message) Attachments() ([]Attachment, error) {
	plain, err := m.isPlain()
	if err != nil || !plain {
		return []Attachment{asFile}, err
	}
	return []Attachment{asMail, asFile}, nil
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
Content-Type: %[7]s; name="original.eml"
Content-Disposition: attachment; filename="original.eml"
Content-Transfer-Encoding: %[8]s

`

const wrapTail = "\r\n--%s--\r\n"

// WrappedID is the Message-ID that [Spool.Wrap] gives to the wrapping of a message.
// It holds the content digest, so that it says what is inside.
func (s Summary) WrappedID() string {
	return "<" + s.Content.String() + "@wrapped.popferry.invalid>"
}

// wrap writes the wrapped message.
func wrap(w io.Writer, m *Message, l *lookup, as Attachment) error {
	boundary := "popferry-" + m.Content.String()[:32] // no message holds its own digest
	head := fmt.Sprintf(wrapHead, sender(l.text[fieldFrom]), wrapDate(l),
		encode(clean(l.text[fieldSubject])), m.WrappedID(), boundary, m.received, as.kind, as.encoding)
	if _, err := io.WriteString(w, strings.ReplaceAll(head, "\n", "\r\n")); err != nil {
		return err
	}
	if err := m.attach(w, as); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, wrapTail, boundary)
	return err
}

func (m *Message) attach(w io.Writer, as Attachment) error {
	if as == asMail {
		return m.each(func(p []byte) error {
			_, err := w.Write(p)
			return err
		})
	}
	encoder := base64.NewEncoder(base64.StdEncoding, &lineBreaker{w: w})
	err := m.each(func(p []byte) error {
		_, err := encoder.Write(p)
		return err
	})
	return errors.Join(err, encoder.Close())
}

// maxPlainLine is how long a line may be without its CRLF (RFC 5322 §2.1.1).
const maxPlainLine = 998

// errNotPlain ends the reading of a message that is not plain.
var errNotPlain = errors.New("not plain")

// isPlain reports whether a message may travel as it is in 7 bit (RFC 2045 §2.7):
// ASCII with CR and LF only as CRLF, and no long lines. Control characters other than
// tabs are left out, too, since servers differ on them.
func (m *Message) isPlain() (bool, error) {
	length, last := 0, byte(0)
	err := m.each(func(p []byte) error {
		for _, c := range p {
			switch {
			case (last == '\r') != (c == '\n'), c < ' ' && c != '\r' && c != '\n' && c != '\t', c > '~':
				return errNotPlain
			case c == '\n':
				length = 0
			case c != '\r':
				length++
			}
			if length > maxPlainLine {
				return errNotPlain
			}
			last = c
		}
		return nil
	})
	if errors.Is(err, errNotPlain) {
		return false, nil
	}
	return last != 0 && last != '\r', err
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
	t := l.date
	if !l.dated || t.Unix() < 0 {
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
