package message

import (
	"crypto/sha256"
	"io"
	"slices"
	"strings"
	"time"
)

// Summary is all that is known of a message without its octets. Two Summaries
// of the same octets, taken with the same clock, are equal by ==.
type Summary struct {
	// Size counts the octets as delivered.
	Size int64
	// Raw counts the octets as received. It equals Size exactly when nothing
	// has to change on delivery.
	Raw int64

	// Lines counts the line ends as delivered.
	Lines int64

	// Content is the digest of the canonical octets.
	Content Digest
	// Header is the digest of the header without what servers add or rewrite.
	Header Digest
	// Body is the digest of the canonical octets after the header's empty line,
	// and of nothing where there is no such line.
	Body Digest
	// Loose is the digest of Message-ID, Date, From and Subject, unfolded and
	// with white space collapsed; zero when all four are missing or empty. It
	// finds candidates where a server rewrites the rest. It proves nothing.
	Loose Digest

	// MessageID is the first usable Message-ID with its angle brackets, on one
	// line; "" when there is none, or it is empty, not ASCII, or longer than
	// 900 octets.
	MessageID string
	// Date is the INTERNALDATE to give, in UTC: that of the topmost Received
	// field that has a usable one, else that of the Date field. A date before
	// 1970, or more than a day ahead, is passed over. Zero when none is left.
	Date time.Time
	// DateFrom says where Date is from: "received", "date" or "".
	DateFrom string

	// HasNUL and Has8BitHeader tell of two things that servers refuse.
	HasNUL, Has8BitHeader bool
	// HeaderOpen tells that no empty line ended the header: there is no more than that, or
	// the rest is missing.
	HeaderOpen bool
}

// Same reports whether two summaries are of the same mail, and by what that is
// known. A summary of a header alone is never the same as another, nor is a message of no
// octets, which no server stores, the same as one of empty lines.
func (s Summary) Same(o Summary) (how string, ok bool) {
	switch {
	case !s.Content.IsZero() && s.Content == o.Content:
		return "content digest", true
	case s.Header.IsZero() || s.Body.IsZero() || s.isEmpty() || o.isEmpty():
		return "", false
	case s.Header == o.Header && s.Body == o.Body:
		return "header and body digest", true
	}
	return "", false
}

// nothing is the digest of no octets.
var nothing = Digest(sha256.Sum256(nil))

func (s Summary) isEmpty() bool { return s.Content == nothing }

// NoText reports a message that has nothing but empty lines, few at most, after its header.
func (s Summary) NoText() bool { return slices.Contains(noText[:], s.Body) }

// noText are the digests of bodies without text.
var noText = [...]Digest{nothing, sha256.Sum256([]byte("\r\n")), sha256.Sum256([]byte("\r\n\r\n"))}

// Summarize reads a message to its end and keeps nothing of it. An error is
// that of r, unchanged.
func Summarize(r io.Reader, now time.Time) (Summary, error) {
	d := newDigester(now)
	buf := make([]byte, bufferFor(r))
	for {
		n, err := fill(r, buf)
		d.write(buf[:n])
		switch {
		case err == io.EOF:
			return d.finish(), nil
		case err != nil:
			return Summary{}, err
		}
	}
}

// SummarizeHeader reads to its end what TOP with 0 lines (RFC 1939 §7) or
// BODY[HEADER] gave. The result has what a header can tell: Header, Loose,
// MessageID, Date, DateFrom, HasNUL and Has8BitHeader. The rest stays zero. An
// error is that of r, unchanged.
func SummarizeHeader(r io.Reader, now time.Time) (Summary, error) {
	s, err := Summarize(r, now)
	s.Size, s.Raw, s.Lines, s.Content, s.Body = 0, 0, 0, Digest{}, Digest{}
	return s, err
}

// bufferFor chooses a buffer: a whole chunk, or less for a reader that says how
// little it has, as one that holds a single header field does.
func bufferFor(r io.Reader) int {
	if short, ok := r.(interface{ Len() int }); ok {
		return min(short.Len()+1, chunkSize)
	}
	return chunkSize
}

// maxEmptyReads is how often in a row a reader may give nothing at all.
const maxEmptyReads = 100

// fill reads until buf is full or r ends. Unlike io.ReadFull it never takes a
// reader's own io.ErrUnexpectedEOF, a message cut short, for the end of one.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for empty := 0; n < len(buf) && err == nil; {
		var m int
		m, err = r.Read(buf[n:])
		n += m
		if m > 0 {
			empty = 0
		} else if empty++; err == nil && empty >= maxEmptyReads {
			err = io.ErrNoProgress
		}
	}
	return n, err
}

// loose digests the fields that survive even a server that rewrites mail.
func (h *header) loose() Digest {
	fields := []string{h.id, h.text[fieldDate], h.text[fieldFrom], h.text[fieldSubject]}
	text := strings.Join(fields, "\n") // no collapsed field has one
	if len(text) == len(fields)-1 {
		return Digest{}
	}
	return sha256.Sum256([]byte(text))
}
